"""Arrays that a traced function makes and assigns to mean what they mean where Python runs it on NumPy arrays."""

import math

import numpy as np
import pytest

import scancc as sc

TABLE = np.array([0.5, 1.5, -2.0, 3.0])


def slices_and_views(x):
    a = np.zeros((3, 4))
    a[1] = x
    a[:, 2] = x + 1
    a[0, 1:3] += 2
    a[-1, -1] -= x
    a[[0, 2], 0] = 9.0
    a[a > 5] = 5.0
    row = a[1]
    row[0] = -1.0
    a *= 2
    first, *_ = a
    first[3] = x
    return a, a.T @ np.ones(3)


def other_forms(x):
    a = np.zeros((2, 3))
    a.T[1, 0] = x
    r = a.reshape(3, 2)
    r[2] += 1
    q = a[:, :2].ravel()  # a copy
    q[0] = 99.0
    w = a.ravel()  # a view
    w[::2] -= x
    z = a[0][1:]
    z[:] = z * 3
    np.flip(a, 0)[0, 0] = 7.0
    s = a.flatten()
    s[0] = 100
    np.split(a, 3, axis=1)[2][1] = -4.0
    return a, q, s


def aliases(x):
    a = np.zeros(2)
    b = a
    b[0] = x
    v = a[1:]
    v[0] = x + 1
    t = a.T
    a[0] += 1
    a += 0.5
    return a, b.copy(), t


def made_in_branches(x):
    if x > 0:
        y = np.zeros(2)
        z = y
    else:
        y = np.ones(2)
        z = y
    z[0] = 5.0
    return y.copy()


def rebound_or_changed(x):
    a, b, c = np.zeros(2), np.zeros(2), np.zeros(2)
    if x > 0:
        a = a + x
        b[0] = x
        d = b[1:]
    else:
        a[1] = x
        d = b[1:] + 1
    for k in range(int(abs(x)) + 1):
        if k > 1:
            c = c + 1
        else:
            c[k] = x
    a[0] += 1
    return a, b.copy(), c.copy(), d.copy()


def every_way_to_make_one(x):
    a, b, c, d = np.ones(2), np.full(2, x), np.empty(2), np.array([x, 1.0])
    e, f, g = np.zeros_like(d), d.copy(), d * 2
    h = np.arange(3.0)
    for k, array in enumerate((a, b, c, d, e, f, g, h)):
        array[1] = k
        array[0] += x if k != 2 else 1.0
        if k == 2:
            array[0] = x
    return a, b, c, d, e, f, g, h


def given_by_out(x):
    o = np.zeros(2)
    np.add(o, x, out=o)
    np.multiply(o, 2, out=o)
    o.fill(o[0] + 1)
    return o


def in_a_helper(x):
    def fill(a, v):
        a[1] = v

    rows = [np.zeros(2) for _ in range(3)]
    for k, row in enumerate(rows):
        row[0] = x * k
    fill(rows[1], x)
    return np.stack(rows)


def targets(x):
    a = b = np.zeros(3)
    a[0], c = x, 2.0
    b[1], *rest = c, 3.0, x
    a[0], a[2] = rest[0], a[0]
    for a[1] in (1.0, 2.0):
        pass
    t: np.ndarray = a
    t[2] *= 2
    return a


def dtypes(x):
    h = np.zeros(4, dtype=np.float32)
    h[0], h[1] = 1.5, x
    n = np.ones(3, dtype=bool)
    n[1] = x > 2
    k = np.zeros(2, dtype=np.int8)
    k[0] += 3
    return h * 2, n, k


FUNCTIONS = [slices_and_views, other_forms, aliases, made_in_branches, rebound_or_changed, every_way_to_make_one,
             given_by_out, in_a_helper, targets, dtypes]  # fmt: skip


def histogram(n):
    h = np.zeros(4, dtype=np.int64)
    for i in range(n):
        h[i * i % 4] += 1
    return h


def sieve(n):
    p = np.ones(30, dtype=bool)
    p[:2] = False
    i = 2
    while i * i < 30:
        if p[i]:
            j = i * i
            while j < n:
                p[j] = False
                j += i
        i += 1
    return p


def heat(n):
    u = np.zeros(4)
    u[1] = 1.0
    for _ in range(n):
        new = np.zeros(4)
        for i in range(1, 3):
            new[i] = u[i - 1] + u[i + 1]
        u = new
    return u


def two_buffers(n):
    u, v = np.zeros(4), np.zeros(4)
    u[1] = 1.0
    for _ in range(n):
        for i in range(1, 3):
            v[i] = u[i - 1] + u[i + 1]
        u, v = v, u
    return u


def sometimes_swapped(n):
    a, b = np.zeros(2), np.ones(2)
    for t in range(n):
        if t % 2 == 0:
            a, b = b, a
        a[0] += 1
    return a.copy()


def walk(n):
    x = np.zeros(3)
    best, e = x.copy(), 9.0
    for t in range(n):
        y = x.copy()
        y[t % 3] += 1.5
        if (y**2).sum() % 5.0 < 3:
            x = y
        if x.sum() < e:
            best, e = x.copy(), x.sum()
    return x + best


def old_and_new(n):
    x = np.zeros(2)
    old = x
    for _ in range(n):
        old = x
        x = x.copy()
        x[0] += 1
    return x - old


def containers(n):
    s = {"u": np.zeros(2), "v": np.ones(2)}
    for t in range(n):
        u = s["u"].copy()
        u[t % 2] += s["v"][0]
        s = {"u": u, "v": s["v"] + 1}
    return s["u"]


def a_row_of_it(n):
    m = np.zeros((2, 3))
    r = m[0]
    for t in range(n):
        r[t % 3] += 1
        m[1, :] += r
        if t > 0:
            keep = m[t % 2].copy()
            m[t % 2] = m[t % 2 - 1]
            m[t % 2 - 1] = keep
    return m


def coins(n):
    d = np.full(12, 10**6)
    d[0] = 0
    for c in np.array([1, 3, 4]):
        for v in range(1, 12):
            if v >= c:
                d[v] = min(d[v], d[v - c] + 1)
    return d[n]


def common_subsequence(n):
    d = np.zeros((5, 5), dtype=np.int64)
    for i in range(1, n):
        for j in range(1, n):
            if (i * j) % 3 == 0:
                d[i, j] = d[i - 1, j - 1] + 1
            else:
                d[i, j] = max(d[i - 1, j], d[i, j - 1])
    return d


LOOPS = [histogram, sieve, heat, two_buffers, sometimes_swapped, walk, old_and_new, containers, a_row_of_it, coins,
         common_subsequence]  # fmt: skip


def insertion_sort(x):
    a = x.copy()
    for i in range(1, 5):
        key = a[i]
        j = i - 1
        while j >= 0 and a[j] > key:
            a[j + 1] = a[j]
            j -= 1
        a[j + 1] = key
    return a


def bubble_sort(x):
    a = x.copy()
    for i in range(4):
        for j in range(4 - i):
            if a[j] > a[j + 1]:
                a[j], a[j + 1] = a[j + 1], a[j]
    return a


def cholesky(x):
    a = np.outer(x, x) + np.diag(x**2)
    low = np.zeros((5, 5))
    for i in range(5):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= low[i, k] * low[j, k]
            if i == j:
                low[i, j] = math.sqrt(s)
            else:
                low[i, j] = s / low[j, j]
    return low


def same(have, want):
    if not isinstance(want, tuple):
        have, want = (have,), (want,)
    for h, w in zip(have, want, strict=True):
        assert (np.shape(h), np.asarray(h).dtype) == (np.shape(w), np.asarray(w).dtype)
        np.testing.assert_allclose(h, w, rtol=1e-12)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_as_numpy_does_it(f):
    compiled = sc.jit(f)
    for x in (1.75, -1.25):
        same(compiled(x, mode="interpret"), f(np.float64(x)))
    same(compiled(3.5), f(np.float64(3.5)))


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_in_loops(f):
    compiled = sc.jit(f)
    for n in (0, 1, 5):
        same(compiled(n, mode="interpret"), f(np.int64(n)))
    same(compiled(4), f(np.int64(4)))


@pytest.mark.parametrize("f", [insertion_sort, bubble_sort, cholesky], ids=lambda f: f.__name__)
def test_of_a_vector(f):
    x = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    same(sc.jit(f)(x), f(x))
    assert x.tolist() == [3, 1, 2, 5, 4]


def powers(x):
    out = np.zeros(3)
    out[0] = x
    for k in range(1, 3):
        out[k] = out[k - 1] * x
    return out


@pytest.mark.parametrize(
    ("run", "want"),
    [
        (lambda: sc.vmap(powers)(np.array([1.0, 2.0])), [[1, 1, 1], [2, 4, 8]]),
        (lambda: sc.jacfwd(powers)(2.0), [1, 4, 12]),
        (lambda: sc.jacrev(powers)(2.0), [1, 4, 12]),
        (lambda: sc.grad(lambda x: powers(x)[2])(2.0), 12),
        (lambda: sc.scan(powers, np.array([1.0, 2.0])), [[1, 1, 1], [2, 4, 8]]),
        (lambda: sc.lax.map(powers, np.array([1.0, 2.0])), [[1, 1, 1], [2, 4, 8]]),
        (lambda: sc.jit(powers, target="cuda")(np.float64(2.0)), [2, 4, 8]),
    ],
)
def test_in_every_transform(run, want):
    np.testing.assert_allclose(np.asarray(run()), want)


def branch_decides(x):
    a, b = np.zeros(2), np.ones(2)
    if x > 0:
        c = a
    else:
        c = b
    c[0] = 5.0
    return a.sum()


def kept_from_before(n):
    a = np.zeros(2)
    keep = a
    for _ in range(n):
        a[0] += 7.0
        a = a + 1
    return a + keep


def argument(x):
    x[0] = 1.0
    return x


def captured(x):
    TABLE[0] = 7.0
    return x


def captured_and_traced(x):
    TABLE[0] = x
    return x


def of_the_function_around(x):
    out = np.zeros(3)

    def step(u):
        out[0] = u
        return u

    return sc.scan(step, np.ones(2) * x)


def a_list(x):
    rows = [0.0, 0.0]
    rows[np.int64(0) + x.astype("int64")] = 1.0
    return rows[0]


def too_far(x):
    out = np.zeros(3)
    out[3] = x
    return out


def mask_with_an_array(x):
    out = np.zeros(3)
    out[out < x] = np.ones(3)
    return out


def too_long(x):
    out = np.zeros(3)
    out[:2] = np.ones(3) * x
    return out


def larger_in_place(x):
    out = np.zeros(3)
    out += np.ones((2, 3)) * x
    return out


@pytest.mark.parametrize(
    ("f", "x", "error", "text"),
    [
        (branch_decides, 1.0, NotImplementedError, "an array is read that may be the one assigned to at line"),
        (kept_from_before, 3, NotImplementedError, "an array is read that may be the one assigned to at line"),
        (argument, np.ones(2), NotImplementedError, r"traced array(.|\n)*x = x.at\[i\].set\(v\)"),
        (captured, 1.0, NotImplementedError, r"an array that the function did not make(.|\n)*x.at\[i\].set\(v\)"),
        (captured_and_traced, 1.0, NotImplementedError, "an array that the function did not make"),
        (of_the_function_around, 1.0, NotImplementedError, "an array from outside of the function"),
        (a_list, 1.0, NotImplementedError, "elements of a list at a traced position(.|\n)*np.zeros"),
        (too_far, 1.0, IndexError, "out of bounds"),
        (mask_with_an_array, 1.0, NotImplementedError, "where a mask holds(.|\n)*np.where"),
        (too_long, 1.0, ValueError, r"f64\[3\]|shape"),
        (larger_in_place, 1.0, ValueError, "an operation in place gives"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_is_refused_says_so(f, x, error, text):
    with pytest.raises(error, match=text) as found:
        sc.jit(f)(x)
    assert "test_assignments.py" in str(found.value)
    assert TABLE[0] == 0.5
