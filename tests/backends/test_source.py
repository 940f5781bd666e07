"""`.source()` is a program in Python: run as it is, it gives what the machine code and the interpreter give."""

from __future__ import annotations

import ast

import numpy as np
import plain
import pytest
import scipy.special
from hypothesis import given, settings
from programs import programs
from test_elementwise import DTYPES, compare, compiled, operands, pairs, program_of_all, values
from test_random_programs import SLOW, reading

import scancc as sc
from scancc import interpreter
from scancc.backends.functions import CASTS, ROWS
from scancc.errors import ScanIndexError
from scancc.ir import build
from scancc.ir.graph import Graph
from scancc.ir.ops import GENERATORS

R = np.random.default_rng(0)


def three(f, *arrays: np.ndarray, tolerance: float = 1e-9) -> str:
    """Machine code, source and interpreter give the same results; returns the source."""
    traced, program = f.trace(*arrays), f.lower(*arrays).compiled
    inputs = traced.bound(arrays)
    results = [interpreter.run(traced.graph, inputs), program.run(inputs), plain.program(program).run(inputs)]
    for want, *others in zip(*(r.values() for r in results), strict=True):
        for have in others:
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance, err_msg=program.source)
    return program.source


@settings(max_examples=16, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(programs())
def test_random_programs(program):
    run, arrays = reading(program)
    with np.errstate(all="ignore"):
        three(sc.jit(run), *arrays, tolerance=2e-4 if program.dtype == "float32" else 1e-9)


@pytest.mark.parametrize("short", DTYPES)
@pytest.mark.filterwarnings("ignore")
def test_every_op(short):
    """On all kinds of numbers that go wrong, as far as NumPy has the op; powers of negative exponents are an error."""
    dtype = DTYPES[short]
    inputs, nodes = program_of_all(dtype)
    nodes.pop("power", None) if dtype.kind == "i" else None
    x, y = (v[:: 1 + len(v) // 500] for v in pairs(dtype))
    program = compiled(inputs, nodes)
    want = interpreter.run(Graph(inputs, nodes), {"a": x, "b": y})
    have = plain.program(program).run({"a": x, "b": y})
    for op in nodes:
        assert have[op].dtype == want[op].dtype, op
        compare(op, dtype, have[op], want[op], x, y)


@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
@pytest.mark.filterwarnings("ignore")
def test_casts(source):
    a, _ = operands(source)
    nodes = {name: build.make("cast", a, dtype=d) for name, d in DTYPES.items()}
    x = values(source)
    x = x if source.kind in "biu" else x[np.abs(x.real) < 100]
    x = np.abs(x) if source.kind == "f" else x[x.real >= 0]  # what unsigned integers have no number for is left open
    program = compiled((a,), nodes)
    want, have = program.run({"a": x}), plain.program(program).run({"a": x})
    for name in nodes:
        assert have[name].dtype == want[name].dtype
        np.testing.assert_array_equal(have[name], want[name], err_msg=name)


def numbers(*shape: int, dtype: str = "f8") -> np.ndarray:
    x = R.normal(size=shape)
    return (x + 1j * R.normal(size=shape) if dtype[0] == "c" else x).astype(dtype)


def recurrence(x, y0):
    return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])


def network(x, h, w):
    return sc.scan(lambda x, h, w: np.tanh(x + h @ w), x, h, w)


def dense(a, b):
    def step(a, b):
        positive = a @ np.conj(a).T
        return (np.linalg.solve(a, b), np.linalg.inv(a), np.linalg.det(a), *np.linalg.slogdet(a),
                np.linalg.cholesky(positive))  # fmt: skip

    return sc.scan(step, [a, b])


def inverses(a):
    return sc.scan(lambda a, total: total + np.linalg.inv(a), a, np.eye(2))


def doubled(y, limit):
    def step(y, limit):
        return y * 2, sc.until(y * 2 > limit)

    return sc.scan(step, None, y, limit, n_steps=100_000)


def squared(x):
    return (x * x).sum(), np.float32(2) * x.sum(axis=1)


def weighted(x, a):
    """The derivative by a number that each step uses: a sum over the steps."""
    loss = lambda a: (sc.scan(lambda x, y: np.tanh(a * y + x), x, 0.0) ** 2).sum()  # noqa: E731
    return sc.grad(loss)(a)


def checkpoints(x):
    loss = lambda x: sc.scan(lambda x, y: np.sin(x + y), x, 0.1, checkpoint="binomial")[-1] ** 2  # noqa: E731
    return sc.grad(loss)(x)


def drawn(key, x):
    def step(x, key):
        key = sc.random.fold_in(key, x)
        words = [sc.random.bits(key, (5,), generator=g) for g in GENERATORS]
        return (*words, sc.random.normal(key, (3,)), sc.random.integers(key, (2,), high=9))

    return sc.scan(step, x, None, key)


def in_halves(x, y0):
    return sc.scan(lambda x, y: (0.5 * y + x).astype(np.float16), x, y0)


def sampled(key, x):
    return sc.scan(lambda x, key: sc.random.poisson(sc.random.fold_in(key, x), (2,), mean=3.0), x, None, key)


def curvature(x):
    """Of the logarithm of the gamma function."""
    slope = sc.grad(lambda x: scipy.special.gammaln(x).sum())
    return slope(x), sc.grad(lambda x: slope(x).sum())(x)


WIDE = numbers(40, 13, 130, dtype="f4"), numbers(13, 130, dtype="f4"), numbers(130, 130, dtype="f4") / np.float32(130)
# What the source is expected to have in it, and a program whose source has that.
PROGRAMS = {
    "recurrences.solve2": (recurrence, numbers(700), numbers(2)),
    "products.vecmat": (network, numbers(6, 20), numbers(20), numbers(20, 20)),
    "products.gemm": (network, numbers(6, 3, 20), numbers(3, 20), numbers(20, 20)),
    "panels.multiply": (network, *WIDE),
    "matrices.inverse_01": (inverses, numbers(3, 2, 2) + 2 * np.eye(2)),
    "grown(": (doubled, np.array(1.0), np.array(1e50)),
    "sums.partial": (squared, numbers(9, 200, dtype="f4")),
    "sums.total": (weighted, numbers(700), np.array(0.3)),
    "revolve.split": (checkpoints, numbers(30)),
    "counters.philox4x32": (drawn, sc.random.key(5), np.arange(5)),
    "counters.philox4x64": (drawn, sc.random.key(5), np.arange(5)),
    "counters.threefry4x32": (drawn, sc.random.key(5), np.arange(5)),
    "samplers.poisson_variate": (sampled, sc.random.key(5), np.arange(9)),
    "halves.to_float16": (in_halves, numbers(9).astype("f2"), np.float16(0.5)),
    "polygamma.trigamma": (curvature, np.abs(numbers(20)) + 0.1),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    f, *arrays = PROGRAMS[name]
    single = np.asarray(arrays[0]).dtype.name in ("float32", "complex64")
    assert name in three(sc.jit(f), *arrays, tolerance=2e-4 if single else 1e-9)


def test_linear_algebra():
    """Of matrices that are not small, and where there is nothing to find; machine code for it takes long to make."""
    f = sc.jit(dense)
    a, b = numbers(3, 5, 5) + 3 * np.eye(5), numbers(3, 5)
    a[1] = 0
    program, traced = f.lower(a, b).compiled, f.trace(a, b)
    for name in "solve inv det slogdet_sign slogdet_logabs cholesky".split():
        assert f"linear_algebra.{name}(" in program.source
    inputs = traced.bound((a, b))
    have, want = plain.program(program).run(inputs), interpreter.run(traced.graph, inputs)
    for x, y in zip(have.values(), want.values(), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


def test_failures():
    """The same errors, from the same codes."""
    f = sc.jit(lambda x, i: sc.scan(lambda i, x: x[i], i, None, x))
    x, i = numbers(5), np.array([0, 4, -5, 2])
    three(f, x, i)
    program = f.lower(x, i).compiled
    inputs = f.trace(x, i + 3).bound((x, i + 3))
    messages = []
    for run in (program.run, plain.program(program).run):
        with pytest.raises(ScanIndexError) as found:
            run(inputs)
        messages.append(str(found.value))
    assert messages[0] == messages[1]


def test_every_name_is_known():
    """Of the functions that expressions are written with."""
    forms = [form.replace("{op}", op).format(*"abcd") for ops, _, form in ROWS for op in ops.split()]
    forms += [form.format("a", "int8", "float32") for form in CASTS.values()]
    used = [n for form in forms for n in ast.walk(ast.parse(form)) if isinstance(n, ast.Attribute)]
    named = {(n.value.id, n.attr) for n in used if isinstance(n.value, ast.Name)} - {("a", "real"), ("a", "imag")}
    assert len(named) > 100
    for module, name in named - {("a", "conjugate")}:
        assert hasattr(plain.NAMESPACE[module], name), f"{module}.{name}"
