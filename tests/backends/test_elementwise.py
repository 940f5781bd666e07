"""Every element-wise op on every dtype that NumPy defines it for: compiled and interpreted give the same.

One program a dtype holds all ops at once, on every pair of values that are likely to go wrong. Integers and bools must
agree to the bit, floats to a few units in the last place, complex numbers to that relative to their magnitude.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from scancc_runtime.code import Variable, scalar_type

from scancc import interpreter
from scancc.backends.cpu import CpuProgram
from scancc.backends.functions import CASTS, EXPRESSIONS
from scancc.backends.llvm.kernel import KernelPrinter
from scancc.backends.llvm.ops import LINKED, WRITERS
from scancc.driver import compile_graph
from scancc.ir import build, types
from scancc.ir.graph import Graph, Node
from scancc.ir.loop import Declare, Let
from scancc.ir.ops import GENERATORS, OPS, infer
from scancc.ir.types import Dim, Type, is_half
from scancc.ir.walk import statements
from scancc.passes.pipeline import Options

ELEMENTWISE = [n for n, d in OPS.items() if d.kind == "elementwise"]
OWN_TESTS = {"where", "cast", "wrap_index", "split_steps", "zero_product", "either_zero_product", *GENERATORS,
             "log_gamma_variate", "poisson_variate", "binomial_variate", "digamma", "trigamma"}
R = np.random.default_rng(0)
DTYPES = {short: d for short, d in types.DTYPES.items() if not is_half(d)}  # those of 16 bits are only stored
FLOATS = [d for d in DTYPES.values() if d.kind == "f"]
REALS = [d for d in DTYPES.values() if d.kind != "c"]
pytestmark = pytest.mark.filterwarnings("ignore")


def defined(op: str, dtype: np.dtype) -> bool:
    """Whether NumPy (SciPy) has a loop of exactly this dtype, with the result that the op table says."""
    if op in ("real", "imag"):
        return True
    if op in OWN_TESTS:
        return False
    function = getattr(np, op, None) or getattr(scipy.special, op)
    operands = [dtype] * function.nin
    try:
        *taken, given = function.resolve_dtypes((*operands, *[None] * function.nout))
    except TypeError:
        return False
    return taken == operands and given == infer(op, [Type(dtype, ())] * function.nin, {}).dtype


DEFINED = {name: [op for op in ELEMENTWISE if defined(op, d)] for name, d in DTYPES.items()}


def values(dtype: np.dtype) -> np.ndarray:
    """Operands that are likely to go wrong, and some that are not."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        width = info.bits
        wanted = [info.min, info.min + 1, info.max - 1, info.max, 0, 1, 2, 3, 7, width - 1, width, width + 1, 100,
                  -1, -2, -3, -7, -width]  # fmt: skip
        return np.array([v for v in wanted if info.min <= v <= info.max], dtype)
    info = np.finfo(dtype)
    if dtype.kind == "f":
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, info.smallest_subnormal,
                   -info.smallest_subnormal, info.eps, 1 + info.eps]  # fmt: skip
        plain = [1, -1, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3, -7, 0.1, 20.5, -30.25, 88, -100, 1e10, -1e15]
        return np.array([*special, *plain, *(R.normal(size=8) * 4)], dtype)
    parts = np.array([0.0, -0.0, 1, -1, 0.5, -2.5, 3.25, 1e-3, -1e-8, -40, np.inf, -np.inf, np.nan])
    z = np.empty((len(parts), len(parts)), dtype)
    z.real, z.imag = parts[:, None], parts
    near_one = np.exp(1j * R.uniform(0, 6, 6)) * (1 + 1e-6 * R.normal(size=6))
    return np.concatenate([z.ravel(), near_one, R.normal(size=20) + 1j * R.normal(size=20)]).astype(dtype)


def pairs(dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of `values`."""
    v = values(dtype)
    a, b = np.meshgrid(v, v)
    return a.ravel(), b.ravel()


def operands(dtype: np.dtype) -> tuple[Node, Node]:
    n = Dim("n")
    a, b = (build.make("input", type=Type(dtype, (n,)), name=name) for name in "ab")
    return a, b


def compiled(inputs: tuple[Node, ...], nodes: dict[str, Node], **options: bool) -> CpuProgram:
    return compile_graph(Graph(inputs, nodes), "ops", Options(**options))


def both(inputs: tuple[Node, ...], nodes: dict[str, Node], *arrays: np.ndarray, **options: bool) -> tuple[dict, dict]:
    given = {x.attrs["name"]: a for x, a in zip(inputs, arrays, strict=True)}
    return compiled(inputs, nodes, **options).run(given), interpreter.run(Graph(inputs, nodes), given)


def program_of_all(dtype: np.dtype) -> tuple[tuple[Node, Node], dict[str, Node]]:
    a, b = operands(dtype)
    return (a, b), {op: build.make(op, *(a, b)[: OPS[op].arity]) for op in DEFINED[DTYPES_SHORT[dtype]]}


DTYPES_SHORT = {d: s for s, d in DTYPES.items()}

# Units in the last place where more than the default is right: what NumPy and SciPy themselves are off.
ULPS = {"erfc": 100, "power": 16}


def compare(op: str, dtype: np.dtype, have: np.ndarray, want: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(have, want, err_msg=op)
        return
    eps = np.finfo(dtype).eps
    if dtype.kind == "f":
        if op == "gammaln":  # SciPy's is infinite for subnormal numbers and loses digits at the zeros 1 and 2
            have, want = (np.where(np.abs(x) < np.finfo(dtype).tiny, 0, v) for v in (have, want))
        # SciPy's expit underflows early; the smallest numbers have no digits to lose.
        atol = {"gammaln": 4 * eps, "expit": np.finfo(dtype).tiny}.get(op, 2 * np.finfo(dtype).smallest_subnormal)
        np.testing.assert_allclose(have, want, rtol=ULPS.get(op, 8) * eps, atol=atol, err_msg=op)
        return
    exact = ((have == want) | (np.isnan(have) & np.isnan(want))).astype(bool)
    with np.errstate(all="ignore"):
        # In single precision NumPy loses what is small beside 1 (log1p) and the phase of what is large.
        size = np.abs(want) if dtype.itemsize == 16 else (1 + np.abs(x)) * (np.abs(want) + (op == "log1p"))
        near = np.abs(have - want) <= 64 * eps * size
    # Infinities and NaNs of C99's tables leave signs unspecified; powers overflow by different ways.
    allowed = ~np.isfinite(want)
    if op == "power":
        allowed |= (np.abs(x) > 1e6) | (np.abs(y) > 30) | (np.abs(x) < 1e-6)
    else:
        same = [
            (np.isnan(h) & np.isnan(w)) | (np.abs(h) == np.abs(w)) | np.isclose(h, w, rtol=64 * eps)
            for h, w in ((have.real, want.real), (have.imag, want.imag))
        ]
        allowed &= same[0] & same[1]
    bad = ~(exact | near | allowed)
    if op in ("erf", "erfc"):
        bad &= np.isfinite(x) & (np.abs(x) < 10)  # beyond it overflows, by different ways
    assert not bad.any(), (op, [(x[i], y[i], have[i], want[i]) for i in np.flatnonzero(bad)[:5]])


@pytest.mark.parametrize("short", DTYPES)
def test_every_op(short):
    dtype = DTYPES[short]
    inputs, nodes = program_of_all(dtype)
    x, y = pairs(dtype)
    if dtype.kind == "i":  # negative powers are an error
        del nodes["power"]
    have, want = both(inputs, nodes, x, y)
    for op in nodes:
        assert have[op].dtype == want[op].dtype, op
        compare(op, dtype, have[op], want[op], x, y)


@pytest.mark.parametrize("short", DTYPES)
def test_nothing_is_widened_and_nothing_missing(short):
    """Every variable of the kernel has the type that the IR says: float32 stays float32."""
    dtype = DTYPES[short]
    inputs, nodes = program_of_all(dtype)
    assert all(dtype.kind in EXPRESSIONS[op] for op in nodes)
    assert all(dtype.kind in WRITERS.get(op, {}) or (op, dtype.kind) in LINKED for op in nodes)
    assert len(nodes) >= (20 if dtype.kind == "b" else 30)
    nodes.pop("power", None) if dtype.kind == "i" else None
    program = compiled(inputs, nodes)  # the very program of `test_every_op`
    printer = KernelPrinter(program.lowered.kernel, (), program.code.stack)
    checked = 0
    for s in statements(program.lowered.kernel.body):
        if isinstance(s, (Let, Declare)):
            value = printer.values[s.var.name]
            value = value.get() if isinstance(value, Variable) else value
            parts = value if isinstance(value, tuple) else (value,)
            expected = [scalar_type(s.var.dtype)] * (2 if s.var.dtype.kind == "c" else 1)
            assert [p.type for p in parts] == expected, program.source
            checked += 1
    assert checked > 20


@pytest.mark.parametrize("dtype", [np.dtype("f4"), np.dtype("c8")], ids=str)
def test_single_precision_is_not_computed_in_double(dtype):
    """No conversion to double in the machine code of what is not an elementary function."""
    a, b = operands(dtype)
    ops = {
        "f": "add subtract multiply divide minimum maximum fmin fmax copysign floor_divide remainder fmod power "
             "arctan2 hypot logaddexp less equal negative sign floor ceil rint trunc sqrt cbrt exp exp2 absolute "
             "signbit isnan isfinite expm1 tanh expit",
        "c": "add subtract multiply divide minimum less equal negative sign rint absolute conjugate real isnan",
    }[dtype.kind]  # fmt: skip
    nodes = {op: build.make(op, *(a, b)[: OPS[op].arity]) for op in ops.split()}
    program = compiled((a, b), nodes)
    assert "fpext" not in program.code.llvm()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_signs_of_zeros(dtype):
    inputs, nodes = program_of_all(dtype)
    for op in "minimum maximum fmin fmax".split():  # which of two zeros is the smaller one is anybody's choice
        del nodes[op]
    x, y = pairs(dtype)
    have, want = both(inputs, nodes, x, y)
    for op in nodes:
        if want[op].dtype == dtype:
            zero = want[op] == 0
            np.testing.assert_array_equal(np.signbit(have[op][zero]), np.signbit(want[op][zero]), err_msg=op)


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind == "i"], ids=str)
def test_integer_powers(dtype):
    a, b = operands(dtype)
    x, y = pairs(dtype)
    known = y >= 0
    have, want = both((a, b), {"power": build.make("power", a, b)}, x[known], y[known])
    np.testing.assert_array_equal(have["power"], want["power"])
    negative = {"a": np.array([2, 2], dtype), "b": np.array([1, -1], dtype)}
    with pytest.raises(ValueError, match="negative integer power"):
        compiled((a, b), {"power": build.make("power", a, b)}).run(negative)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_strict_arithmetic_is_that_of_the_interpreter_to_the_bit(dtype):
    a, b = operands(dtype)
    product = build.make("multiply", a, b)
    chain = build.make("subtract", build.make("add", product, a), build.make("multiply", b, b))
    nodes = {
        "chain": chain, "divide": build.make("divide", chain, b), "sqrt": build.make("sqrt", product),
        "cancelled": build.make("subtract", build.make("multiply", a, a), build.make("multiply", a, a)),
    }  # fmt: skip
    x, y = pairs(dtype)
    have, want = both((a, b), nodes, x, y, strict_fp=True)
    for name in nodes:
        nan = np.isnan(want[name])
        np.testing.assert_array_equal(np.isnan(have[name]), nan)
        bits = f"u{dtype.itemsize}"
        np.testing.assert_array_equal(have[name][~nan].view(bits), want[name][~nan].view(bits), err_msg=name)


@pytest.mark.parametrize("source", DTYPES.values(), ids=str)
def test_casts(source):
    a, _ = operands(source)
    nodes = {name: build.make("cast", a, dtype=d) for name, d in DTYPES.items()}
    assert all((source.kind, d.kind) in CASTS for d in DTYPES.values())
    x = values(source)
    x = np.concatenate([x, R.integers(-(2**62), 2**62, 40).astype(source)]) if source.kind in "iu" else x
    have, want = both((a,), nodes, x)
    for name, dtype in DTYPES.items():
        fits = np.ones(len(x), bool)
        if source.kind in "fc" and dtype.kind in "iu":  # C leaves the rest undefined
            fits = np.abs(x.real) < (2.0 ** min(31, 8 * dtype.itemsize - (dtype.kind == "i")))
            fits &= (x.real > -1) | (dtype.kind == "i")
        assert have[name].dtype == dtype
        np.testing.assert_array_equal(have[name][fits], want[name][fits], err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_where(dtype):
    a, b = operands(dtype)
    x, y = pairs(dtype)
    node = build.make("where", build.make("not_equal", a, b), a, b)
    have, want = both((a, b), {"r": node}, x, y)
    np.testing.assert_array_equal(have["r"], want["r"])


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.kind == "i"], ids=str)
def test_wrap_index(dtype):
    a, _ = operands(dtype)
    length = build.const(5, dtype)
    nodes = {"r": build.make("wrap_index", a, build.broadcast_to(length, a.type.shape))}
    have, want = both((a,), nodes, np.arange(-5, 5).astype(dtype))
    np.testing.assert_array_equal(have["r"], want["r"])
    for outside in (5, -6):
        with pytest.raises(IndexError):
            compiled((a,), nodes).run({"a": np.array([0, outside], dtype)})


def test_dividing_the_smallest_integer_by_minus_one_or_zero_does_not_trap():
    """Also where the divisor is a constant, and in a step whose values stay in registers."""
    for dtype in (d for d in DTYPES.values() if d.kind in "iu"):
        a, _ = operands(dtype)
        smallest = np.iinfo(dtype).min
        nodes = {}
        for divisor in [0, 3, 7] + ([-1, -3] if dtype.kind == "i" else []):
            c = build.broadcast_to(build.const(divisor, dtype), a.type.shape)
            name = f"by_{divisor}".replace("-", "minus_")
            nodes |= {f"{op}_{name}": build.make(op, a, c) for op in ("floor_divide", "remainder", "fmod")}
        have, want = both((a,), nodes, np.array([smallest, smallest + 1, 0, 5, np.iinfo(dtype).max], dtype))
        for name in nodes:
            np.testing.assert_array_equal(have[name], want[name], err_msg=f"{name} {dtype}")
