"""Every hint is given where it applies, and only there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import scancc as sc
from scancc.report.hints import HINTS, Evidence, hints_for
from scancc.report.limits import Limit, Measured
from scancc.static.figures import LoopFigures, figures_of

X = np.ones(400)
W = np.ones((64, 64)) / 64


def evidence(program, **more) -> Evidence:
    return Evidence(program.compilation, figures_of(program), **more)


def scan(step, *arguments, **options):
    return sc.scan_compile(step, **options).lower(*arguments)


def with_hot(program, **changes) -> Evidence:
    """The figures of a program with a hot loop of these figures."""
    hot = LoopFigures(**{**dict(instructions=40, vector_bits=512, calls=(), spills=0, critical_path_cycles=4.0,
                                throughput_cycles=4.0, stride_bytes=64, text=""), **changes})  # fmt: skip
    return Evidence(program.compilation, replace(figures_of(program), hot=hot))


def plain():
    return sc.jit(lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, 0.0)[-1]).lower(X)


def table():
    row = lambda costs, above: sc.scan(lambda c, up, left: c + np.minimum(up, left), [costs, above], 0.0)  # noqa: E731
    return sc.jit(lambda costs: sc.scan(row, costs, np.zeros(50))[-1]).lower(np.ones((40, 50)))


def columns(x):
    return sc.scan(lambda x, h: 0.5 * h + x, x, np.zeros(600))


def limits(latency: float, throughput: float) -> tuple:
    return (Limit("latency", latency, latency, "a chain"), Limit("throughput", throughput, throughput, "work"))


CASES = {
    "whole_history": (lambda: evidence(scan(lambda x, y: 0.5 * y + x, np.ones(10**6), 0.0), jitted=False),
                      lambda: evidence(plain())),
    "last_of_history": (
        lambda: evidence(sc.jit(lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, 0.0)[-1], optimize=False).lower(X)),
        lambda: evidence(plain()),
    ),
    "libm": (lambda: evidence(scan(lambda x, y: np.arcsin(0.5 * y) + x, X, 0.0)),
             lambda: evidence(scan(lambda x, y: np.tanh(0.5 * y) + x, X, 0.0))),
    "wide_floats": (lambda: evidence(scan(lambda x, y, a: a * y + x, X.astype("f4"), np.float64(0), np.float64(0.5))),
                    lambda: evidence(scan(lambda x, y: 0.5 * y + x, X.astype("f4"), np.float32(0)))),
    "matvec": (lambda: evidence(scan(lambda h, W: np.tanh(h @ W), None, np.zeros(64), W, 9)),
               lambda: evidence(scan(lambda h, W: np.tanh(h @ W), None, np.zeros((8, 64)), W, 9))),
    "left_in_loop": (
        lambda: evidence(scan(lambda x, h, W: (np.tanh(x @ W + h), sc.until(h.sum() > 1e3)), np.ones((9, 64)),
                              np.zeros(64), W)),
        lambda: evidence(scan(lambda x, h, W: np.tanh(x @ W + h), np.ones((9, 64)), np.zeros(64), W)),
    ),
    "batch_latency": (lambda: evidence(plain(), limits=limits(40.0, 2.0)),
                      lambda: evidence(plain(), limits=limits(4.0, 4.0))),
    "until": (lambda: evidence(scan(lambda x: (np.exp(x), sc.until(x > 3)), X)), lambda: evidence(scan(np.exp, X))),
    "strict": (lambda: evidence(scan(lambda x, y: 0.5 * y + x, X, 0.0, strict_fp=True)),
               lambda: evidence(scan(lambda x, y: 0.5 * y + x, X, 0.0))),
    "unoptimised": (lambda: evidence(scan(lambda x, y: 0.5 * y + x, X, 0.0, optimize=False)),
                    lambda: evidence(scan(lambda x, y: 0.5 * y + x, X, 0.0))),
    "not_contiguous": (lambda: evidence(plain(), given={"x": np.ones((200, 2))[:, 0]}),
                       lambda: evidence(plain(), given={"x": X})),
    "batch_first": (
        lambda: evidence(sc.jit(lambda x: columns(x.T)).lower(np.ones((600, 9)))),
        lambda: evidence(sc.jit(columns).lower(np.ones((9, 600)))),
    ),
    "spills": (lambda: with_hot(plain(), spills=9), lambda: with_hot(plain(), spills=1)),
    "not_vectorised": (lambda: with_hot(scan(lambda x, h: 0.5 * h + x, np.ones((9, 64)), np.zeros(64)), vector_bits=64),
                       lambda: with_hot(plain(), vector_bits=64)),
    "allocates": (lambda: evidence(sc.jit(lambda x: sc.scan(lambda v: (v, sc.until(v > 3)), x)).lower(X)),
                  lambda: evidence(plain())),
    "short_call": (lambda: evidence(plain(), measured=Measured(1e-6, 400, 1.0, 4.0)),
                   lambda: evidence(plain(), measured=Measured(1e-2, 400, 1.0, 4.0))),
}


def test_every_hint_has_cases():
    assert set(CASES) == {h.name for h in HINTS}


@pytest.mark.parametrize("name", CASES)
def test_hint(name):
    there, elsewhere = CASES[name]
    assert name in {h.name for h, _ in hints_for(there())}
    assert name not in {h.name for h, _ in hints_for(elsewhere())}


def test_a_row_that_an_inner_loop_makes_is_not_called_wide():
    assert "not_vectorised" not in {h.name for h, _ in hints_for(with_hot(table(), vector_bits=64))}
