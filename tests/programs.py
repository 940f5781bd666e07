"""Random scans for hypothesis: steps made of NumPy calls, with any taps, shapes, dtypes and readings of the outputs.

A `Program` is data: it can be run as a plain Python loop over NumPy (the oracle, which shares no code with scancc),
traced, interpreted after each pass, and compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

UNARY = {
    "tanh": np.tanh,
    "negative": np.negative,
    "absolute": np.absolute,
    "sin": np.sin,
    "half": lambda x: x * 0.5,
    "sqrt": lambda x: np.sqrt(np.absolute(x)),
    "exp": lambda x: np.exp(-np.absolute(x)),
    "flip": lambda x: x[..., ::-1] if x.ndim else x,
    "square": lambda x: x**2,
    "shift": lambda x: np.roll(x, 1) if x.ndim else x + 1.0,
    "gather": lambda x: x[..., [0, -1, 0]] if x.ndim else x,
    "head": lambda x: x[..., 0] if x.ndim else x,
    "clip": lambda x: np.clip(x, -1.0, 1.0),
}
BINARY = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "choose": lambda a, b: np.where(a > b, a, -b),
    "ratio": lambda a, b: a / (1.0 + np.absolute(b)),
}
REDUCTIONS = {"sum": np.sum, "mean": np.mean, "max": np.max, "var": np.var}
READINGS = {"all": lambda y: y, "last": lambda y: y[-1], "two": lambda y: y[-2:], "sum": lambda y: y.sum(0),
            "before": lambda y: y[-2]}  # fmt: skip
SHAPES = ((), (3,), (20,), (2, 2))


@dataclass(frozen=True)
class Program:
    dtype: str
    rows: int
    sequences: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # row shape, taps
    outputs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]  # row shape, taps (none: no feedback)
    weights: tuple[int, ...]  # sizes of square matrices
    code: tuple[tuple[str, int, int], ...]  # instruction, operands counted from the youngest value
    results: tuple[int, ...]
    readings: tuple[str, ...]
    backwards: bool

    def arrays(self) -> tuple[list, list, list]:
        r = np.random.default_rng(len(self.code) * 1000 + self.rows)
        xs = [r.normal(size=(self.rows, *s)).astype(self.dtype) for s, _ in self.sequences]
        initial = [
            r.normal(size=s if t == (-1,) else (-min(t), *s)).astype(self.dtype) if t else None for s, t in self.outputs
        ]
        ws = [(r.normal(size=(n, n)) / n).astype(self.dtype) for n in self.weights]
        return xs, initial, ws

    def arguments(self, xs: list, initial: list) -> tuple[list, list]:
        sequences = [dict(input=x, taps=list(t)) for x, (_, t) in zip(xs, self.sequences, strict=True)]
        info = [dict(initial=i, taps=list(t)) if t else None for i, (_, t) in zip(initial, self.outputs, strict=True)]
        return sequences, info

    def step(self, *arguments: Any) -> tuple:
        """The step function: the same NumPy calls on arrays and on traced values."""
        one = np.ones((), self.dtype)
        count = len(arguments) - len(self.weights)
        values, ws = [one, *arguments[:count]], arguments[count:]
        for name, i, j in self.code:
            a, b = values[-1 - i % len(values)], values[-1 - j % len(values)]
            if name in UNARY:
                new = UNARY[name](a)
            elif name in REDUCTIONS:
                new = REDUCTIONS[name](a) if a.ndim else a
            elif name == "matmul":
                w = next((w for w in ws if a.ndim == 1 and w.shape[0] == a.shape[0]), None)
                new = a if w is None else a @ w
            elif a.ndim and b.ndim and a.shape != b.shape:
                new = a
            else:
                new = BINARY[name](a, b)
            values.append(new.astype(self.dtype))
        made = []
        for (shape, _), k in zip(self.outputs, self.results, strict=True):
            v = values[-1 - k % len(values)]
            v = v if v.shape == shape else np.broadcast_to(np.mean(v).astype(self.dtype), shape)
            made.append(np.tanh(v * 0.5))
        return tuple(made)

    @property
    def steps(self) -> int:
        return max(0, min(self.rows - _reach(t) for _, t in self.sequences))

    def loop(self) -> list[np.ndarray]:
        """The definition of scan, in plain Python."""
        xs, initial, ws = self.arrays()
        n = self.steps
        if self.backwards:
            xs = [x[::-1] for x in xs]
        sign = -1 if self.backwards else 1
        past = [
            None if i is None else list(i if t != (-1,) else [i])
            for i, (_, t) in zip(initial, self.outputs, strict=True)
        ]
        rows: list[list] = [[] for _ in self.outputs]
        for t in range(n):
            given = []
            for x, (_, taps) in zip(xs, self.sequences, strict=True):
                turned = [sign * k for k in taps]
                given += [x[t + k - min(0, *turned)] for k in turned]
            for history, (_, taps) in zip(past, self.outputs, strict=True):
                given += [history[k] for k in taps] if history is not None else []
            made = self.step(*given, *ws)
            for history, out, value in zip(past, rows, made, strict=True):
                out.append(value)
                if history is not None:
                    history.append(value)
        return [np.array(r, self.dtype).reshape(len(r), *s) for r, (s, _) in zip(rows, self.outputs, strict=True)]


def _reach(taps: tuple[int, ...]) -> int:
    return max(0, *taps) - min(0, *taps)


def _taps(low: int, high: int, least: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(low, high), min_size=least, max_size=3, unique=True).map(tuple)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    shape = st.sampled_from(SHAPES)
    outputs = draw(st.lists(st.tuples(shape, st.one_of(st.just((-1,)), _taps(-4, -1, 0), st.just((-12, -1)))),
                            min_size=1, max_size=3))  # fmt: skip
    names = st.sampled_from([*UNARY, *BINARY, *BINARY, *REDUCTIONS, "matmul", "matmul"])
    place = st.integers(0, 9)
    return Program(
        dtype=draw(st.sampled_from(["float64", "float64", "float32"])),
        rows=draw(st.integers(8, 14)),
        sequences=tuple(draw(st.lists(st.tuples(shape, _taps(-2, 2, 1)), min_size=1, max_size=2))),
        outputs=tuple(outputs),
        weights=tuple(draw(st.lists(st.sampled_from([3, 20]), max_size=2, unique=True))),
        code=tuple(draw(st.lists(st.tuples(names, place, place), min_size=1, max_size=10))),
        results=tuple(draw(place) for _ in outputs),
        readings=tuple(draw(st.sampled_from([*READINGS])) for _ in outputs),
        backwards=draw(st.booleans()),
    )
