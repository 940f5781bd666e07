"""Products of vectors and matrices that lie in row-major memory, given by arrays and flat element offsets."""

from __future__ import annotations

from numba import njit

from scancc_runtime.vecmat import vecmat as vecmat


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def matvec(out, o0, w, w0, x, x0, m, k, stride):  # type: ignore[no-untyped-def]
    """out[i] = sum_j W[i, j] * x[j] for W of shape (m, k)."""
    o, xs, ws = out.reshape(-1), x.reshape(-1), w.reshape(-1)
    for i in range(m):
        total = xs.dtype.type(0)
        for j in range(k):
            total += ws[w0 + i * stride + j] * xs[x0 + j]
        o[o0 + i] = total


@njit(fastmath={"contract", "reassoc"}, error_model="numpy")
def gemm(out, o0, n_out, a, a0, a_stride, b, b0, b_stride, m, n, k, a_transposed, b_transposed):  # type: ignore[no-untyped-def]
    """out = op(A) @ op(B) with op the transpose where flagged; shapes (m, k) and (k, n)."""
    o, av, bv = out.reshape(-1), a.reshape(-1), b.reshape(-1)
    for i in range(m):
        for j in range(n):
            o[o0 + i * n_out + j] = 0
        for r in range(k):
            x = av[a0 + r * a_stride + i] if a_transposed else av[a0 + i * a_stride + r]
            for j in range(n):
                y = bv[b0 + j * b_stride + r] if b_transposed else bv[b0 + r * b_stride + j]
                o[o0 + i * n_out + j] += x * y
