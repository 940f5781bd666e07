"""Decompositions of small real matrices, built of what steps have anyway: so they are batched, differentiated and run
on devices as those are.

Eigenvalues and singular values are found by Jacobi's rotations, in a loop whose steps are the rotations (Golub and Van
Loan, Matrix Computations, 8.5 and 8.6.3). Nothing is differentiated through that loop. Its result is refined twice by
steps that converge quadratically (Ogita and Aishima, Iterative refinement for symmetric eigenvalue decomposition, 2018,
and for singular vectors, 2020): what has been refined so depends on the matrix as the true values do, up to the third
derivative. Signs of vectors are those that the rotations give, not LAPACK's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scancc.errors import ScanValueError, ShapeError, UnsupportedError
from scancc.frontend.axes import array, floating
from scancc.frontend.contractions import matmul
from scancc.frontend.location import here
from scancc.frontend.numpy_reductions import maximum, total
from scancc.frontend.numpy_shapes import concatenate, transpose
from scancc.frontend.numpy_sorting import argsort
from scancc.frontend.scan_arguments import OutputArgument, ScanArguments, SequenceArgument
from scancc.frontend.scans import add_scan
from scancc.frontend.tracer import Tracer, emit, wrap
from scancc.ir import build


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


SWEEPS = 12  # after which rotations of matrices of any size that is run have converged, quadratically


def _matrix(a: Any, what: str) -> Tracer:
    x = floating(array(a))
    if x.ndim != 2 or not x.node.type.is_static:
        raise UnsupportedError(f"np.linalg.{what} in a step takes one matrix of fixed size, not {x.node.type}", here(),
                               fix="loop over stacked matrices with sc.map")  # fmt: skip
    if x.dtype.kind == "c":
        raise UnsupportedError(f"np.linalg.{what} of a complex matrix is not supported in a step", here(),
                               fix="decompose the real matrix [[re, -im], [im, re]]")  # fmt: skip
    return x


def still(x: Any) -> Tracer:
    """`x`, taken as a constant by derivatives."""
    return wrap(build.make("stop_gradient", array(x).node, loc=here()))


def _rotated(step: Callable, start: list[Tracer], n: int) -> list[Tracer]:
    """What the rotations of all pairs of rows make of `start`, sweep after sweep."""
    pairs = np.array([(p, q) for p in range(n) for q in range(p + 1, n)] * SWEEPS).reshape(-1, 2)
    p, q = (np.ascontiguousarray(pairs[:, k]) for k in (0, 1))
    names = [f"rotated{k}" for k in range(len(start))]
    args = ScanArguments(
        (SequenceArgument("first", p, (0,)), SequenceArgument("second", q, (0,))),
        tuple(OutputArgument(name, x, (-1,)) for name, x in zip(names, start, strict=True)), (), None, False,
    )  # fmt: skip
    done = add_scan(step, args, "rotations")
    return [wrap(build.final(done.node, name)) for name in done.names]


def _angle(tau: Any, off: Any) -> tuple[Any, Any]:
    """Cosine and sine of the smaller rotation that takes the element `off` away; none where it is zero."""
    tau = np.where(off == 0, 0, tau)
    t = np.copysign(1, tau) / (np.absolute(tau) + np.sqrt(1 + tau * tau))
    t = np.where(off == 0, 0, t)
    c = 1 / np.sqrt(1 + t * t)
    return c, t * c


def _turn(x: Any, p: Any, q: Any, c: Any, s: Any) -> Any:
    """Rows p and q, turned."""
    a, b = x[p], x[q]
    return x.at[p].set(c * a - s * b).at[q].set(s * a + c * b)


def _identity(n: int, like: Tracer) -> np.ndarray:
    return np.eye(n, dtype=like.dtype)


# -- symmetric matrices --------------------------------------------------------------------------------------------


def _symmetric(a: Any, UPLO: str, what: str) -> Tracer:  # noqa: N803
    x = _matrix(a, what)
    if x.shape[0] != x.shape[1]:
        raise ShapeError(f"np.linalg.{what} of a matrix of type {x.node.type}", here(), "it is square")
    side = UPLO.upper()
    if side not in ("L", "U"):
        raise ScanValueError("UPLO argument must be 'L' or 'U'", here())
    half, rest = (np.tril(x), np.tril(x, -1)) if side == "L" else (np.triu(x), np.triu(x, 1))
    return half + transpose(rest)


def eigh(a: Any, UPLO: str = "L") -> EighResult:  # noqa: N803
    x = _symmetric(a, UPLO, "eigh")
    n = x.shape[0]

    def step(p: Any, q: Any, matrix: Any, rows: Any) -> Any:
        off = matrix[p, q]
        c, s = _angle((matrix[q, q] - matrix[p, p]) / (2 * np.where(off == 0, 1, off)), off)
        once = _turn(matrix, p, q, c, s)
        return _turn(transpose(once), p, q, c, s), _turn(rows, p, q, c, s)

    if n < 2:
        return EighResult(np.diagonal(x), array(_identity(n, x)))
    fixed = still(x)
    matrix, rows = _rotated(step, [fixed, array(_identity(n, x))], n)
    order = argsort(np.diagonal(matrix))
    v = transpose(still(rows[order]))
    for _ in range(2):
        values, v = _refined_eigh(x, v, n)
    return EighResult(values, v)


def _refined_eigh(a: Tracer, v: Tracer, n: int) -> tuple[Tracer, Tracer]:
    off = _identity(n, a) - matmul(transpose(v), v)
    seen = matmul(transpose(v), matmul(a, v))
    values = np.diagonal(seen) / (1 - np.diagonal(off))
    gaps = values[None, :] - values[:, None]
    apart = np.absolute(still(gaps)) > _tolerance(values, n)
    change = np.where(apart, (seen + values[None, :] * off) / np.where(apart, gaps, 1), off / 2)
    return values, v + matmul(v, change)


def _tolerance(values: Tracer, n: int) -> Any:
    """Values closer than this are equal as far as they are known."""
    return values.dtype.type(16 * n * np.finfo(values.dtype).eps) * maximum(np.absolute(still(values)))


def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # noqa: N803
    return eigh(_symmetric(a, UPLO, "eigvalsh")).eigenvalues


# -- QR ------------------------------------------------------------------------------------------------------------


def qr(a: Any, mode: str = "reduced") -> Any:
    """Householder's reflections, with LAPACK's signs."""
    if mode not in ("reduced", "complete", "r"):
        raise UnsupportedError(f"np.linalg.qr with mode={mode!r} is not supported in a step", here(),
                               fix="use 'reduced', 'complete' or 'r'")  # fmt: skip
    x = _matrix(a, "qr")
    m, n = x.shape
    rest, tops, reflections = x, [], []
    for k in range(min(m, n)):
        v, tau = _reflection(rest[:, 0])
        rest = rest - (tau * v)[:, None] * matmul(v, rest)[None, :]
        top = rest[:1]
        tops.append(concatenate([np.zeros((1, k), x.dtype), top], 1) if k else top)
        reflections.append((k, v, tau))
        rest = rest[1:, 1:]
    height = m if mode == "complete" else min(m, n)
    r = np.triu(concatenate([*tops, np.zeros((height - len(tops), n), x.dtype)], 0) if tops else np.zeros_like(x))
    if mode == "r":
        return r
    q = array(np.eye(m, height, dtype=x.dtype))
    for k, v, tau in reversed(reflections):
        low = q[k:]
        low = low - (tau * v)[:, None] * matmul(v, low)[None, :]
        q = concatenate([q[:k], low], 0) if k else low
    return QRResult(q, r)


def _reflection(x: Tracer) -> tuple[Tracer, Tracer]:
    """v and tau of the reflection 1 - tau v v' that leaves of `x` the first element only; tau is 0 if it is alone."""
    one = np.ones(1, x.dtype)
    if x.shape[0] == 1:
        return array(one), array(np.zeros((), x.dtype))
    first, below = x[0], x[1:]
    size = total(below * below)
    alone = size == 0
    length = np.sqrt(first * first + np.where(alone, 1, size))
    beta = -np.copysign(length, first)
    v = concatenate([one, np.where(alone, 0, below / (first - beta))], 0)
    return v, np.where(alone, 0, (beta - first) / beta)  # type: ignore[return-value]


# -- singular values -----------------------------------------------------------------------------------------------


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    x = _matrix(a, "svd")
    if hermitian:
        x = np.tril(x) + transpose(np.tril(x, -1))
    if not compute_uv:
        return singular_values(x)
    u, s, vt = thin_svd(x)
    m, n = x.shape
    if full_matrices and m > n:
        u = concatenate([u, qr(u, "complete").Q[:, n:]], 1)
    if full_matrices and n > m:
        vt = concatenate([vt, transpose(qr(transpose(vt), "complete").Q[:, m:])], 0)
    return SVDResult(u, s, vt)


def singular_values(x: Tracer) -> Tracer:
    return thin_svd(_matrix(x, "svd"))[1]


def thin_svd(a: Tracer) -> tuple[Tracer, Tracer, Tracer]:
    x = _matrix(a, "svd")
    m, n = x.shape
    if m < n:
        v, s, ut = thin_svd(transpose(x))
        return transpose(ut), s, transpose(v)
    if not n:
        return x, array(np.zeros(0, x.dtype)), array(np.zeros((0, 0), x.dtype))
    if n == 1:
        turned, rows = transpose(still(x)), array(_identity(1, x))
    else:
        turned, rows = _rotated(_turn_columns, [transpose(still(x)), array(_identity(n, x))], n)
    size = np.sqrt(total(turned * turned, 1))
    order = argsort(-size)
    turned, rows, size = turned[order], rows[order], size[order]
    there = size > size[0] * x.dtype.type(np.finfo(x.dtype).tiny)
    u = transpose(np.where(there[:, None], turned / np.where(there, size, 1)[:, None], 0))
    # What belongs to zero may be any vector across the others.
    u, v = still(np.where(there, u, qr(u).Q)), transpose(still(rows))
    for _ in range(2):
        u, s, v = _refined_svd(x, u, v, n)
    return u, s, transpose(v)


def _turn_columns(p: Any, q: Any, turned: Any, rows: Any) -> Any:
    a, b = turned[p], turned[q]
    off = total(a * b)
    across = total(b * b) - total(a * a)
    c, s = _angle(across / (2 * np.where(off == 0, 1, off)), off)
    return _turn(turned, p, q, c, s), _turn(rows, p, q, c, s)


def _refined_svd(a: Tracer, u: Tracer, v: Tracer, n: int) -> tuple[Tracer, Tracer, Tracer]:
    one = _identity(n, a)
    r, t = one - matmul(transpose(u), u), one - matmul(transpose(v), v)
    av = matmul(a, v)
    seen = matmul(transpose(u), av)
    s = np.diagonal(seen) / (1 - (np.diagonal(r) + np.diagonal(t)) / 2)
    alpha, beta = seen + s[None, :] * r, transpose(seen) + s[None, :] * t
    gaps = (s[None, :] - s[:, None]) * (s[None, :] + s[:, None])
    limit = _tolerance(s, n)
    fixed = still(s)
    apart = np.absolute(fixed[None, :] - fixed[:, None]) > limit
    gaps = np.where(apart, gaps, 1)
    left = np.where(apart, (alpha * s[None, :] + beta * s[:, None]) / gaps, r / 2)
    right = np.where(apart, (alpha * s[:, None] + beta * s[None, :]) / gaps, t / 2)
    outside = av - matmul(u, matmul(transpose(u), av))  # the part of A v across all of u
    there = fixed > limit
    outside = np.where(there, outside / np.where(there, s, 1), 0)
    return u + matmul(u, left) + outside, np.absolute(s), v + matmul(v, right)


def full_rank(x: Tracer, b: Any, full: Any, found: Tracer) -> Any:
    """Zero, with the derivatives of the least-squares solution of x y = b, which is `found`; none if `x` has not full
    rank."""
    m, n = x.shape
    xt = transpose(x)
    small = matmul(xt, x) if m >= n else matmul(x, xt)
    small = np.where(full, small, _identity(min(m, n), x))
    inverse = wrap(emit("inv", array(small).node))
    exact = matmul(inverse, matmul(xt, b)) if m >= n else matmul(xt, matmul(inverse, b))
    exact = np.where(full, exact, found)
    return exact - still(exact)
