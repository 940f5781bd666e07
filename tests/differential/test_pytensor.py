"""Scan programs through PyTensor and through scancc: the same step, arguments and views, the same values and shapes.

Steps are written once, on a module `m` of functions that is NumPy for scancc and pytensor.tensor for PyTensor. Needs the
extra `bench`, which CI installs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import scancc as sc

pytensor = pytest.importorskip("pytensor", reason="the extra `bench` is not installed")
pt = pytest.importorskip("pytensor.tensor")
pytensor.config.cxx = ""  # its Python mode: programs are small, and compile in milliseconds

R = np.random.default_rng(0)


@dataclass
class Program:
    name: str
    step: Callable  # step(m, *arguments) -> outputs, or (outputs, condition) with `until`
    sequences: list[tuple[np.ndarray, tuple[int, ...] | None]] = field(default_factory=list)
    outputs: list[tuple[np.ndarray, tuple[int, ...] | None] | None] = field(default_factory=list)
    non_sequences: list[np.ndarray] = field(default_factory=list)
    n_steps: int | None = None
    go_backwards: bool = False
    until: bool = False
    view: Callable = staticmethod(lambda m, *ys: ys)

    def arguments(self, convert: Callable) -> dict[str, Any]:
        sequences = [
            convert(x) if taps is None else {"input": convert(x), "taps": list(taps)} for x, taps in self.sequences
        ]
        info = [
            None if o is None else convert(o[0]) if o[1] is None else {"initial": convert(o[0]), "taps": list(o[1])}
            for o in self.outputs
        ]
        return {
            "sequences": sequences or None, "outputs_info": info, "n_steps": self.n_steps,
            "non_sequences": [convert(w) for w in self.non_sequences] or None, "go_backwards": self.go_backwards,
        }  # fmt: skip

    def by_scancc(self) -> list[np.ndarray]:
        arrays: list[np.ndarray] = []
        self.arguments(lambda a: arrays.append(a) or a)

        @sc.jit
        def run(*values: Any) -> Any:
            rest = iter(values)
            given = self.arguments(lambda a: next(rest))
            steps = given.pop("n_steps")

            def step(*args: Any) -> Any:
                found = self.step(np, *args)
                return (found[0], sc.until(found[1])) if self.until else found

            ys = sc.scan(step, n_steps=steps, return_list=True, **given)
            return tuple(self.view(np, *ys))

        return list(run(*arrays))

    def by_pytensor(self) -> list[np.ndarray]:
        from pytensor.scan.utils import until

        def step(*args: Any) -> Any:
            found = self.step(pt, *args)
            return (found[0], until(found[1])) if self.until else found

        given = self.arguments(lambda a: pt.as_tensor_variable(a))
        ys = pytensor.scan(step, return_list=True, return_updates=False, **given)
        return pytensor.function([], list(self.view(pt, *ys)), mode="FAST_COMPILE")()


def rows(*shape: int, dtype: str = "float64") -> np.ndarray:
    values = R.normal(size=shape)
    return (values * 5).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


PROGRAMS: list[Program] = []


def add(name: str, step: Callable, **given: Any) -> None:
    PROGRAMS.append(Program(name, step, **given))


# -- functions ---------------------------------------------------------------------------------------------------------
FUNCTIONS: dict[str, Callable] = {
    **{n: lambda m, v, n=n: getattr(m, n)(v) for n in
       "exp tanh sin cos arctan arcsinh sinh cosh expm1 floor ceil trunc sign sqrt log log1p log2 log10 exp2 cumsum".split()},
    "abs": lambda m, v: abs(v), "square": lambda m, v: v * v, "power": lambda m, v: (abs(v) + 0.5) ** 1.5,
    "maximum": lambda m, v: m.maximum(v, 0.3), "minimum": lambda m, v: m.minimum(v, -0.1),
    "where": lambda m, v: m.where(v > 0, v, v * 0.1), "clip": lambda m, v: m.clip(v, -0.5, 0.5),
    "arctan2": lambda m, v: m.arctan2(v, v + 2.0), "logic": lambda m, v: m.where((v > 0) & ~(v > 1) | (v < -1), 1.0, v),
    "divide": lambda m, v: v / (1.0 + v * v), "floor_divide": lambda m, v: v // 0.3, "mod": lambda m, v: v % 0.7,
}  # fmt: skip
POSITIVE = {"sqrt", "log", "log1p", "log2", "log10"}
BOUNDED = {"exp", "exp2", "sinh", "cosh", "expm1"}
for _name, _f in FUNCTIONS.items():
    for _dtype in ("float64", "float32"):

        def _step(m: Any, x: Any, y: Any, f: Callable = _f, n: str = _name, d: str = _dtype) -> Any:
            v = 0.5 * y + x
            v = abs(v) + 0.5 if n in POSITIVE else m.tanh(v) if n in BOUNDED else v
            return f(m, v).astype(d)

        _shape = (9, 3) if _name == "cumsum" else (9,)
        add(f"{_name} {_dtype}", _step, sequences=[(rows(*_shape, dtype=_dtype), None)],
            outputs=[(rows(*_shape[1:], dtype=_dtype), None)])  # fmt: skip

# -- integers ------------------------------------------------------------------------------------------------------------
INTEGERS: dict[str, Callable] = {
    "sum": lambda m, x, y: x + y, "product": lambda m, x, y: x * 3 + y * 2, "divide": lambda m, x, y: y // 3 + x,
    "mod": lambda m, x, y: (y + x) % 7, "bits": lambda m, x, y: (x & 12) | (y ^ 5), "compare": lambda m, x, y: m.where(x > y, x, y),
}  # fmt: skip
for _name, _f in INTEGERS.items():
    for _dtype in ("int64", "int32", "int8"):
        add(f"integers: {_name} {_dtype}", lambda m, x, y, f=_f, d=_dtype: f(m, x, y).astype(d),
            sequences=[(rows(8, dtype=_dtype), None)], outputs=[(np.array(2, _dtype), None)])  # fmt: skip

# -- taps ------------------------------------------------------------------------------------------------------------------
for _out in ((-1,), (-2, -1), (-3, -1), (-1, -2), (-4,)):
    for _seq in ((0,), (-1, 0), (0, 1), (2, 0, -2)):
        for _back in (False, True):

            def _taps(m: Any, *args: Any, n: int = len(_seq)) -> Any:
                xs, ys = args[:n], args[n:]
                return sum((k + 1) * 0.3 * x for k, x in enumerate(xs)) + sum(
                    (-0.4) ** (k + 1) * y for k, y in enumerate(ys)
                )

            _initial = rows() if _out == (-1,) else rows(-min(_out))
            add(f"taps {_out} of {_seq} {'backwards' if _back else 'forwards'}", _taps, sequences=[(rows(11), _seq)],
                outputs=[(_initial, None if _out == (-1,) else _out)], go_backwards=_back)  # fmt: skip

# -- rows of several axes --------------------------------------------------------------------------------------------------
W, B = rows(4, 4) * 0.4, rows(4)
ROWS: dict[str, tuple[Callable, tuple[int, ...], tuple[int, ...]]] = {
    "rnn": (lambda m, x, h, w, b: m.tanh(m.dot(h, w) + x + b), (4,), (4,)),
    "batch": (lambda m, x, h, w, b: m.tanh(m.dot(h, w) * 0.5 + m.dot(x, w) + b), (3, 4), (3, 4)),
    "outer": (lambda m, x, h, w, b: 0.5 * h + m.outer(x, x) * 0.1 + m.dot(h, w), (4,), (4, 4)),
    "transpose": (lambda m, x, h, w, b: 0.3 * h.T + x + w, (4, 4), (4, 4)),
    "sum": (lambda m, x, h, w, b: h * 0.5 + x.sum(axis=0) * b, (3, 4), (4,)),
    "max": (lambda m, x, h, w, b: h * 0.5 + m.max(x, axis=1), (4, 5), (4,)),
    "mean": (lambda m, x, h, w, b: h * 0.5 + m.mean(x, axis=1) + b, (4, 5), (4,)),
    "prod": (lambda m, x, h, w, b: h * 0.5 + m.prod(x, axis=0), (2, 4), (4,)),
    "slices": (lambda m, x, h, w, b: m.concatenate([h[1:], x[:1]]) + b[::-1], (4,), (4,)),
    "index": (lambda m, x, h, w, b: h * 0.5 + x[1] * w[2] + x[-1], (4,), (4,)),
    "stack": (lambda m, x, h, w, b: m.stack([x[0] + h[1], h[0], b[2], x[3]]), (4,), (4,)),
    "reshape": (lambda m, x, h, w, b: 0.5 * h + x.reshape((2, 2)).T.reshape((4,)), (4,), (4,)),
    "broadcast": (lambda m, x, h, w, b: 0.5 * h + x[:, None] * b[None, :], (3,), (3, 4)),
    "argmax": (lambda m, x, h, w, b: h * 0.5 + m.argmax(x, axis=0) * 1.0, (5, 4), (4,)),
}  # fmt: skip
for _name, (_f, _x, _h) in ROWS.items():
    add(f"rows: {_name}", _f, sequences=[(rows(6, *_x), None)], outputs=[(rows(*_h), None)], non_sequences=[W, B])

# -- forms -----------------------------------------------------------------------------------------------------------------
add("no sequence", lambda m, y: y * 1.1, outputs=[(rows(), None)], n_steps=7)
add("no state", lambda m, x: [m.exp(x), x * 2], sequences=[(rows(5), None)], outputs=[None, None])
add("fewer steps than rows", lambda m, x, y: x + y, sequences=[(rows(9), None)], outputs=[(rows(), None)], n_steps=4)
add("two sequences of two lengths", lambda m, a, b, y: a * b + y, sequences=[(rows(9), None), (rows(6), None)],
    outputs=[(rows(), None)])  # fmt: skip
add("states and outputs", lambda m, x, y, z: [y + z, z * 0.5 + x, y - x],
    sequences=[(rows(8), None)], outputs=[(rows(), None), (rows(), None), None])  # fmt: skip
add("states of several depths", lambda m, x, a, b, c: [a + b * x, c * 0.9 + a],
    sequences=[(rows(8), None)], outputs=[(rows(3), (-3, -1)), (rows(2), (-2,))])  # fmt: skip
add("a state of each rank", lambda m, x, a, b, c: [a + x, b * 0.5 + a, c + b[None, :]],
    sequences=[(rows(5), None)], outputs=[(rows(), None), (rows(3), None), (rows(2, 3), None)])  # fmt: skip
add("one row", lambda m, x, y: x + y, sequences=[(rows(1), None)], outputs=[(rows(), None)])
add("booleans", lambda m, x, y: y ^ (x > 0), sequences=[(rows(7), None)], outputs=[(np.array(True), None)])
add("backwards with two taps and a state", lambda m, a, b, y: a - b + 0.5 * y, sequences=[(rows(9), (-1, 0))],
    outputs=[(rows(), None)], go_backwards=True, n_steps=5)  # fmt: skip
add("ignored argument", lambda m, x, y, w: y + 1.0, sequences=[(rows(4), None)], outputs=[(rows(), None)],
    non_sequences=[rows(3)])  # fmt: skip
for _k in range(6):
    add(f"until the sum passes {_k}", lambda m, x, y, k=_k: (y + abs(x), y + abs(x) > k), until=True,
        sequences=[(np.linspace(-1, 1, 12), None)], outputs=[(np.array(0.0), None)])  # fmt: skip
    add(f"until, {_k} rows from the end", lambda m, y: (y * 1.3, y > 10.0), until=True, outputs=[(np.array(1.0), None)],
        n_steps=40, view=lambda m, ys, k=_k: (ys[-1 - k], ys[-1 - k :], ys.shape[0]))  # fmt: skip

# -- views -----------------------------------------------------------------------------------------------------------------
VIEWS: dict[str, Callable] = {
    "last": lambda m, y, z: (y[-1],), "last but two": lambda m, y, z: (y[-3],), "tail": lambda m, y, z: (y[-4:],),
    "inner": lambda m, y, z: (y[2:5],), "without the ends": lambda m, y, z: (y[1:-1],), "every second": lambda m, y, z: (y[::2],),
    "reversed": lambda m, y, z: (y[::-1],), "first": lambda m, y, z: (y[0],), "shape": lambda m, y, z: (y.shape[0],),
    "sum": lambda m, y, z: (y.sum(axis=0),), "mean": lambda m, y, z: (m.mean(y, axis=0),), "max": lambda m, y, z: (y.max(axis=0),),
    "min": lambda m, y, z: (y.min(axis=0),), "prod": lambda m, y, z: (m.prod(y, axis=0),), "sum of all": lambda m, y, z: (z.sum(),),
    "several": lambda m, y, z: (y[-1], y[-3:], y.sum(axis=0), z[-2]), "both": lambda m, y, z: (y * 2 + z[:, 0], z),
    "dot": lambda m, y, z: (m.dot(y, z),), "any": lambda m, y, z: ((y > 1).any(), (z > -9).all()),
    "argmax": lambda m, y, z: (m.argmax(y, axis=0),), "last and whole": lambda m, y, z: (y[-1], y),
}  # fmt: skip
for _name, _view in VIEWS.items():
    add(f"view: {_name}", lambda m, x, y, z: [0.8 * y + x, z * 0.5 + y], view=_view,
        sequences=[(rows(9), None)], outputs=[(rows(), None), (rows(2), None)])  # fmt: skip

# -- loops in loops --------------------------------------------------------------------------------------------------------


def _inner(m: Any, step: Callable, sequence: Any, initial: Any, steps: Any = None) -> Any:
    if m is np:
        return sc.scan(step, sequence, initial, n_steps=steps)
    info = None if initial is None else [initial]
    return pytensor.scan(step, sequence, info, n_steps=steps, return_updates=False)


add("nested: rows", lambda m, x, y: y * 0.5 + _inner(m, lambda v, s: v * 0.5 + s, x, y)[-1],
    sequences=[(rows(5, 4), None)], outputs=[(rows(), None)])  # fmt: skip
add(
    "nested: fixed steps",
    lambda m, y: _inner(m, lambda s: s * 1.1 + 0.1, None, y, 3)[-1],
    outputs=[(rows(), None)],
    n_steps=5,
)
add("nested: whole history", lambda m, x: _inner(m, lambda v, s: v + s, x, x[0] * 0.0), sequences=[(rows(4, 3), None)],
    outputs=[None])  # fmt: skip
# (The sum of a map inside of a map is left out: PyTensor 3.0.7 sums squares to negative numbers there.)
add(
    "nested: map of a map",
    lambda m, x: _inner(m, lambda v: v * v, x, None),
    sequences=[(rows(4, 3), None)],
    outputs=[None],
)


def test_there_are_enough():
    assert len(PROGRAMS) >= 150 and len({p.name for p in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
@pytest.mark.filterwarnings("ignore")
def test_same_values_and_shapes(program):
    with np.errstate(all="ignore"):
        want, have = program.by_pytensor(), program.by_scancc()
    assert len(have) == len(want)
    for h, w in zip(have, want, strict=True):
        w = np.asarray(w)
        assert h.shape == w.shape and h.dtype.kind == w.dtype.kind
        tolerance = 2e-5 if w.dtype == np.float32 else 1e-11
        np.testing.assert_allclose(h, w, rtol=tolerance, atol=tolerance)
