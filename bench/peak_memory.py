"""Peak memory of one call, in bytes, measured in a process of its own.

    python bench/peak_memory.py MODULE WORKLOAD IMPLEMENTATION     prints {"resident": ..., "numpy": ...}

`resident` is how far the resident set rises above its value before the call (Linux; absent elsewhere),
whoever allocates. `numpy` is what tracemalloc sees: Python objects and NumPy arrays. The inputs and
everything that the first call leaves behind, compiled code above all, count in neither.
"""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scancc.measure import Result, Workload


def add_peaks(module: str, workload: Workload, result: Result) -> None:
    """Add the peaks of every implementation that was timed, in MB, to the result's timings."""
    for timing in result.timings:
        command = [sys.executable, str(Path(__file__)), module, workload.name, timing.implementation]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if finished.returncode:
            result.notes.append(
                f"{timing.implementation}: no peak, {finished.stderr.strip().splitlines()[-1]}"
            )
            continue
        peaks = json.loads(finished.stdout.splitlines()[-1])
        timing.extra |= {f"peak {name}, MB": peak / 1e6 for name, peak in peaks.items()}


def peaks(call: Callable[[], Any]) -> dict[str, int]:
    """The peaks of `call`, which has run once before; its result counts, because the caller must hold it."""
    found: dict[str, int] = {}
    gc.collect()
    if reset_high_water_mark():
        before = status("VmRSS")
        call()
        found["resident"] = max(0, status("VmHWM") - before)
    tracemalloc.start()
    call()
    found["numpy"] = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def reset_high_water_mark() -> bool:
    """Make VmHWM the resident set of now; getrusage's ru_maxrss would keep the peak of compiling."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def status(key: str) -> int:
    """A memory figure of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def main() -> None:
    module, name, implementation = sys.argv[1:]
    workloads = importlib.import_module(module).workloads
    workload = next(w for quick in (True, False) for w in workloads(quick) if w.name == name)
    call = workload.implementations[implementation](workload.make_inputs())
    call()
    print(json.dumps(peaks(call)))


if __name__ == "__main__":
    main()
