"""How often the timed check of `scancc check` is wrong, on a machine whose other core is busy.

    unchanged  the functions of the baseline are checked: every regression that is reported is a false alarm
    planted    the same functions, whose steps run a second time over the first 15 % of the rows: a regression that is
               not reported is a miss

Both are checked by turns, each time in new processes, while another process loads one core: for half a second to four
seconds at a time it is idle, copies arrays far larger than the caches, or multiplies matrices. Baselines are recorded
while it is idle, a new one every fifty runs.

    python bench/check_experiment.py --out experiment.json            # 200 runs of each, about an hour
    python bench/check_experiment.py --quick --out experiment.json    # 1 run, without load
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy import stats

from scancc.checking.finding import Finding
from scancc.checking.processes import sample_in_process
from scancc.checking.sampling import Plan
from scancc.checking.timed import Baseline, judge, processor, record
from scancc.cli.loading import Target, load
from scancc.measure import environment

NAMES = ("logistic", "rnn", "ewma")
LOADS = ("idle", "copy", "matmul")
A_BASELINE_EVERY = 50
MODEL = '''
"""A chain of multiplications, a matrix in the first cache, and arrays that only the last cache holds."""
import numpy as np
import scancc as sc

AGAIN = {again}  # part of the rows that the step runs over a second time


def part(n):
    return int(AGAIN * n)


@sc.jit
def logistic(y0, r):
    step = lambda y, r: r * y * (1 - y)
    y = sc.scan(step, outputs_info=y0, non_sequences=r, n_steps=150_000)[-1]
    return sc.scan(step, outputs_info=y, non_sequences=r, n_steps=part(150_000))[-1] if AGAIN else y


@sc.jit
def rnn(x, h0, W):
    h = sc.scan(lambda x, h, W: np.tanh(x + h @ W), x, h0, W)[-1]
    return sc.scan(lambda x, h, W: np.tanh(x + h @ W), x[: part(2000)], h, W)[-1] if AGAIN else h


@sc.jit
def ewma(x, m0, a):
    def run(x):
        return sc.scan(lambda x, m, a: a * x + (1 - a) * m, x, m0, a)

    return (run(x), run(x[: part(1_000_000)])) if AGAIN else run(x)


def scancc_example_inputs():
    rng = np.random.default_rng(0)
    return {{
        "logistic": (0.3, 3.7),
        "rnn": (rng.normal(size=(2000, 64)), np.zeros(64), 0.1 * rng.normal(size=(64, 64))),
        "ewma": (rng.normal(size=1_000_000), 0.0, 0.1),
    }}
'''


def load_a_core() -> None:
    """Never returns: what the load process does, on the last core where the system lets it choose."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    source = np.ones(1 << 24)
    copy, square = np.empty_like(source), np.ones((512, 512))
    while True:
        kind, until = random.choice(LOADS), perf_counter() + random.uniform(0.5, 4.0)
        while perf_counter() < until:
            if kind == "copy":
                np.copyto(copy, source)
            elif kind == "matmul":
                square @ square
            else:
                subprocess.run(["sleep", "0.1"], check=True)


class Load:
    """The load process, as a context."""

    def __enter__(self) -> None:
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self.process = subprocess.Popen([sys.executable, __file__, "--load"], env=os.environ | threads)

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()


def targets(folder: Path, again: float) -> list[Target]:
    folder.mkdir()
    file = folder / "model.py"
    file.write_text(MODEL.format(again=again), encoding="utf-8")
    return [load(f"{file}:{name}") for name in NAMES]


def planted_slow_down(plain: Sequence[Target], planted: Sequence[Target], processes: int) -> dict[str, float]:
    """What the planted work really costs: ratio of the shortest times, by the chain's time, over many processes."""
    found = {}
    for label in (t.label for t in plain):
        least = []
        for side in (plain, planted):
            times = [sample_in_process(side, Plan()) for _ in range(processes)]
            least.append(np.median([np.min(t.subjects[label]) / np.min(t.kernels["latency"]) for t in times]))
        found[label] = float(least[1] / least[0])
    return found


def checked(kind: str, subjects: Sequence[Target], baseline: Baseline) -> dict[str, Any]:
    start = perf_counter()
    findings: list[Finding] = judge(subjects, baseline)
    return {
        "kind": kind,
        "seconds": round(perf_counter() - start, 2),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "verdicts": {f.subject: f.verdict for f in findings},
        "notes": {f.subject: f.note for f in findings},
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts of verdicts by kind and subject; false alarms and detections with exact 95 % intervals."""
    found: dict[str, Any] = {}
    for kind in ("unchanged", "planted"):
        of_kind = [r["verdicts"] for r in runs if r["kind"] == kind]
        subjects = sorted({s for v in of_kind for s in v})
        alarms = [v[s] == "regression" for v in of_kind for s in v]
        counts = {s: dict(Counter(v[s] for v in of_kind)) for s in subjects}
        interval = stats.binomtest(sum(alarms), len(alarms)).proportion_ci(0.95) if alarms else (0.0, 1.0)
        found[kind] = {
            "runs": len(of_kind),
            "runs with a regression": sum("regression" in v.values() for v in of_kind),
            "judgements": len(alarms),
            "regressions": sum(alarms),
            "rate": sum(alarms) / max(1, len(alarms)),
            "rate, 95 % interval": [float(x) for x in interval],
            "verdicts": counts,
            "median seconds": float(np.median([r["seconds"] for r in runs if r["kind"] == kind] or [0.0])),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=120.0, help="after which no further run begins")
    parser.add_argument("--quick", action="store_true", help="one run, without load")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    if "--load" in sys.argv:
        load_a_core()
    given = parser.parse_args()
    count = 1 if given.quick else given.runs
    deadline = perf_counter() + 60 * given.minutes
    report: dict[str, Any] = {"environment": environment(), "processor": processor(), "baselines": [], "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        plain = targets(Path(folder) / "plain", 0.0)
        planted = targets(Path(folder) / "planted", 0.15)
        report["planted slow-down"] = planted_slow_down(plain, planted, 1 if given.quick else 6)
        for number in range(count):
            if perf_counter() > deadline:
                break
            if number % A_BASELINE_EVERY == 0:
                baseline = record(plain)
                report["baselines"].append(baseline)
            with nullcontext() if given.quick else Load():
                for kind, subjects in (("unchanged", plain), ("planted", planted)):
                    report["runs"].append(checked(kind, subjects, baseline))
            report["summary"] = summary(report["runs"])
            given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"planted slow-down": report["planted slow-down"], **report["summary"]}, indent=1))


if __name__ == "__main__":
    main()
