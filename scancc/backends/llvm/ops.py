"""How an op on scalars is written in LLVM IR, by the kind of its operands.

WRITERS[op][kind] writes the instructions of an op; kinds are those of NumPy dtypes: b(ool), i(nt), u(int), f(loat),
c(omplex). A value is an LLVM value of the very dtype that the IR says (a bool is one bit), or, for complex numbers, the
pair of its parts. Integers wrap. Sums and products of floats carry the kernel's flags: they may be contracted to
multiply-adds, unless the program is strict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from scancc_runtime import counters, halves, integers, matrices, reals, scalar, sums, transcendental
from scancc_runtime.code import BIT, Numbers, scalar_type
from scancc_runtime.scalar import ScalarEmitter, ScalarFunction

from scancc.backends.llvm.library import Library
from scancc.ir.types import is_half

REAL_PART: Mapping[np.dtype, np.dtype] = {np.dtype("c8"): np.dtype("f4"), np.dtype("c16"): np.dtype("f8")}


class OpPrinter:
    """Writes ops at the place where a builder is. `flags` are those of sums and products of floats."""

    def __init__(self, builder: Any, library: Library, flags: tuple[str, ...]) -> None:
        self.b, self.library, self.flags = builder, library, flags

    def op(self, name: str, dtype: np.dtype, args: tuple[Any, ...], kinds: tuple[np.dtype, ...]) -> Any:
        """`kinds` are the dtypes of the operands. Raises KeyError for an op that kernels do not have."""
        if name == "cast":
            return self.cast(args[0], kinds[0], dtype)
        function = LINKED.get((name, kinds[-1].kind))
        if function is not None:
            return self.library.number(self.b, function, dtype, kinds, args)
        return WRITERS[name][kinds[-1].kind](self, kinds[-1], *args)

    def constant(self, value: Any, dtype: np.dtype) -> Any:
        v = dtype.type(value)
        if is_half(dtype):
            return ir.IntType(16)(int(v.view(np.uint16)))
        if dtype.kind == "c":
            part = scalar_type(dtype)
            return part(float(v.real)), part(float(v.imag))
        if dtype.kind == "f":
            return scalar_type(dtype)(float(v))
        return scalar_type(dtype)(int(v))

    # -- conversions ---------------------------------------------------------------------------------------------

    def cast(self, x: Any, source: np.dtype, target: np.dtype) -> Any:
        """As C converts numbers; a complex number loses its imaginary part."""
        b = self.b
        if is_half(source):
            x, source = halves.to_float32(b, x, source), np.dtype(np.float32)
        if is_half(target):
            return halves.from_float32(b, self.cast(x, source, np.dtype(np.float32)), target)
        if source == target:
            return x
        if target.kind == "c":
            part = REAL_PART[target]
            if source.kind == "c":
                return tuple(self.cast(p, REAL_PART[source], part) for p in x)
            return self.cast(x, source, part), scalar_type(part)(0.0)
        if target.kind == "b":
            return self.nonzero(x, source)
        if source.kind == "c":
            x, source = x[0], REAL_PART[source]
        kind = scalar_type(target)
        if source.kind == "f":
            if target.kind != "f":
                return integers.truncate(b, x, source, target)
            return (b.fpext if target.itemsize > source.itemsize else b.fptrunc)(x, kind)
        if target.kind == "f":
            return (b.sitofp if source.kind == "i" else b.uitofp)(x, kind)
        if kind.width == x.type.width:
            return x
        if kind.width < x.type.width:
            return b.trunc(x, kind)
        return (b.sext if source.kind == "i" else b.zext)(x, kind)

    def nonzero(self, x: Any, dtype: np.dtype) -> Any:
        """Whether a number is not zero; a NaN is not."""
        if dtype.kind == "b":
            return x
        if dtype.kind == "c":
            return self.b.or_(*(self.nonzero(p, REAL_PART[dtype]) for p in x))
        if dtype.kind == "f":
            return self.b.fcmp_unordered("!=", x, x.type(0.0))
        return self.b.icmp_unsigned("!=", x, x.type(0))

    def numbers(self, dtype: np.dtype) -> Numbers:
        return Numbers(self.b, dtype, self.flags)


Writer = Callable[..., Any]  # of the printer, the operands' dtype, and the operands


def _add(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return p.numbers(dtype).add(x, y)


def _multiply(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return p.numbers(dtype).multiply(x, y)


def _subtract(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    if dtype.kind == "c":
        return tuple(p.b.fsub(a, b, flags=p.flags) for a, b in zip(x, y, strict=True))
    return p.b.fsub(x, y, flags=p.flags) if dtype.kind == "f" else p.b.sub(x, y)


def _divide(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return p.b.fdiv(x, y, flags=p.flags)


def _divide_complex(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    """Smith's algorithm (CACM 5, 1962) without a branch: no overflow on the way; NaN and infinities where y is 0."""
    b, e = p.b, ScalarEmitter(p.b, REAL_PART[dtype])
    (ar, ai), (br, bi) = x, y
    wide = e.compare(">=", e.llvm("fabs", br), e.llvm("fabs", bi))
    large, small = e.choose(wide, br, bi), e.choose(wide, bi, br)
    along, across = e.choose(wide, ar, ai), e.choose(wide, ai, ar)
    ratio = b.fdiv(small, large, flags=p.flags)
    scale = b.fdiv(e.c(1), b.fadd(large, b.fmul(small, ratio, flags=p.flags), flags=p.flags), flags=p.flags)
    real = b.fmul(b.fadd(along, b.fmul(across, ratio, flags=p.flags), flags=p.flags), scale, flags=p.flags)
    turned = b.fmul(along, ratio, flags=p.flags)
    one, other = b.fsub(across, turned, flags=p.flags), b.fsub(turned, across, flags=p.flags)
    imag = b.fmul(e.choose(wide, one, other), scale, flags=p.flags)
    nothing = b.and_(e.compare("==", br, e.c(0)), e.compare("==", bi, e.c(0)))
    zero = e.llvm("fabs", br)
    return (e.choose(nothing, b.fdiv(ar, zero), real), e.choose(nothing, b.fdiv(ai, zero), imag))


def _negative(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    if dtype.kind == "c":
        return tuple(p.b.fneg(a) for a in x)
    return p.b.fneg(x) if dtype.kind == "f" else p.b.neg(x)


def _bits(method: str) -> Writer:
    return lambda p, dtype, *args: getattr(p.b, method)(*args)


def _of_truth(method: str) -> Writer:
    """and, or, xor of whether operands are not zero."""
    return lambda p, dtype, x, y: getattr(p.b, method)(p.nonzero(x, dtype), p.nonzero(y, dtype))


def _compared(sign: str) -> Writer:
    return lambda p, dtype, x, y: ScalarEmitter(p.b, dtype).compare(sign, x, y)


def _equal_complex(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return p.b.and_(*(p.b.fcmp_ordered("==", a, b) for a, b in zip(x, y, strict=True)))


def _before(strict: bool, turned: bool) -> Writer:
    """Complex numbers in NumPy's order: by real parts, then by imaginary ones; nothing is before a NaN."""

    def write(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
        (ar, ai), (br, bi) = (y, x) if turned else (x, y)
        b, sign = p.b, "<" if strict else "<="
        ordered = b.fcmp_ordered("ord", ai, bi)
        first = b.and_(b.fcmp_ordered("<", ar, br), ordered)
        return b.or_(first, b.and_(b.fcmp_ordered("==", ar, br), b.fcmp_ordered(sign, ai, bi)))

    return write


def _select(p: OpPrinter, dtype: np.dtype, condition: Any, x: Any, y: Any) -> Any:
    if dtype.kind == "c":
        return tuple(p.b.select(condition, a, b) for a, b in zip(x, y, strict=True))
    return p.b.select(condition, x, y)


def _zero_product(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return _chosen_product(p, dtype, p.b.not_(p.nonzero(x, dtype)), x, y)


def _either_zero_product(p: OpPrinter, dtype: np.dtype, x: Any, y: Any) -> Any:
    return _chosen_product(p, dtype, p.b.not_(p.b.and_(p.nonzero(x, dtype), p.nonzero(y, dtype))), x, y)


def _chosen_product(p: OpPrinter, dtype: np.dtype, none: Any, x: Any, y: Any) -> Any:
    """The choice comes last, so that of a chain of them it is all that waits beside the product."""
    made = _multiply(p, dtype, x, y)
    if dtype.kind == "c":
        return tuple(p.b.select(none, part.type(0.0), part) for part in made)
    return p.b.select(none, made.type(0.0), made)


def _scalar(function: ScalarFunction) -> Writer:
    return lambda p, dtype, *args: function(p.b, dtype, *args)


def _llvm(name: str) -> Writer:
    return lambda p, dtype, *args: ScalarEmitter(p.b, dtype).llvm(name, *args)


def _libm(name: str) -> Writer:
    return lambda p, dtype, *args: ScalarEmitter(p.b, dtype).libm(name, *args)


def _given(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    return x


def _always(value: bool) -> Writer:
    return lambda p, dtype, x: BIT(value)


def _isinf(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    e = ScalarEmitter(p.b, dtype)
    return e.compare("==", e.llvm("fabs", x), e.c(np.inf))


def _isfinite(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    e = ScalarEmitter(p.b, dtype)
    return e.compare("<", e.llvm("fabs", x), e.c(np.inf))


def _isnan(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    return p.b.fcmp_unordered("uno", x, x)


def _of_parts(test: Writer, method: str) -> Writer:
    """A test of a complex number by those of its parts."""
    return lambda p, dtype, x: getattr(p.b, method)(*(test(p, REAL_PART[dtype], part) for part in x))


def _size(p: OpPrinter, dtype: np.dtype, x: Any) -> Any:
    return ScalarEmitter(p.b, REAL_PART[dtype]).libm("hypot", *x)


def _rows() -> list[tuple[str, str, Writer]]:
    """Ops, the kinds of their operands, and what writes them. Later rows go over earlier ones."""
    rows: list[tuple[str, str, Writer]] = [
        ("add", "iufc", _add), ("subtract", "iufc", _subtract), ("multiply", "iufc", _multiply),
        ("divide", "f", _divide), ("divide", "c", _divide_complex), ("negative", "iufc", _negative),
        ("add maximum fmax bitwise_or logical_or", "b", _bits("or_")),
        ("multiply minimum fmin bitwise_and logical_and", "b", _bits("and_")),
        ("bitwise_xor logical_xor not_equal", "b", _bits("xor")),
        ("bitwise_and", "iu", _bits("and_")), ("bitwise_or", "iu", _bits("or_")), ("bitwise_xor", "iu", _bits("xor")),
        ("invert logical_not", "b", _bits("not_")), ("invert", "iu", _bits("not_")),
        ("logical_and", "iufc", _of_truth("and_")), ("logical_or", "iufc", _of_truth("or_")),
        ("logical_xor", "iufc", _of_truth("xor")),
        ("logical_not", "iufc", lambda p, dtype, x: p.b.not_(p.nonzero(x, dtype))),
        ("less", "biuf", _compared("<")), ("less_equal", "biuf", _compared("<=")),
        ("greater", "biuf", _compared(">")), ("greater_equal", "biuf", _compared(">=")),
        ("equal", "biuf", _compared("==")), ("not_equal", "iuf", _compared("!=")),
        ("equal", "c", _equal_complex),
        ("not_equal", "c", lambda p, dtype, x, y: p.b.not_(_equal_complex(p, dtype, x, y))),
        ("less", "c", _before(True, False)), ("less_equal", "c", _before(False, False)),
        ("greater", "c", _before(True, True)), ("greater_equal", "c", _before(False, True)),
        ("where", "biufc", _select), ("zero_product", "fc", _zero_product),
        ("either_zero_product", "fc", _either_zero_product),
        ("absolute", "bu", _given), ("absolute", "c", _size), ("floor ceil trunc", "biu", _given),
        ("real conjugate", "biuf", _given), ("imag", "biuf", lambda p, dtype, x: x.type(0)),
        ("real", "c", lambda p, dtype, x: x[0]), ("imag", "c", lambda p, dtype, x: x[1]),
        ("conjugate", "c", lambda p, dtype, x: (x[0], p.b.fneg(x[1]))),
        ("isnan isinf", "biu", _always(False)), ("isfinite", "biu", _always(True)),
        ("isnan", "f", _isnan), ("isinf", "f", _isinf), ("isfinite", "f", _isfinite),
        ("isnan", "c", _of_parts(_isnan, "or_")), ("isinf", "c", _of_parts(_isinf, "or_")),
        ("isfinite", "c", _of_parts(_isfinite, "and_")),
        ("sqrt", "f", _llvm("sqrt")), ("cbrt", "f", _scalar(reals.cbrt)),
        ("partial_add", "f", _scalar(sums.partial)), ("multiply_add", "f", _scalar(sums.multiply_add)),
    ]  # fmt: skip
    for name in "log2 log10 tan sinh cosh erfc".split():
        rows.append((name, "f", _libm(name)))
    for name in "sin cos tan sinh cosh tanh".split():
        rows.append((f"arc{name}", "f", _libm(f"a{name}")))
    tables = (
        (scalar, "minimum maximum fmin fmax sign", "iuf"), (scalar, "absolute", "if"),
        (integers, "floor_divide remainder fmod left_shift right_shift power", "iu"),
        (reals, "floor ceil trunc rint signbit exp2 cbrt gammaln", "f"),
        (reals, "copysign power hypot arctan2 fmod remainder floor_divide logaddexp", "f"),
        (transcendental, "exp expm1 log log1p sin cos tanh erf expit", "f"),
        (matrices, "inverse_00 inverse_01 inverse_10 inverse_11", "f"),
        (counters, "philox4x32 philox4x64 threefry4x32", "u"),
    )  # fmt: skip
    for module, names, kinds in tables:
        rows += [(name, kinds, _scalar(getattr(module, name))) for name in names.split()]
    return rows


COMPLEX = (
    "power minimum maximum fmin fmax sign rint sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh cosh tanh "
    "arcsin arccos arctan arcsinh arccosh arctanh"
)
# Ops that are functions of the run-time library, which numba compiles, by the kind of their last operand.
LINKED: Mapping[tuple[str, str], str] = {
    **{(name, "c"): f"complexes.{name}" for name in COMPLEX.split()},
    **{(name, "c"): f"special.{name}" for name in ("erf", "erfc")},
    **{(name, "f"): f"polygamma.{name}" for name in ("digamma", "trigamma")},
    **{(f"{name}_variate", "f"): f"samplers.{name}_variate" for name in ("log_gamma", "poisson", "binomial")},
    ("split_steps", "i"): "revolve.split",
}  # fmt: skip


def _writers() -> dict[str, dict[str, Writer]]:
    table: dict[str, dict[str, Writer]] = {}
    for ops, kinds, write in _rows():
        for op in ops.split():
            table.setdefault(op, {}).update(dict.fromkeys(kinds, write))
    return table


WRITERS: Mapping[str, Mapping[str, Writer]] = _writers()
