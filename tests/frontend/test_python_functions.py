"""Python's builtins, `math`, subscripts, jumps and draws in traced functions: Python's own run is the reference."""

import functools
import linecache
import math  # noqa: F401  # in expressions
import random

import numpy as np
import pytest

import scancc as sc

TABLE = np.array([0.5, 1.5, -2.0, 3.0])
LISTS = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
V = np.array([0.5, 2.0, -1.0])


def larger(a, b):
    if a > b:
        return a
    return b


EXPRESSIONS = """
max(x, 2.0) | max(x, y) | min(x, y, 0.0) | max([x, y, 1]) | max(v) | min(v) | max(k, 2) | max(t for t in v)
max(x, math.nan) | max(math.nan, x) | min(x, math.nan) | abs(x) | abs(-k)
round(x) | round(x, 1) | round(k) | int(x) | int(-x) | float(k) | bool(x) | bool(k - 1) | complex(x, y) | int(v[0] > 0)
sum([x, y]) | sum(v) | sum(v, x) | sum(t * t for t in v) | sum(v > 0) | sum([v, v])
any(v > 1) | all(v > 0) | any([x > 3, y > 1]) | all([]) | any(t > 1 for t in v) | all(t > -3 and x for t in v)
len(v) | pow(x, 2) | divmod(x, 2.0)[1]
math.exp(x) | math.floor(x) | math.ceil(-x) | math.trunc(-x) | math.log(x) | math.log(x, 2) | math.log2(x)
math.sqrt(x)
math.hypot(x, y) | math.hypot(x, y, 1.0) | math.atan2(x, y) | math.isnan(x) | math.erf(x)
math.pow(x, y) | math.copysign(x, -y) | math.fmod(x, y) | math.isclose(x, 2.6) | math.degrees(x)
math.tanh(x) | math.sin(k) | math.fsum([x, y, x]) | math.remainder(x, y) | math.lgamma(x) | math.dist(v, 2 * v)
TABLE[k] | TABLE[-k] | TABLE[k - 4] | TABLE[k : k + 1][0] | LISTS[k - 1] | LISTS[k - 1][k] | (1, 2, 3)[k] | v[k]
[x, y, 3.0][k] | np.outer(TABLE, V)[k, k] | np.outer(TABLE, V)[k] | np.outer(TABLE, V)[:, k]
x and y | x or y | (x - x) and y | (x - x) or y | 0.0 or x | x and 0.0 | not x | not (x and y) | x > 1 and y > 1
k and x | 0 < x < y < 9 | 9 > x > y > 1 > 0 | k < 4 and TABLE[k] > 1
x > 9 and TABLE[k + 9] > 0 | x < 9 or TABLE[k + 9] > 0 | (x > 0 and y > 0 and k > 0) or x / 0 > 1
x if x > y else y | (1 if k > 5 else 2) * x | [x, y] if x > y else [y, x]
k in (1, 2) | k in {1, 2} | k in {5, 6} | k in {1: x} | x in {2.5, 2.6} | k in [5, 6] | k not in (x, y, k)
x in v | 2.0 in v | 0 < k in (1, 2) | k in {1, 2} | k in {5, 6} | k in {1: x} | x in {2.5, 2.6} | 1 if v[1:2] > 0 else 0
larger(x, 1) | (lambda q: q if q > 3 else 3.0)(x)
functools.reduce(larger, [x, y, 2.0]) | list(map(larger, [x, y], [1.0, 2.0]))[1] | (lambda: larger(y, x))()
np.full(3, x) | np.array([x, y]) | np.array([[x, y], [y, 1]]) | np.asarray([x, 1.0])
"""
ALL = [e.strip() for line in EXPRESSIONS.strip().splitlines() for e in line.split(" | ")]


def function_of(expression):
    source = f"def f(x, y, k, v):\n    return {expression}\n"
    name = f"<{expression}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    scope = {}
    exec(compile(source, name, "exec"), globals(), scope)
    return scope["f"]


@pytest.mark.parametrize("expression", ALL)
def test_as_python_evaluates_it(expression):
    f = function_of(expression)
    args = 2.6, 1.25, 1, V
    want = f(np.float64(args[0]), np.float64(args[1]), np.int64(1), V)
    have = sc.jit(f)(*args, mode="interpret")
    np.testing.assert_allclose(have, want, rtol=1e-14)
    if not isinstance(want, (list, tuple)):
        kinds = {"b": "b", "i": "i", "u": "i", "f": "f", "c": "c"}
        assert kinds[np.asarray(have).dtype.kind] == kinds[np.asarray(want).dtype.kind]


@pytest.mark.parametrize(
    ("expression", "error", "text"),
    [
        ("max(x, v)", TypeError, "np.max or np.maximum"),
        ("round(v)", TypeError, "np.round"),
        ("int(v)", TypeError, "x.astype"),
        ("math.exp(v)", TypeError, "function of NumPy"),
        ("max([x, y], key=lambda t: -t)", NotImplementedError, "np.argmax"),
        ("sorted(v)", NotImplementedError, "np.sort"),
        ("math.comb(k, 2)", NotImplementedError, "math.comb"),
        ("math.gcd(k, 2)", NotImplementedError, "math.gcd"),
        ("1 if v > 0 else 0", TypeError, "one truth value"),
        ("'abc'[k]", NotImplementedError, "a str at a traced position"),
        ("[v, x][k]", NotImplementedError, "unequal elements"),
        ("TABLE[k + 9]", IndexError, "out of bounds"),
        ("[t for t in v if t > x]", TypeError, "its truth"),
    ],
)
def test_what_python_cannot_do_with_traced_values(expression, error, text):
    with pytest.raises(error, match=text) as found:
        sc.jit(function_of(expression))(2.6, 1.25, 1, V)
    assert expression[:6] in str(found.value)


def test_extremes_of_open_lengths_and_float32():
    np.testing.assert_array_equal(sc.scan(lambda x, s: max(x, s), np.array([1.0, 3.0, 2.0]), 0.0), [1, 3, 3])
    f = sc.jit(lambda x: max(x, 0.5) if x > 0 else 1)
    assert f(np.float32(2)).dtype == np.float32


# -- draws -------------------------------------------------------------------------------------------------------------

GENERATOR = np.random.default_rng(0)


def drawing_helper(x):
    return x + np.random.rand()


class Noisy:
    def __init__(self):
        self.generator = np.random.default_rng(1)

    def step(self, x):
        return x + self.generator.normal()


def drawing_after_a_branch(x):
    if x > 0:
        return x + random.gauss(0, 1)
    return x


@pytest.mark.parametrize(
    "run",
    [
        lambda: sc.scan(lambda x: x + np.random.normal(), np.ones(3)),
        lambda: sc.jit(lambda x: x + GENERATOR.integers(3))(1.0),
        lambda: sc.jit(lambda x: x + random.random())(1.0),
        lambda: sc.grad(lambda x: drawing_helper(x) ** 2)(1.0),
        lambda: sc.vmap(functools.partial(drawing_helper))(np.ones(2)),
        lambda: sc.lax.map(Noisy().step, np.ones(2)),
        lambda: sc.jit(drawing_after_a_branch)(1.0),
    ],
)
def test_draws_of_other_generators_are_refused(run):
    state = np.random.get_state()[1].tolist(), GENERATOR.bit_generator.state["state"]
    with pytest.raises(NotImplementedError, match=r"sc.random.\w+\(key, ...\)") as found:
        run()
    assert "test_python_functions.py" in str(found.value)
    assert state == (np.random.get_state()[1].tolist(), GENERATOR.bit_generator.state["state"])


# -- jumps -------------------------------------------------------------------------------------------------------------


def bisection(y):
    low, high = 0.0, 10.0
    for _ in range(100):
        mid = 0.5 * (low + high)
        if abs(mid * mid - y) < 1e-9:
            return mid
        if mid * mid < y:
            low = mid
        else:
            high = mid
    return -1.0


def newton(a):
    x = a
    for k in range(50):  # noqa: B007
        d = (x * x - a) / (2 * x)
        x -= d
        if abs(d) < 1e-12:
            break
    else:
        x = -1.0
    return x, k


def collatz(n):
    n, c = int(n), 0
    while True:
        if n == 1:
            break
        if n % 2:
            n = 3 * n + 1
        else:
            n //= 2
        c += 1
    return c


def rows(x):
    s = 0.0
    for k, (a, b) in enumerate(zip(V, TABLE, strict=False)):
        if a * x > b:
            s += k * a
            continue
        s -= b
        if s < -1:
            break
    else:
        s += 100
    return s


def nested(n):
    n = int(n)
    for i in range(n):
        for j in range(n):
            if i * j > 5:
                return i * 10 + j
            if i + j > 7:
                break
        else:
            continue
        return i
    return -1


def with_else(n):
    k = 0
    while k < n:
        if k * k > 20:
            break
        k += 1
    else:
        k = -k
    return k


def containers(x):
    for i in range(3):
        if x > i + 1:
            return {"a": x, "b": (i, x + i)}["b"]
    return (0, 0.0)


def named(x):
    c = 0
    if (y := x * 2) > 3 and (z := y + 1) > 0:  # noqa: F841
        c = y
    while (x := x - 1) > 0:
        c += x
    return c


def demanded(x):
    assert x > -9, f"too {'{'}small{'}'}"
    return x


def only_returns(x):
    while True:
        x = x * 2
        if x > 100:
            return x
        if x < -100:
            return -x


def in_a_nested_function(x):
    def first(y, *others, k=1):
        for v in others:
            if v > y:
                return v * k
        return y

    return first(x, 1.0, 2.0, k=3) + first(x, *[5.0], **{"k": 2})


def escape_time(c):
    z = 0j
    for k in range(50):
        z = z * z + c
        if abs(z) > 2:
            return k
    return 50


def is_prime(n):
    n = int(n)
    if n < 2:
        return False
    i = 2
    while i * i <= n:
        if n % i == 0:
            return False
        i += 1
    return True


def jumps_on_all_levels(n):
    s = 0
    for i in range(int(n)):
        if i % 2:
            continue
        for j in range(i):
            if j == 3:
                continue
            if j > 5:
                break
            s += j
        k = i
        while k < n:
            k += 2
            if k == 7:
                break
        else:
            s += 1
        s += k
    return s


def never_returns(n):
    k = 0
    while k < n:
        k += 1
        for i in range(3):
            if i > 5:
                return 5.0
            if k > 100:
                return 7.0
    return 1.0


JUMPS = [bisection, newton, collatz, rows, nested, with_else, containers, named, demanded, only_returns,
         in_a_nested_function, escape_time, is_prime, jumps_on_all_levels, never_returns]  # fmt: skip


@pytest.mark.parametrize("f", JUMPS, ids=lambda f: f.__name__)
def test_jumps(f):
    compiled = sc.jit(f)
    for x in (1.0, 2.5, 9.0):
        np.testing.assert_allclose(compiled(x), f(np.float64(x)), rtol=1e-14)


def test_assertions_are_checks():
    with pytest.raises(AssertionError, match=r"too {small}(.|\n)*demanded"):
        sc.jit(demanded)(-10.0)


def test_a_loop_that_returns_with_a_stopping_condition():
    def step(u, s):
        for i in range(3):
            if s > i * 10:
                return s + u, sc.until(s > 20)
        return s + 1.0, sc.until(False)

    np.testing.assert_allclose(sc.scan(step, np.arange(9.0) * 2, 0.0), [1, 3, 7, 13, 21, 31])


# -- where a function is handed over ---------------------------------------------------------------------------------


def branches(x):
    if x > 0:
        return x * x
    return -3 * x


class Bound:
    rate = 2.0

    def loss(self, w):
        return self.rate * w * w if w > 0 else -w


@sc.custom_vjp
def clipped(x):
    return x if x < 1 else x * 0 + 1


clipped.defvjp(lambda x: (x if x < 1 else x * 0 + 1, x), lambda x, d: (d if x < 1 else d * 0.5,))
PAIR = np.array([2.0, -2.0])
WAYS = {
    "grad": (lambda: [sc.grad(branches)(x) for x in (2.0, -2.0)], [4, -3]),
    "value_and_grad": (lambda: sc.value_and_grad(branches)(2.0), [4, 4]),
    "jvp": (lambda: sc.jvp(branches, (2.0,), (1.0,)), [4, 4]),
    "vjp": (lambda: sc.vjp(branches, -2.0)[1](1.0)[0], -3),
    "linearize": (lambda: sc.linearize(branches, 2.0)[1](1.0), 4),
    "hvp": (lambda: sc.hvp(branches, (2.0,), (1.0,)), 2),
    "jacobians": (lambda: (sc.jacfwd(branches)(2.0), sc.jacrev(branches)(-2.0), sc.hessian(branches)(2.0)), [4, -3, 2]),
    "vmap": (lambda: sc.vmap(branches)(PAIR), [4, 6]),
    "grad of jit": (lambda: sc.grad(sc.jit(branches))(2.0), 4),
    "jit of grad": (lambda: sc.jit(sc.grad(branches))(-2.0), -3),
    "grad of grad": (lambda: sc.grad(sc.grad(branches))(2.0), 2),
    "bound method": (lambda: sc.grad(Bound().loss)(3.0), 12),
    "lax.scan": (lambda: sc.lax.scan(lambda c, x: (c + branches(x), branches(c)), 0.0, PAIR)[1], [0, 16]),
    "lax.map": (lambda: sc.lax.map(branches, PAIR), [4, 6]),
    "fori_loop": (lambda: sc.lax.fori_loop(0, 3, lambda i, v: v + 1 if i > 1 else v * 2, 1.0), 5),
    "while_loop": (lambda: sc.lax.while_loop(lambda v: v < 3 and v > -1, lambda v: v + 1 if v > 1 else v + 2, 0.0), 3),
    "associative_scan": (lambda: sc.lax.associative_scan(larger, np.array([1.0, 3.0, 2.0])), [1, 3, 3]),
    "cond": (lambda: sc.jit(lambda x: sc.cond(x > 0, lambda: branches(x) if x > 3 else 1.0, lambda: 0.0))(4.0), 16),
    "branches by name": (lambda: sc.jit(lambda x: sc.cond(x > 0, branches, larger.__get__(x), x))(2.0), 4),
    "map": (lambda: sc.map(branches, PAIR), [4, 6]),
    "reduce": (lambda: sc.reduce(lambda x, y: y + x if x > 0 else y, PAIR, 0.0), 2),
    "scan_compile": (lambda: sc.scan_compile(branches)(PAIR), [4, 6]),
    "rule of custom_vjp": (lambda: (sc.grad(clipped)(0.5), sc.grad(clipped)(2.0)), [1, 0.5]),
    "scan in grad": (lambda: sc.grad(lambda a: sc.scan(lambda x, s: s * x if s > 0 else s, PAIR, a)[-1])(1.0), -4),
    "grad in scan": (lambda: sc.scan(lambda x: sc.grad(branches)(x), PAIR), [4, -3]),
    "vmap of jit of scan": (
        lambda: sc.vmap(sc.jit(lambda a: sc.scan(larger, PAIR, a)[-1]))(np.array([1.0, 3.0])), [2, 3]
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_wherever_a_function_is_handed_over(way):
    run, want = WAYS[way]
    np.testing.assert_allclose(run(), want)


def test_what_was_traced_before_the_rewriting_leaves_nothing_behind():
    counted = sc.shared(0.0)

    def step(x):
        sc.check(x < 9, "large")
        return (x if x > 0 else -x), {counted: counted + 1}

    f = sc.jit(lambda xs: sc.scan(step, xs))
    np.testing.assert_allclose(f(PAIR), [2, 2])
    assert counted.get_value() == 2
    assert str(f.trace(PAIR).graph).count("check") <= 2


# -- lists, dicts and sets ---------------------------------------------------------------------------------------------


def containers_of_a_branch(x):
    y = 0.0
    if x > 0:
        r = []
        for k in range(3):
            r.append(k * x)
        r[0] = 7.0
        r += [x]
        y = sum(r)
    return y


def containers_of_a_round(x):
    s = 0
    for i in range(int(x) + 3):
        r, d = [i, i + 1], dict(a=2)
        d["a"] = sum(r)
        d.update(b=2)
        s += d["a"] + d["b"]
    return s


def containers_around_plain_loops(x):
    r, seen = [], set()
    for k in range(4):
        r.append(x * k if x > 0 else x)
        seen.add(k)
    s = {k: v for k, v in enumerate(r)}
    s[1] += 2
    return np.stack(r) + s[1] + len(seen)


@pytest.mark.parametrize("f", [containers_of_a_branch, containers_of_a_round, containers_around_plain_loops])
def test_containers(f):
    compiled = sc.jit(f)
    for x in (1.5, -1.5):
        np.testing.assert_allclose(compiled(x, mode="interpret"), f(np.float64(x)))


def appends(x):
    r = [x]
    if x > 0:
        r.append(2 * x)
    return sum(r)


def extends_in_place(x):
    r = [x]
    if x > 0:
        r += [x]
    return sum(r)


def pops(x):
    r = [1.0, 2.0]
    while x > 0:
        x -= r.pop()
    return x


def sets_an_entry(x):
    d = {}
    for k in range(int(x)):
        d["k"] = k
    return d


@pytest.mark.parametrize("f", [appends, extends_in_place, pops, sets_an_entry])
def test_containers_from_outside_of_a_branch_or_loop(f):
    with pytest.raises(NotImplementedError, match="under control flow on traced values") as found:
        sc.jit(f)(1.0)
    assert "test_python_functions.py" in str(found.value)
