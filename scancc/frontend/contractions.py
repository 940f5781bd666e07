"""Products of traced values: matmul and dot of any rank, einsum, tensordot and what is written with them."""

from __future__ import annotations

import operator
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, ShapeError
from scancc.frontend.axes import array, axes_of, static_length
from scancc.frontend.fits import same
from scancc.frontend.location import here
from scancc.frontend.numpy_reductions import total
from scancc.frontend.numpy_shapes import diagonal, expand_dims, moveaxis
from scancc.frontend.tracer import Tracer, emit, wrap
from scancc.ir import build
from scancc.ir.ops import ShapeMismatch, unify_dims
from scancc.ir.types import show_shape


def matmul(a: Any, b: Any) -> Tracer:
    """`a @ b`: ranks 1 and 2 are one op, leading axes of more broadcast."""
    x, y = _alike(a, b)
    if x.ndim == 0 or y.ndim == 0:
        raise ShapeError("matmul: an operand is a scalar", here(), fix="use *")
    if x.ndim <= 2 and y.ndim <= 2:
        return wrap(emit("matmul", x.node, y.node))
    x2, y2 = (x, y) if x.ndim > 1 and y.ndim > 1 else (expand_dims(x, 0) if x.ndim == 1 else x,
                                                       expand_dims(y, 1) if y.ndim == 1 else y)  # fmt: skip
    rank = max(x2.ndim, y2.ndim) - 2
    letters = string.ascii_lowercase[:rank]
    left, right = letters[rank - (x2.ndim - 2) :], letters[rank - (y2.ndim - 2) :]
    result = einsum(f"{left}xy,{right}yz->{letters}xz", x2, y2)
    if x.ndim == 1:
        result = result[..., 0, :]
    return result[..., 0] if y.ndim == 1 else result


def dot(a: Any, b: Any) -> Any:
    """np.dot: scalars multiply, higher ranks sum over the last axis of a and the last but one of b."""
    x, y = _alike(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return np.multiply(x, y)
    if x.ndim <= 2 and y.ndim <= 2:
        return wrap(emit("matmul", x.node, y.node))
    return tensordot(x, y, ((x.ndim - 1,), (max(0, y.ndim - 2),)))


def _alike(a: Any, b: Any) -> tuple[Tracer, Tracer]:
    x, y = array(a), array(b)
    dtype = np.result_type(x.dtype, y.dtype)
    return x.astype(dtype), y.astype(dtype)


def einsum(
    subscripts: Any, *operands: Any, dtype: Any = None, casting: str = "safe", order: str = "K"
) -> Tracer:  # fmt: skip
    """Einstein summation; letters repeated in one operand take its diagonal."""
    if not isinstance(subscripts, str):
        subscripts, operands = _of_lists((subscripts, *operands))
    text = subscripts.replace(" ", "")
    terms, arrow, out = text.partition("->")
    names = terms.split(",")
    parts = [array(x) for x in operands]
    if len(names) != len(parts):
        raise ScanValueError(f"einsum: {len(names)} terms for {len(parts)} operands", here())
    names, rest = _axes_named(names, [p.ndim for p in parts])
    if arrow:
        if rest and "..." not in out:
            what = f"einsum: the result {out!r} has no ellipsis for {len(rest)} axes of the operands"
            raise ScanValueError(what, here())
        out = out.replace("...", rest, 1)
    else:
        flat = "".join(names)
        out = rest + "".join(sorted(c for c in set(flat) - set(rest) if flat.count(c) == 1))
    if not set(out) <= set("".join(names)) or len(set(out)) != len(out):
        raise ScanValueError(f"einsum: the result {out!r} names axes that the terms do not", here())
    wanted = np.result_type(*(p.dtype for p in parts)) if dtype is None else np.dtype(dtype)
    for p in parts:
        if not np.can_cast(p.dtype, wanted, casting):  # type: ignore[arg-type]
            raise ScanTypeError(f"einsum: {p.dtype} cannot be cast to {wanted} by the rule {casting!r}", here())
    for i, (term, part) in enumerate(zip(names, parts, strict=True)):
        if not set(term) <= set(string.ascii_letters):
            raise ScanValueError(f"einsum: {term!r} does not consist of letters and one ellipsis", here())
        if len(term) != part.ndim:
            raise ShapeError(f"einsum: {term!r} names {len(term)} axes of an operand that has {part.ndim}", here())
        names[i], parts[i] = _distinct(term, part.astype(wanted))
    names, parts = _unit_axes(names, parts, out)
    return wrap(emit("einsum", *(p.node for p in parts), subscripts=f"{','.join(names)}->{out}"))


def _of_lists(given: tuple) -> tuple[str, tuple]:
    """The form with letters of `einsum(a, [0, 1], b, [1, 2], [0, 2])`."""
    letters = string.ascii_uppercase + string.ascii_lowercase  # in the order in which they are sorted

    def term(axes: Any) -> str:
        try:
            return "".join("..." if k is Ellipsis else letters[operator.index(k)] for k in axes)
        except (TypeError, IndexError):
            raise ScanTypeError(f"einsum: {axes!r} are no axes", here(),
                                rule="subscripts are a text, or after each operand a list of numbers below 52",
                                fix="write the subscripts as letters, for example 'ij,jk->ik'") from None

    terms = ",".join(term(axes) for axes in given[1::2])
    return (f"{terms}->{term(given[-1])}", given[:-1:2]) if len(given) % 2 else (terms, given[::2])


def _axes_named(terms: list[str], ranks: list[int]) -> tuple[list[str], str]:
    """The terms with letters in place of an ellipsis, and the letters of the longest.

    Axes of ellipses are aligned at the last one, as in broadcasting.
    """
    free = [c for c in string.ascii_letters if not any(c in term for term in terms)]
    counts = [rank - len(term.replace("...", "", 1)) if "..." in term else 0
              for term, rank in zip(terms, ranks, strict=True)]  # fmt: skip
    most = max(counts, default=0)
    rest = "".join(free[: max(0, most)])
    return [term.replace("...", rest[most - max(0, n) :], 1) for term, n in zip(terms, counts, strict=True)], rest


def _distinct(term: str, x: Tracer) -> tuple[str, Tracer]:
    """An operand without repeated letters."""
    while len(set(term)) != len(term):
        letter = next(c for c in term if term.count(c) > 1)
        i, j = [k for k, c in enumerate(term) if c == letter][:2]
        x = diagonal(x, 0, i, j)
        term = "".join(c for k, c in enumerate(term) if k not in (i, j)) + letter
    return term, x


def _unit_axes(names: list[str], parts: list[Tracer], out: str) -> tuple[list[str], list[Tracer]]:
    """Axes of length 1 that broadcast against longer ones leave their operand."""
    dims: dict[str, Any] = {}
    for term, x in zip(names, parts, strict=True):
        for c, d in zip(term, x.node.type.shape, strict=True):
            try:
                dims[c] = unify_dims(dims.get(c, d), d)
            except ShapeMismatch:
                raise ShapeError(f"einsum: axis {c!r} has lengths {dims[c]} and {d}", here(),
                                 rule="axes of one letter are equally long, or of length 1") from None
    for i, (term, x) in enumerate(zip(names, parts, strict=True)):
        short = [k for k, c in enumerate(term) if x.node.type.shape[k] == 1 and dims[c] != 1]
        if short:
            kept = tuple(d for k, d in enumerate(x.node.type.shape) if k not in short)
            parts[i] = wrap(build.reshape(x.node, kept, here()))
            names[i] = "".join(c for k, c in enumerate(term) if k not in short)
    return names, parts


def tensordot(a: Any, b: Any, axes: Any = 2) -> Tracer:
    x, y = array(a), array(b)
    if isinstance(axes, (int, np.integer)):
        left, right = tuple(range(x.ndim - int(axes), x.ndim)), tuple(range(int(axes)))
    else:
        left, right = axes_of(axes[0], x.ndim), axes_of(axes[1], y.ndim)
    x, y = _equally_long(x, left, y, right)
    letters = iter(string.ascii_lowercase)
    first = [next(letters) for _ in range(x.ndim)]
    second = [first[left[right.index(k)]] if k in right else next(letters) for k in range(y.ndim)]
    out = [c for k, c in enumerate(first) if k not in left] + [c for k, c in enumerate(second) if k not in right]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(out)}", x, y)


def _equally_long(x: Tracer, left: Sequence[int], y: Tracer, right: Sequence[int]) -> tuple[Tracer, Tracer]:
    """What is summed over: no axis of length 1 is broadcast there."""
    lengths = [(x.node.type.shape[i], y.node.type.shape[j]) for i, j in zip(left, right, strict=False)]
    if len(left) != len(right) or any(isinstance(m, int) and isinstance(n, int) and m != n for m, n in lengths):
        shapes = " and ".join(show_shape(v.node.type.shape) for v in (x, y))
        raise ShapeError(f"axes {tuple(left)} and {tuple(right)} of shapes {shapes} differ in length", here(),
                         rule="axes that are summed over are equally long")
    found = same([x.node, y.node], [[(0, i), (1, j)] for i, j in zip(left, right, strict=True)])
    return wrap(found[0]), wrap(found[1])


def inner(a: Any, b: Any) -> Any:
    x, y = _alike(a, b)
    if x.ndim == 0 or y.ndim == 0:
        return np.multiply(x, y)
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


def outer(a: Any, b: Any) -> Any:
    return np.multiply(expand_dims(np.ravel(array(a)), 1), expand_dims(np.ravel(array(b)), 0))


def kron(a: Any, b: Any) -> Any:
    x, y = array(a), array(b)
    while x.ndim < y.ndim:
        x = expand_dims(x, 0)
    while y.ndim < x.ndim:
        y = expand_dims(y, 0)
    wide = np.multiply(expand_dims(x, tuple(range(1, 2 * x.ndim, 2))), expand_dims(y, tuple(range(0, 2 * y.ndim, 2))))
    return wide.reshape(tuple(m * n for m, n in zip(x.shape, y.shape, strict=True)))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return total(diagonal(a, offset, axis1, axis2), -1, dtype)


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None) -> Any:
    """Of vectors with three components."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if static_length(x, x.ndim - 1, "np.cross") != 3 or static_length(y, y.ndim - 1, "np.cross") != 3:
        raise ShapeError("np.cross in a step takes vectors of three components", here())
    xs, ys = ([v[..., i] for i in range(3)] for v in (x, y))
    found = [xs[1] * ys[2] - xs[2] * ys[1], xs[2] * ys[0] - xs[0] * ys[2], xs[0] * ys[1] - xs[1] * ys[0]]
    return moveaxis(np.stack(found, -1), -1, axisc)


def matrix_power(a: Any, n: int) -> Any:
    x = array(a)
    n = operator.index(n)
    if x.ndim < 2 or x.node.type.shape[-1] != x.node.type.shape[-2]:
        raise ShapeError(f"np.linalg.matrix_power of an array of type {x.node.type}", here(), "matrices are square")
    if n < 0:
        return matrix_power(np.linalg.inv(x), -n)
    result = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    if result is None:
        one = np.eye(static_length(x, x.ndim - 1, "np.linalg.matrix_power"), dtype=x.dtype)
        return wrap(build.broadcast_to(array(one).node, x.node.type.shape, here()))
    return result


def polyval(p: Any, x: Any) -> Any:
    coefficients = array(p)
    x = array(x)
    value = np.zeros_like(x)  # as NumPy begins, so that shapes and dtypes are its
    for i in range(static_length(coefficients, 0, "np.polyval")):
        value = value * x + coefficients[i]
    return value


CONTRACTIONS: dict[Callable, Callable] = {
    np.dot: dot, np.einsum: einsum, np.tensordot: tensordot, np.inner: inner, np.outer: outer, np.kron: kron,
    np.vdot: lambda a, b: dot(np.ravel(array(a)).conj(), np.ravel(array(b))), np.trace: trace,
    np.cross: cross, np.polyval: polyval, np.linalg.matrix_power: matrix_power,
}  # fmt: skip
