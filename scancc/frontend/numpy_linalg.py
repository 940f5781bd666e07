"""np.linalg on traced values: ops of square matrices, and what is made of them and of decompositions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scancc.errors import ScanValueError, ShapeError, UnsupportedError
from scancc.frontend.axes import array, axis_of, floating
from scancc.frontend.contractions import cross, matmul, outer, tensordot, trace
from scancc.frontend.decompositions import eigh, eigvalsh, full_rank, qr, singular_values, still, svd, thin_svd
from scancc.frontend.location import here
from scancc.frontend.numpy_reductions import maximum, minimum, total
from scancc.frontend.numpy_shapes import diagonal, transpose
from scancc.frontend.tracer import Tracer, emit, wrap
from scancc.ir import build


class SlogdetResult(NamedTuple):
    sign: Any
    logabsdet: Any


def _linalg(op: str, *arrays: Any) -> Tracer:
    parts = [array(a) for a in arrays]
    matrix = parts[0].node.type
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.is_static:
        raise UnsupportedError(f"np.linalg.{op} in a step takes one square matrix of fixed size, not {matrix}",
                               here(), fix="loop over stacked matrices with sc.map")
    if len(parts) == 2 and parts[1].ndim not in (1, 2):
        raise UnsupportedError("np.linalg.solve in a step takes right-hand sides of one or two axes", here(),
                               fix="reshape the right-hand sides to columns of one matrix")  # fmt: skip
    if len(parts) == 2 and parts[1].node.type.shape[0] != matrix.shape[0]:
        raise ShapeError(f"np.linalg.solve of a matrix {matrix} and a right-hand side {parts[1].node.type}", here(),
                         "the right-hand side has as many rows as the matrix")
    dtype = np.result_type(*(floating(p).dtype for p in parts))
    return wrap(emit(op, *(build.cast(p.node, dtype, here()) for p in parts)))


def solve(a: Any, b: Any) -> Tracer:
    return _linalg("solve", a, b)


def inv(a: Any) -> Tracer:
    return _linalg("inv", a)


def det(a: Any) -> Tracer:
    return _linalg("det", a)


def cholesky(a: Any, upper: bool = False) -> Tracer:
    """Of the lower triangle, or of the upper one."""
    if not upper:
        return _linalg("cholesky", a)
    return np.conjugate(transpose(_linalg("cholesky", np.conjugate(transpose(a)))))  # type: ignore[return-value]


def slogdet(a: Any) -> SlogdetResult:
    return SlogdetResult(_linalg("slogdet_sign", a), _linalg("slogdet_logabs", a))


# -- what is made of singular values -------------------------------------------------------------------------------


def _cut(s: Tracer, shape: Any, rcond: Any, default: float) -> Any:
    """Singular values that count as zero are those below this."""
    eps = np.finfo(s.dtype).eps * max(int(d) for d in shape)
    relative = s.dtype.type(eps if rcond == "eps" else default) if rcond is None or rcond == "eps" else rcond
    return relative * s[0] if len(s) else s


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, rtol: Any = "unset") -> Any:
    if rcond is not None and rtol != "unset":
        raise ScanValueError("`rtol` and `rcond` can't be both set.", here())
    x = floating(array(a))
    if hermitian:
        x = np.tril(x) + transpose(np.tril(x, -1))
    cut = rcond if rtol == "unset" else "eps" if rtol is None else rtol
    return _inverse(x, np.eye(int(x.node.type.shape[0]), dtype=x.dtype), cut, 1e-15)[0]  # type: ignore[arg-type]


def _inverse(x: Tracer, b: Any, rcond: Any, default: float) -> tuple[Tracer, Tracer, Tracer]:
    """pinv(x) @ b, the rank and the singular values.

    The value is that of the decomposition. Its derivatives are those of the normal equations, which a matrix of full
    rank satisfies; of another one there are none, since all matrices around it have a higher rank.
    """
    u, s, vt = thin_svd(x)
    large = s > _cut(s, x.shape, rcond, default)
    inverse = np.where(large, 1 / np.where(large, s, 1), 0)
    found = still(matmul(transpose(vt), inverse[:, None] * matmul(transpose(u), b)))
    rank = total(large)
    if len(s):
        found = found + full_rank(x, b, rank == len(s), found)
    return found, rank, s


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple:
    """The residuals are there where `a` has more rows than columns, whatever its rank."""
    x, y = floating(array(a)), floating(array(b))
    dtype = np.result_type(x.dtype, y.dtype)
    x, y = x.astype(dtype), y.astype(dtype)
    if x.ndim != 2 or y.ndim not in (1, 2) or x.node.type.shape[0] != y.node.type.shape[0]:
        raise ShapeError(f"np.linalg.lstsq of {x.node.type} and {y.node.type}", here(), "they have as many rows")
    columns = y[:, None] if y.ndim == 1 else y
    cut = "eps" if rcond is None or not isinstance(rcond, Tracer) and rcond == -1 else rcond
    found, rank, s = _inverse(x, columns, cut, 0.0)
    off = columns - matmul(x, found)
    rows, width = x.shape
    residuals = total(off * off, 0) if rows > width else np.zeros(0, dtype)
    return (found[:, 0] if y.ndim == 1 else found), residuals, rank.astype(np.int32), s


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, rtol: Any = None) -> Any:  # noqa: N803
    x = floating(array(A))
    if x.ndim < 2:
        return np.any(x != 0).astype(np.int64)
    if hermitian:
        x = np.tril(x) + transpose(np.tril(x, -1))
    s = singular_values(x)
    return total(s > (tol if tol is not None else _cut(s, x.shape, "eps" if rtol is None else rtol, 0.0)))


def cond(x: Any, p: Any = None) -> Any:
    a = floating(array(x))
    if p in (None, 2, -2):
        s = singular_values(a)
        return s[-1] / s[0] if p == -2 else s[0] / s[-1]
    return norm(a, p, (0, 1)) * norm(inv(a), p, (0, 1))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Of vectors of any order, and of matrices."""
    a = floating(array(x))
    size = np.absolute(a)
    if ord is None and axis is None or ord is None:
        return np.sqrt(total(size * size, axis, keepdims=keepdims))
    axes = tuple(range(a.ndim)) if axis is None else (axis,) if not isinstance(axis, (tuple, list)) else tuple(axis)
    axes = tuple(axis_of(i, a.ndim) for i in axes)
    if len(axes) == 1:
        return _vector_norm(size, ord, axes[0], keepdims)
    if len(axes) != 2:
        raise ScanValueError("Improper number of dimensions to norm.", here())
    if ord in ("fro", "f"):
        return np.sqrt(total(size * size, axes, keepdims=keepdims))
    if ord in (1, -1, np.inf, -np.inf):
        first, second = axes if abs(ord) == 1 else axes[::-1]
        sums = total(size, first, keepdims=True)
        found = (maximum if ord > 0 else minimum)(sums, second, keepdims=True)
        return found if keepdims else np.squeeze(found, axis=axes)
    if ord in (2, -2, "nuc") and a.ndim == 2:
        s = singular_values(a if axes == (0, 1) else transpose(a))
        found = total(s) if ord == "nuc" else s[0] if ord == 2 else s[-1]
        return found.reshape(1, 1) if keepdims else found
    if ord in (2, -2, "nuc"):
        raise UnsupportedError(f"np.linalg.norm with ord={ord!r} of stacked matrices is not supported in a step",
                               here(), fix="loop over stacked matrices with sc.map")  # fmt: skip
    raise ScanValueError("Invalid norm order for matrices.", here())


def _vector_norm(size: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ScanValueError(f"Invalid norm order {ord!r} for vectors", here())
    if ord in (np.inf, -np.inf):
        return (maximum if ord > 0 else minimum)(size, axis, keepdims=keepdims)
    if ord == 0:
        return total(size != 0, axis, keepdims=keepdims).astype(size.dtype)
    if ord == 1:
        return total(size, axis, keepdims=keepdims)
    if ord == 2:
        return np.sqrt(total(size * size, axis, keepdims=keepdims))
    return total(size**ord, axis, keepdims=keepdims) ** size.dtype.type(1.0 / ord)


def vector_norm(x: Any, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    a = array(x)
    if axis is None or isinstance(axis, (tuple, list)):
        axes = tuple(range(a.ndim)) if axis is None else tuple(axis_of(i, a.ndim) for i in axis)
        kept = tuple(1 if i in axes else n for i, n in enumerate(a.shape))
        rest = [i for i in range(a.ndim) if i not in axes]
        flat = np.transpose(a, (*rest, *axes)).reshape((*(a.shape[i] for i in rest), -1))
        found = norm(flat, ord, -1)
        return found.reshape(kept) if keepdims else found
    return norm(a, ord, axis, keepdims)


def matrix_norm(x: Any, keepdims: bool = False, ord: Any = "fro") -> Any:
    return norm(x, ord, (-2, -1), keepdims)


def multi_dot(arrays: Any) -> Any:
    parts = [array(a) for a in arrays]
    found = parts[0]
    for p in parts[1:]:
        found = matmul(found, p)
    return found


LINALG: dict[Callable, Callable] = {
    np.linalg.solve: solve, np.linalg.inv: inv, np.linalg.det: det, np.linalg.cholesky: cholesky,
    np.linalg.slogdet: slogdet, np.linalg.norm: norm, np.linalg.eigh: eigh, np.linalg.eigvalsh: eigvalsh,
    np.linalg.qr: qr, np.linalg.svd: svd, np.linalg.svdvals: lambda x: singular_values(floating(array(x))),
    np.linalg.pinv: pinv, np.linalg.lstsq: lstsq, np.linalg.matrix_rank: matrix_rank, np.linalg.cond: cond,
    np.linalg.vector_norm: vector_norm, np.linalg.matrix_norm: matrix_norm, np.linalg.multi_dot: multi_dot,
    np.linalg.outer: outer, np.linalg.cross: lambda x1, x2, axis=-1: cross(x1, x2, axis=axis),
    np.linalg.matmul: matmul, np.linalg.tensordot: tensordot,
    np.linalg.trace: lambda x, offset=0, dtype=None: trace(x, offset, -2, -1, dtype),
    np.linalg.diagonal: lambda x, offset=0: diagonal(x, offset, -2, -1),
}  # fmt: skip
