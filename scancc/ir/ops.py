"""The op table: every op of the scan IR with its kind and its type rule.

What an op computes is defined in `interpreter.py`; how it becomes loops is decided in `passes/lower`. A test
holds the three tables against one another, so an op cannot exist in one place only.

Element-wise ops take operands of one dtype (the front end inserts `cast`) and broadcast like NumPy; the table
gives NumPy's name for each, and the result dtype is that of the ufunc's loop. Variates take a key, which is uint64, and
parameters, which are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.ir.types import BOOL, INT, Dim, Shape, Type, show_shape

Rule = Callable[[Sequence[Type], Mapping[str, Any]], Type]


@dataclass(frozen=True, slots=True)
class OpDef:
    name: str
    kind: str  # leaf | elementwise | view | memory | reduce | contract | linalg | control | effect
    arity: int | None  # None: any number
    rule: Rule | None = None  # None: the type is given, not inferred
    attrs: tuple[str, ...] = ()
    expensive: bool = False  # tens of cycles an element: worth computing once and worth vectorising


class ShapeMismatch(ValueError):
    """Shapes that do not fit an op; the front end turns it into an error with the user's line."""


def unify_dims(a: int | Dim, b: int | Dim) -> int | Dim:
    if a is b or a == b:
        return a
    if a == 1:
        return b
    if b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise ShapeMismatch(f"lengths {a} and {b} differ")
    # A run-time length met another one: the front end guards this with `expect`, the static one is the better name.
    return a if isinstance(a, int) else b


def broadcast(*shapes: Shape) -> Shape:
    rank = max((len(s) for s in shapes), default=0)
    out: list[int | Dim] = []
    for axis in range(rank):
        dim: int | Dim = 1
        for s in shapes:
            i = axis - (rank - len(s))
            if i >= 0:
                try:
                    dim = unify_dims(dim, s[i])
                except ShapeMismatch:
                    text = " and ".join(map(show_shape, shapes))
                    raise ShapeMismatch(f"shapes {text} do not broadcast together") from None
        out.append(dim)
    return tuple(out)


def _same(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return Type(types[0].dtype, broadcast(*(t.shape for t in types)))


def _predicate(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return Type(BOOL.dtype, broadcast(*(t.shape for t in types)))


def _real_part(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    d = types[0].dtype
    return types[0].with_dtype(np.empty(0, d).real.dtype) if d.kind == "c" else types[0]


def _where(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return Type(types[1].dtype, broadcast(*(t.shape for t in types)))


def _cast(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0].with_dtype(attrs["dtype"])


def _variate(dtype: str) -> Rule:
    return lambda types, attrs: Type(np.dtype(dtype), broadcast(*(t.shape for t in types)))


def _given_shape(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0].with_shape(attrs["shape"])


def _transpose(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0].with_shape(tuple(types[0].shape[p] for p in attrs["perm"]))


def _index(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    s = types[0].shape
    return types[0].with_shape(s[: attrs["axis"]] + s[attrs["axis"] + 1 :])


def _concatenate(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    axis = attrs["axis"]
    shape = list(types[0].shape)
    lengths = [t.shape[axis] for t in types]
    # Where a length is known at run time only, `build.concatenate` names their sum.
    fixed = [n for n in lengths if isinstance(n, int)]
    shape[axis] = sum(fixed) if len(fixed) == len(lengths) else Dim("joined")
    return types[0].with_shape(tuple(shape))


def _take(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    s, axis = types[0].shape, attrs["axis"]
    return types[0].with_shape(s[:axis] + types[1].shape + s[axis + 1 :])


def _put(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0]


def _reduce(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    axes = attrs["axes"]
    return types[0].with_shape(tuple(d for i, d in enumerate(types[0].shape) if i not in axes))


def _argreduce(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return _reduce(types, {"axes": (attrs["axis"],)}).with_dtype(INT.dtype)


def _positions(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0].with_dtype(INT.dtype)


def _matmul(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    a, b = types[0].shape, types[1].shape
    inner_a, inner_b = a[-1], b[0]
    if isinstance(inner_a, int) and isinstance(inner_b, int) and inner_a != inner_b:
        fmt = " @ ".join(map(show_shape, (a, b)))
        raise ShapeMismatch(f"{fmt}: the inner lengths {inner_a} and {inner_b} differ")
    return types[0].with_shape(a[:-1] + b[1:])


def _einsum(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    inputs, out = attrs["subscripts"].split("->")
    dims: dict[str, int | Dim] = {}
    for term, t in zip(inputs.split(","), types, strict=True):
        for letter, d in zip(term, t.shape, strict=True):
            dims[letter] = unify_dims(dims.get(letter, d), d)
    return types[0].with_shape(tuple(dims[letter] for letter in out))


def _square_scalar(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0].with_shape(())


def _square_real(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return _real_part(types, attrs).with_shape(())


def _first(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[0]


def _solve(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return types[1]


def _int(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return INT


def _done(types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    return BOOL


def _table(*defs: OpDef) -> dict[str, OpDef]:
    return {d.name: d for d in defs}


def _elementwise(names: str, arity: int, rule: Rule = _same, expensive: bool = False) -> list[OpDef]:
    return [OpDef(n, "elementwise", arity, rule, (), expensive) for n in names.split()]


GENERATORS = ("philox4x32", "philox4x64", "threefry4x32")

OPS: dict[str, OpDef] = _table(
    # leaves; `input`, `tap` and `read` carry their type, `const` its value
    OpDef("input", "leaf", 0, None, ("name",)),
    OpDef("const", "leaf", 0, None, ("value",)),
    OpDef("tap", "leaf", 0, None, ("name", "offset")),
    OpDef("read", "leaf", 0, None, ("name",)),
    OpDef("step", "leaf", 0, _int),
    OpDef("dim", "leaf", 1, _int, ("axis",)),
    OpDef("iota", "leaf", 0, None, ("shape",)),  # 0, 1, ..., n-1
    # element-wise
    *_elementwise("add subtract multiply divide minimum maximum fmin fmax copysign", 2),
    # x y, and 0 where x is 0 (where either is), also times an infinity or NaN: products of derivatives
    *_elementwise("zero_product either_zero_product", 2),
    *_elementwise("floor_divide remainder fmod power arctan2 hypot logaddexp", 2, expensive=True),
    *_elementwise("bitwise_and bitwise_or bitwise_xor left_shift right_shift", 2),
    *_elementwise("less less_equal greater greater_equal equal not_equal", 2, _predicate),
    *_elementwise("logical_and logical_or logical_xor", 2, _predicate),
    *_elementwise("negative sign floor ceil rint trunc invert conjugate", 1),
    *_elementwise("sqrt cbrt exp exp2 expm1 log log2 log10 log1p", 1, expensive=True),
    *_elementwise("sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh", 1, expensive=True),
    *_elementwise("erf erfc gammaln digamma trigamma expit", 1, expensive=True),
    *_elementwise("absolute real imag", 1, _real_part),
    *_elementwise("isnan isinf isfinite signbit logical_not", 1, _predicate),
    OpDef("where", "elementwise", 3, _where),
    OpDef("cast", "elementwise", 1, _cast, ("dtype",)),
    # i, n -> i wrapped into [0, n); an index outside [-n, n) is an IndexError
    OpDef("wrap_index", "elementwise", 2, _same),
    # steps, states -> where the next state of a loop is kept that is to be reversed with so many
    OpDef("split_steps", "elementwise", 2, _same, (), True),
    # random numbers: key, index, stream -> word `index` of a stream; key, parameters -> a variate
    *_elementwise(" ".join(GENERATORS), 3, expensive=True),
    OpDef("log_gamma_variate", "elementwise", 2, _variate("float64"), (), True),
    OpDef("poisson_variate", "elementwise", 2, _variate("int64"), (), True),
    OpDef("binomial_variate", "elementwise", 3, _variate("int64"), (), True),
    # views: no arithmetic, only a mapping of indices
    OpDef("broadcast_to", "view", 1, _given_shape, ("shape",)),
    OpDef("reshape", "view", 1, _given_shape, ("shape",)),
    OpDef("expect", "view", 1, _given_shape, ("shape",)),  # run-time check that lengths are these
    OpDef("transpose", "view", 1, _transpose, ("perm",)),
    OpDef("flip", "view", 1, _first, ("axes",)),
    OpDef("rows", "view", 2, _given_shape, ("shape",)),  # as many rows of an array as `shape` says, from a given one on
    OpDef("alias", "view", 1, _first),  # the same value under another identity: what is differentiated
    OpDef("stop_gradient", "view", 1, _first),  # the same value, taken as a constant by derivatives
    OpDef("index", "view", 1, _index, ("axis", "position")),
    OpDef("slice", "view", 1, None, ("starts", "stops", "steps")),  # Python slices, one an axis
    # memory: element moves that depend on values
    OpDef("concatenate", "memory", None, _concatenate, ("axis",)),
    OpDef("take", "memory", 2, _take, ("axis",)),  # indices already wrapped
    OpDef("put", "memory", 3, _put, ("axis", "mode")),  # array, wrapped indices, values
    # reductions
    *[
        OpDef(f"reduce_{n}", "reduce", 1, _reduce, ("axes",))
        for n in ("sum", "prod", "min", "max", "any", "all", "logsumexp")
    ],
    OpDef("argmin", "reduce", 1, _argreduce, ("axis",)),
    OpDef("argmax", "reduce", 1, _argreduce, ("axis",)),
    OpDef("cumsum", "reduce", 1, _first, ("axis",)),
    OpDef("cumprod", "reduce", 1, _first, ("axis",)),
    OpDef("cummin", "reduce", 1, _first, ("axis",)),
    OpDef("cummax", "reduce", 1, _first, ("axis",)),
    OpDef("argsort", "reduce", 1, _positions, ("axis",)),  # equal elements keep their order; NaN comes last
    # contractions
    OpDef("matmul", "contract", 2, _matmul, (), True),  # ranks 1 and 2
    OpDef("einsum", "contract", None, _einsum, ("subscripts",), True),
    # small dense linear algebra on square matrices of static size
    OpDef("solve", "linalg", 2, _solve, (), True),
    OpDef("inv", "linalg", 1, _first, (), True),
    OpDef("cholesky", "linalg", 1, _first, (), True),
    OpDef("det", "linalg", 1, _square_scalar, (), True),
    OpDef("slogdet_sign", "linalg", 1, _square_scalar, (), True),
    OpDef("slogdet_logabs", "linalg", 1, _square_real, (), True),
    # control
    OpDef("scan", "control", None, None, ("spec",)),
    OpDef("cond", "control", None, None, ("names", "then", "orelse")),
    OpDef("custom", "control", None, None, ("rule",)),  # values whose derivative is given by a rule
    OpDef("get", "control", 1, None, ("name", "view")),
    # effects: of a condition and the values to report, or of values to print; `site` tells equal ones apart
    OpDef("check", "effect", None, _done, ("message", "names", "site", "error")),
    OpDef("print", "effect", None, _done, ("message", "names", "site")),
)


def infer(op: str, types: Sequence[Type], attrs: Mapping[str, Any]) -> Type:
    """The type of an op's result. Raises ShapeMismatch where the operands do not fit."""
    rule = OPS[op].rule
    if rule is None:
        raise TypeError(f"the type of {op!r} is not inferred: give it")
    return rule(types, attrs)
