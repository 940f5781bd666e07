"""Peak memory of the gradient of a GRU under budgets, each in a process of its own (Linux).

    python bench/memory_budget.py [units] [steps]      prints a line a budget: MB allowed, MB taken, CPU seconds

Taken is how far the resident set rises above its value before the call, so it holds results and what kernels allocate.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any

import numpy as np
from peak_memory import reset_high_water_mark, status

import scancc as sc

BUDGETS = (64_000_000, 16_000_000, 4_000_000)


def loss(w: Any, u: Any, x: Any, budget: int) -> Any:
    units = w.shape[0]

    def step(x: Any, h: Any, w: Any, u: Any) -> Any:
        a, b = x @ u, h @ w
        r, z = sc.expit(a[:units] + b[:units]), sc.expit(a[units : 2 * units] + b[units : 2 * units])
        n = np.tanh(a[2 * units :] + r * b[2 * units :])
        return (1 - z) * n + z * h

    return (sc.scan(step, x, np.zeros(units), [w, u], memory_budget=budget)[-1] ** 2).sum()


def measure(units: int, steps: int, budget: int) -> None:
    rng = np.random.default_rng(0)
    w, u = 0.1 * rng.normal(size=(2, units, 3 * units))
    x = rng.normal(size=(steps, units))
    f = sc.grad(lambda w, u, x: loss(w, u, x, budget), (0, 1))
    f(w, u, x[:300])
    gc.collect()
    reset_high_water_mark()
    before, began = status("VmRSS"), time.process_time()
    f(w, u, x)
    seconds, taken = time.process_time() - began, status("VmHWM") - before
    print(f"{budget / 1e6:6.0f} MB allowed, {taken / 1e6:6.1f} MB taken, {seconds:5.2f} s", flush=True)


def main() -> None:
    units, steps = (int(a) for a in (sys.argv[1:] + ["32", "100000"][len(sys.argv) - 1 :])[:2])
    for budget in BUDGETS:
        child = os.fork()
        if child == 0:
            measure(units, steps, budget)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
