"""What a user waits for before the first result: import, first call without and with a disk cache, one small
call.

    startup/import   import of the package, NumPy being there
    startup/cold     the first call of AR(2) on ten steps, every cache empty: trace, compile, run
    startup/warm     the same in a second process, with the caches that the first one left
    startup/call     a later call: ten steps take some 10 ns, the rest is the price of calling

Every sample is a process of its own with its cache folders in a temporary one; implementations take turns.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from ar2 import NAMES, ar2, make_inputs
from first_call import MODULES, STEPS

from scancc.measure import Result, timing

PHASES = ("import", "cold", "warm", "call")


def run(quick: bool) -> list[Result]:
    """The four results, over 2 (quick) or 7 pairs of processes of each implementation."""
    samples: dict[str, dict[str, list[float]]] = {phase: defaultdict(list) for phase in PHASES}
    answers: dict[str, float] = {}
    notes: dict[str, str] = {}
    failed = False
    for _ in range(2 if quick else 7):
        for name in MODULES:
            if name in notes:
                continue
            with tempfile.TemporaryDirectory() as cache:
                cold, warm = (_process(name, cache) for _ in range(2))
            error = next((r for r in (cold, warm) if isinstance(r, str)), None)
            if error is not None or isinstance(cold, str) or isinstance(warm, str):
                notes[name] = f"{name}: {error}"
                missing = (error or "").startswith("ModuleNotFoundError")
                # A peer may be missing, the subject may not.
                failed = failed or not missing or name == "scancc"
                continue
            answers[name] = cold["last"]
            samples["cold"][name].append(cold["first"])
            samples["warm"][name].append(warm["first"])
            samples["call"][name].append(warm["call"])
            samples["import"][name].append(
                warm["import"]
            )  # of the warm process: byte code and disk pages are there
    inputs = make_inputs(STEPS)
    expected = float(ar2(*(inputs[n] for n in NAMES), mode="interpret")[-1])
    for name, answer in answers.items():
        if not math.isclose(answer, expected, rel_tol=1e-9):
            notes[name] = f"{name}: wrong result, {answer!r} where {expected!r} is expected"
            failed = True
    return [
        _result(phase, samples[phase], answers, expected, list(notes.values()), failed) for phase in PHASES
    ]


def _process(name: str, cache: str) -> dict[str, float] | str:
    """The figures of one process, or the last line of its error."""
    environment = os.environ | {
        "SCANCC_CACHE_DIR": f"{cache}/scancc",
        "NUMBA_CACHE_DIR": f"{cache}/numba",
        "JAX_COMPILATION_CACHE_DIR": f"{cache}/jax",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTENSOR_FLAGS": f"base_compiledir={cache}/pytensor",
    }
    script = Path(__file__).with_name("first_call.py")
    command = [sys.executable, str(script), name]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    if finished.returncode:
        return finished.stderr.strip().splitlines()[-1]
    figures: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def _result(
    phase: str,
    samples: dict[str, list[float]],
    answers: dict[str, float],
    expected: float,
    notes: list[str],
    failed: bool,
) -> Result:
    reference = "scancc" if samples.get("scancc") else next(iter(samples), "")
    timings = [
        timing(name, times, samples[reference], None, difference=abs(answers[name] - expected),
               relative=abs(answers[name] - expected) / (abs(expected) or 1.0))
        for name, times in samples.items()
    ]
    return Result(f"startup/{phase}", None, reference, timings, notes, failed)
