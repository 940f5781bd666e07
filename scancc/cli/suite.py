"""The built-in suite of `scancc bench`: recurrences that every user knows, at sizes that take seconds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import scancc as sc
from scancc.cli.loading import Target

STEPS = 100_000


@sc.scan_compile
def ar2(x_t, y_tm2, y_tm1, a, b):  # type: ignore[no-untyped-def]
    return x_t + a * y_tm1 + b * y_tm2


@sc.scan_compile
def ewma(x_t, y_tm1, alpha):  # type: ignore[no-untyped-def]
    return (1.0 - alpha) * y_tm1 + alpha * x_t


@sc.scan_compile
def garch(e_t, v_tm1, omega, alpha, beta):  # type: ignore[no-untyped-def]
    return omega + alpha * e_t * e_t + beta * v_tm1


@sc.scan_compile
def rnn(x_t, h_tm1, U, W, b):  # type: ignore[no-untyped-def]
    return np.tanh(x_t @ U + h_tm1 @ W + b)


def scancc_example_inputs() -> dict[str, dict]:
    r = np.random.default_rng(0)
    x = r.normal(size=STEPS)
    weights = [r.normal(size=s).astype("f4") / 8 for s in ((64, 64), (64, 64), (64,))]
    return {
        "ar2": dict(sequences=x, outputs_info=[dict(initial=np.zeros(2), taps=[-2, -1])], non_sequences=[1.3, -0.5]),
        "ewma": dict(sequences=x, outputs_info=[0.0], non_sequences=[0.06]),
        "garch": dict(sequences=x, outputs_info=[1.0], non_sequences=[0.02, 0.1, 0.88]),
        "rnn": dict(sequences=r.normal(size=(2000, 64)).astype("f4"), outputs_info=[np.zeros(64, "f4")],
                    non_sequences=weights),
    }  # fmt: skip


def targets() -> list[Target]:
    module = sys.modules[__name__]
    return [Target(Path("suite"), name, getattr(module, name), module) for name in scancc_example_inputs()]
