"""What printed source names, as plain NumPy: `.source()` runs in Python as it is.

Arithmetic is NumPy's own. Subscripts are checked: never negative, never too large in any axis.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from copy import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.special
from scancc_runtime import messages, panels

from scancc.backends.cpu import CpuProgram
from scancc.backends.llvm.allocations import FIRST_ROWS
from scancc.ir.types import DTYPES, in_memory, is_half


def function(source: str, name: str) -> Callable[..., Any]:
    """The kernel of a program as a Python function."""
    scope = dict(NAMESPACE)
    exec(compile(source, f"<scancc source {name}>", "exec"), scope)

    def call(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return scope[name](*args)

    return call


def at(i: Any) -> int:
    assert i >= 0, f"a subscript is {i}"
    return int(i)


def count(start: Any, stop: Any) -> Iterator[np.int64]:
    """Counters are numbers of 64 bits, which wrap, as the kernel's are."""
    return map(np.int64, builtins.range(start, stop))


def grown(array: np.ndarray) -> np.ndarray:
    rows = np.empty((max(FIRST_ROWS, 2 * len(array)), *array.shape[1:]), array.dtype)
    rows[: len(array)] = array
    return rows


class _Cast:
    """A dtype that converts numbers as C does: integers wrap."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __call__(self, x: Any) -> Any:
        return np.asarray(x).astype(self.dtype)[()]


def _module(home: Any, names: str, **others: Any) -> SimpleNamespace:
    return SimpleNamespace(**{n: getattr(home, n) for n in names.split()}, **others)


def _at_once(f: Callable[..., Any]) -> Callable[..., Any]:
    """A ufunc whose result is of the dtype of its last operand."""
    return lambda *args: np.asarray(f(*args)).astype(np.asarray(args[-1]).dtype)[()]


# -- numbers -----------------------------------------------------------------------------------------------------------


def _order(x: Any, y: Any) -> tuple[bool, bool]:
    """Whether complex numbers are in order, and whether they are equal."""
    known = not (np.isnan(x.imag) or np.isnan(y.imag))
    return known and bool(x.real < y.real), bool(x.real == y.real)


def _less(x: Any, y: Any) -> bool:
    before, same = _order(x, y)
    return before or (same and bool(x.imag < y.imag))


def _less_equal(x: Any, y: Any) -> bool:
    before, same = _order(x, y)
    return before or (same and bool(x.imag <= y.imag))


def _inverse(row: int, column: int) -> Callable[..., Any]:
    def element(*numbers: Any) -> Any:
        matrix = np.array(numbers).reshape(2, 2)
        try:
            return np.linalg.inv(matrix)[row, column]
        except np.linalg.LinAlgError:
            return matrix.dtype.type(np.nan)

    return element


def _of_numba(module: str, name: str) -> Callable[..., Any]:
    """Functions of the run-time library that Python can call: samplers, whose numbers are those of their algorithm."""

    def call(*args: Any) -> Any:
        from importlib import import_module

        return getattr(import_module(f"scancc_runtime.{module}"), name)(*args)

    return call


# -- counters: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" ----------------------------


def _philox(
    key: int, counter: list[int], bits: int, multipliers: tuple[int, int], growth: tuple[int, int]
) -> list[int]:
    mask = 2**bits - 1
    keys = [key & mask, key >> bits]
    x = counter
    for _ in builtins.range(10):
        p, q = x[0] * multipliers[0], x[2] * multipliers[1]
        x = [(q >> bits) ^ x[1] ^ keys[0], q & mask, (p >> bits) ^ x[3] ^ keys[1], p & mask]
        keys = [(k + g) & mask for k, g in zip(keys, growth, strict=True)]
    return x


def _split(*words: int) -> list[int]:
    return [part for w in words for part in (w & 0xFFFFFFFF, w >> 32)]


def _joined(x: list[int], index: int) -> np.uint64:
    low, high = x[2 * (index % 2) : 2 * (index % 2) + 2]
    return np.uint64(low | high << 32)


def philox4x32(key: Any, index: Any, stream: Any) -> np.uint64:
    key, index, stream = int(key), int(index), int(stream)
    growth = 0x9E3779B9, 0xBB67AE85
    return _joined(_philox(key, _split(index // 2, stream), 32, (0xD2511F53, 0xCD9E8D57), growth), index)


def philox4x64(key: Any, index: Any, stream: Any) -> np.uint64:
    key, index, stream = int(key), int(index), int(stream)
    multipliers, growth = (0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
    return np.uint64(_philox(key, [index // 4 + 1, 0, stream, 0], 64, multipliers, growth)[index % 4])


def threefry4x32(key: Any, index: Any, stream: Any) -> np.uint64:
    key, index, stream = int(key), int(index), int(stream)
    mask = 0xFFFFFFFF
    k = [*_split(key), 0, 0]
    k.append(k[0] ^ k[1] ^ 0x1BD11BDA)
    x = [(v + w) & mask for v, w in zip(_split(index // 2, stream), k, strict=False)]
    turns = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))
    for r in builtins.range(20):
        for first, second, turn in zip((0, 2), (1, 3) if r % 2 == 0 else (3, 1), turns[r % 8], strict=True):
            x[first] = (x[first] + x[second]) & mask
            x[second] = ((x[second] << turn | x[second] >> (32 - turn)) & mask) ^ x[first]
        if r % 4 == 3:
            s = r // 4 + 1
            x = [(v + k[(s + i) % 5]) & mask for i, v in enumerate(x)]
            x[3] = (x[3] + s) & mask
    return _joined(x, index)


# -- memory: arrays and the flat offsets of elements -------------------------------------------------------------------


def _rows(array: np.ndarray, offset: Any, rows: Any, columns: Any, stride: Any) -> np.ndarray:
    """A matrix whose rows are `stride` elements apart, in the memory of an array."""
    flat = array.reshape(-1)
    if not flat.flags.writeable or not np.shares_memory(flat, array):
        assert not array.size
    last = int(offset) + (int(rows) - 1) * int(stride) + int(columns)
    assert not rows or not columns or last <= flat.size
    size = flat.itemsize
    return np.lib.stride_tricks.as_strided(flat[int(offset) :], (int(rows), int(columns)), (int(stride) * size, size))


def _vector(array: np.ndarray, offset: Any, n: Any) -> np.ndarray:
    assert int(offset) + int(n) <= array.size
    return array.reshape(-1)[int(offset) : int(offset) + int(n)]


def vecmat(out: Any, o: Any, x: Any, x0: Any, w: Any, w0: Any, k: Any, n: Any, stride: Any) -> None:
    _vector(out, o, n)[:] = _vector(x, x0, k) @ _rows(w, w0, k, n, stride)


def matvec(out: Any, o: Any, w: Any, w0: Any, x: Any, x0: Any, m: Any, k: Any, stride: Any) -> None:
    _vector(out, o, m)[:] = _rows(w, w0, m, k, stride) @ _vector(x, x0, k)


def gemm(
    out: Any, o: Any, n_out: Any, a: Any, a0: Any, a_stride: Any, b: Any, b0: Any, b_stride: Any, m: Any, n: Any,
    k: Any, a_transposed: Any, b_transposed: Any,
) -> None:  # fmt: skip
    left = _rows(a, a0, k, m, a_stride).T if a_transposed else _rows(a, a0, m, k, a_stride)
    right = _rows(b, b0, n, k, b_stride).T if b_transposed else _rows(b, b0, k, n, b_stride)
    _rows(out, o, m, n, n_out)[:] = left @ right


def pack(out: Any, o: Any, w: Any, w0: Any, stride: Any, k: Any, n: Any, transposed: Any) -> None:
    matrix = _rows(w, w0, n, k, stride).T if transposed else _rows(w, w0, k, n, stride)
    width = panels.width(out.dtype)
    for first in builtins.range(0, int(n), width):
        panel = _rows(out, o + first * k, k, width, width)
        panel[:] = 0
        panel[:, : int(n) - first] = matrix[:, first : first + width]


def multiply(
    out: Any, o: Any, n_out: Any, a: Any, a0: Any, a_stride: Any, w: Any, w0: Any, m: Any, n: Any, k: Any
) -> None:  # fmt: skip
    left, width = _rows(a, a0, m, k, a_stride), panels.width(out.dtype)
    for first in builtins.range(0, int(n), width):
        here = min(width, int(n) - first)
        _rows(out, o + first, m, here, n_out)[:] = left @ _rows(w, w0 + first * k, k, width, width)[:, :here]


def total(x: Any, x0: Any, n: Any) -> Any:
    return _vector(x, x0, n).sum(dtype=x.dtype)


def solver(taps: int) -> Callable[..., None]:
    def solve(y: Any, y0: Any, n: Any, a: Any, a0: Any, state: Any, s0: Any, ahead: Any, ahead0: Any) -> None:
        rows, factors, before = _vector(y, y0, n), _vector(a, a0, taps), _vector(state, s0, taps)
        for t in builtins.range(int(n)):
            rows[t] += factors @ before
            before[1:] = before[:-1].copy()
            before[0] = rows[t]

    return solve


def _dense(compute: Callable[..., Any], undefined: float = np.nan) -> Callable[..., None]:
    """A function of a square matrix; `undefined` where the matrix is singular or not positive definite."""

    def call(out: Any, o: Any, a: Any, a0: Any, n: Any, work: Any, w0: Any) -> None:
        try:
            found = np.asarray(compute(_rows(a, a0, n, n, n)))
        except np.linalg.LinAlgError:
            found = np.full((n, n), undefined)
        _vector(out, o, found.size)[:] = found.reshape(-1)

    return call


def _solve(out: Any, o: Any, a: Any, a0: Any, b: Any, b0: Any, n: Any, m: Any, work: Any, w0: Any) -> None:
    try:
        _rows(out, o, n, m, m)[:] = np.linalg.solve(_rows(a, a0, n, n, n), _rows(b, b0, n, m, m))
    except np.linalg.LinAlgError:
        _rows(out, o, n, m, m)[:] = np.nan


# -- halves ------------------------------------------------------------------------------------------------------------


def _half(dtype: np.dtype) -> dict[str, Callable[[Any], Any]]:
    return {f"to_{dtype.name}": lambda x: np.float32(x).astype(dtype).view(np.uint16),
            f"from_{dtype.name}": lambda x: np.uint16(x).view(dtype).astype(np.float32)}  # fmt: skip


def _halves() -> dict[str, Callable[[Any], Any]]:
    found = _half(np.dtype(np.float16))
    try:
        import ml_dtypes
    except ImportError:
        return found
    return found | _half(np.dtype(ml_dtypes.bfloat16))


# -- all of it ---------------------------------------------------------------------------------------------------------

INVERSES = "sin cos tan sinh cosh tanh"
NAMESPACE: dict[str, Any] = {
    "at": at,
    "range": count,
    "grown": grown,
    "messages": messages,
    "np": SimpleNamespace(
        **{d.name: _Cast(d) for d in DTYPES.values() if not is_half(d)},
        empty=lambda shape, kind: np.empty([max(0, int(n)) for n in shape], kind.dtype),
    ),
    "math": _module(
        np, "sqrt log2 log10 tan sinh cosh isnan isinf isfinite", erfc=scipy.special.erfc,
        **{f"a{n}": getattr(np, f"arc{n}") for n in INVERSES.split()},
    ),
    "scalar": _module(
        np, "minimum maximum fmin fmax sign absolute", select=lambda c, x, y: x if c else y,
        zero_product=lambda x, y: x if x == 0 else x * y,
        either_zero_product=lambda x, y: x if x == 0 else y if y == 0 else x * y,
        like=lambda x, value: np.asarray(x).dtype.type(value),
    ),
    "integers": _module(
        np, "floor_divide remainder fmod left_shift right_shift power", truncate=lambda x, kind: kind(x)
    ),
    "reals": _module(
        np, "floor ceil trunc rint signbit exp2 cbrt copysign power hypot arctan2 fmod remainder floor_divide "
        "logaddexp",
        gammaln=scipy.special.gammaln,
    ),
    "transcendental": _module(
        np, "exp expm1 log log1p sin cos tanh", erf=scipy.special.erf, expit=scipy.special.expit
    ),
    "complexes": _module(
        np, "divide power minimum maximum fmin fmax sign rint isnan isinf isfinite sqrt exp exp2 expm1 log log2 log10 "
        "log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh",
        less=_less, less_equal=_less_equal,
    ),
    "special": _module(scipy.special, "erf erfc"),
    "polygamma": SimpleNamespace(
        digamma=scipy.special.digamma, trigamma=_at_once(lambda x: scipy.special.polygamma(1, x))
    ),
    "sums": SimpleNamespace(partial=np.add, multiply_add=lambda x, y, z: x * y + z, total=total),
    "matrices": SimpleNamespace(**{f"inverse_{i}{j}": _inverse(i, j) for i in (0, 1) for j in (0, 1)}),
    "revolve": SimpleNamespace(split=_of_numba("revolve", "split")),
    "counters": SimpleNamespace(philox4x32=philox4x32, philox4x64=philox4x64, threefry4x32=threefry4x32),
    "samplers": SimpleNamespace(**{
        f"{n}_variate": _of_numba("samplers", f"{n}_variate") for n in ("log_gamma", "poisson", "binomial")
    }),
    "halves": SimpleNamespace(**_halves()),
    "products": SimpleNamespace(vecmat=vecmat, matvec=matvec, gemm=gemm),
    "panels": SimpleNamespace(pack=pack, multiply=multiply),
    "recurrences": SimpleNamespace(**{f"solve{taps}": solver(taps) for taps in (1, 2, 3)}),
    "linear_algebra": SimpleNamespace(
        solve=_solve, inv=_dense(np.linalg.inv), cholesky=_dense(np.linalg.cholesky), det=_dense(np.linalg.det),
        slogdet_sign=_dense(lambda a: np.linalg.slogdet(a)[0]),
        slogdet_logabs=_dense(lambda a: np.linalg.slogdet(a)[1]),
    ),
}  # fmt: skip


def program(made: CpuProgram) -> CpuProgram:
    """A program whose kernel is the printed source."""
    kernel = made.lowered.kernel
    run, stack = function(made.source, kernel.name), made.code.stack
    dtypes = {p.name: in_memory(p.dtype) for p in kernel.params}

    def call(*args: Any) -> Any:
        given = iter(args)
        return run(
            *[np.empty(stack[p.name], dtypes[p.name]) if p.name in stack else next(given) for p in kernel.params]
        )

    found = copy(made)
    found.call = made._host(kernel=call)
    return found
