"""Python's control flow on traced values: the same step run as a Python loop is the reference."""

import functools

import numpy as np
import pytest

import scancc as sc

X = np.array([1.0, -2.0, 3.0, -4.0, 5.0, 0.0, 0.5])


def branches(x, y):
    if x > 0:
        y = y + x
        z = 1.0
    elif x < -3:
        y = y * 2
        z = 2.0
    else:
        z = 3.0
    return y + z


def early(x, y):
    if x > 4:
        return y - 10.0
    if x > 0:
        w = x * 2
        if x > 2:
            return y + w
    else:
        w = x - 1
    return y + w * 100


def nested(x, y):
    t = 0.0
    if x > 0:
        if x > 2:
            t = 5.0
        else:
            t = t + x
        t += 1
    return y + t


def logic(x, y):
    a = x > 0 and y < 3
    b = not a or x == 5
    c = 0 < x < 2
    return y + (1.0 if a else 0.5) + (10.0 if b and not c else 0.0) + (x > 4 or y > 100) * 1.0


def loops(x, y):
    n = 0
    total = x * 0.0
    while total < x:
        total = total + 0.75
        n += 1
        if n > 3:
            total += 1
    return y + total + n


def ranges(x, y):
    k = abs(int(x)) if isinstance(x, float) else abs(x.astype("int64"))
    total = 0.0
    for i in range(k):
        total += i * x
    for i in range(1, k, 2):
        for j in range(i):
            total = total - j
    for i in range(k, -1, -1):
        total = total * 0.5 + i
    for _ in range(2):  # Python's own bounds
        total += 1
    return y + total


def helper(v, limit=1.0):
    if v > limit:
        return limit
    return v


class Clip:
    def __init__(self, limit):
        self.limit = limit

    def __call__(self, x, y):
        return helper(x + y, self.limit) if x > -1 else self.lower(y)

    def lower(self, y):
        return max(y, -self.limit) if isinstance(y, float) else np.maximum(y, -self.limit)


def in_a_context(x, y):
    with np.errstate(all="ignore"):
        z = x if x > 0 else -x
        if y > 2:
            z = z + 1
    with np.errstate(all="ignore"):
        if x < 0:
            return y
        return y + z


STEPS = {
    "with": in_a_context,
    "if": branches, "early return": early, "nested": nested, "logic": logic, "while": loops, "for": ranges,
    "lambda": lambda x, y: y + x if x > 0 else y - x * 2,
    "second lambda of a line": (lambda x, y: y, lambda x, y: y + 1.0 if x > 1 else y)[1],
    "helper": lambda x, y: helper(x) + helper(y, limit=2.5),
    "object": Clip(2.0), "method": Clip(1.5).__call__,
    "partial": functools.partial(lambda k, x, y: y + k if x > 0 else y, 2.0),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["compiled", "interpret"])
@pytest.mark.parametrize("name", STEPS)
def test_as_python_runs_it(name, mode):
    step = STEPS[name]
    want, y = [], 0.0
    for x in X.tolist():
        y = float(step(x, y))
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, X, 0.0, mode=mode), want, rtol=1e-13)


def test_until_and_several_outputs():
    def step(x, y):
        if x > 2:
            return (y + x, x), sc.until(y > 3)
        return (y - x, -x), sc.until(False)

    have = sc.scan(step, X, [0.0, None])
    np.testing.assert_allclose(have[0], [-1, 1, 4, 8, 13])
    np.testing.assert_allclose(have[1], [-1, 2, 3, 4, 5])


def test_closures_defaults_and_containers():
    scale, table = 3.0, np.array([1.0, 10.0, 100.0])

    def step(x, y, shift=0.25):
        state = {"a": y, "b": (x, y * 0)}
        if x > 0:
            state = {"a": state["a"] + scale, "b": (x, table[1] + shift)}
        return state["a"] + state["b"][1]

    want, y = [], 0.0
    for x in X:
        y = y + 3.0 + 10.25 if x > 0 else y
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, X, 0.0), want)


def test_in_jit_and_only_the_branch_taken_runs():
    table = np.arange(3.0)

    @sc.jit
    def f(i, xs):
        ys = sc.scan(lambda x, y: x + y, xs, 0.0)
        if i < 3:
            return ys[-1] + sc.take(table, i)  # out of bounds in the other case
        return ys[0]

    assert f(2, np.ones(4)) == 6 and f(7, np.ones(4)) == 1
    collatz = sc.jit(_collatz)
    assert [int(collatz(n)) for n in (1, 2, 3, 7, 27)] == [0, 1, 7, 16, 111]


def _collatz(n):
    k = 0
    while n != 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        k += 1
    return k


def test_zero_rounds_and_dtypes():
    def step(n):
        total = 0
        for i in range(n):
            total = total + i * 0.5
        return total

    have = sc.scan(step, np.array([0, -5, 4], np.int32))
    assert have.dtype == np.float64
    np.testing.assert_array_equal(have, [0, 0, 3])


def one_branch(x):
    if x > 0:
        y = 1.0
    return x + y


def shapes(x):
    if x > 0:
        y = np.zeros(3)
    else:
        y = x
    return y


def kinds(x):
    y = None
    if x > 0:
        y = x
    return y


def no_return(x):
    if x > 0:
        return x


def catches(x):
    try:
        return x if x > 0 else -x
    except ValueError:
        return x


def enters(x):
    with np.errstate(all="ignore"):
        if x > 0:
            return x
    return -x


def matches(x):
    match x > 0:
        case True:
            return x
    return x if x > 0 else -x


def raises(x):
    if x > 4:
        raise ValueError(x)
    return x


def stores(x):
    box = [0.0]
    if x > 0:
        box[0] = x
    return x


def grows(x):
    y = np.zeros(1)
    while y.sum() < x:
        y = np.concatenate([y, y])
    return y


def temporary(x):
    while x > 0:
        t = x - 1
        x = t
    return t


@pytest.mark.parametrize(
    ("step", "error", "text"),
    [
        (one_branch, UnboundLocalError, "'y' has a value in one branch of an `if` on traced values only"),
        (shapes, ValueError, "has `y` as f64[3], the other f64[]"),
        (kinds, TypeError, "`y` is array in one branch of an `if` on traced values, and None in the other"),
        (no_return, NotImplementedError, "returns, the other goes on to the end"),
        (catches, NotImplementedError, "`try` in a step"),
        (enters, NotImplementedError, "returns from inside of `with`"),
        (matches, NotImplementedError, "`match` is not supported on traced values"),
        (raises, NotImplementedError, "raise under control flow on traced values"),
        (stores, NotImplementedError, "assigning to elements of a list under control flow"),
        (grows, ValueError, "carry 'y' has shape (1,) but the step returns shape (2,)"),
        (temporary, TypeError, "t, which is bound in a `while` on traced values only"),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_stays_unsupported_says_so(step, error, text):
    with pytest.raises(error) as found:
        sc.scan(step, X)
    assert text in str(found.value)
    if error is not UnboundLocalError:
        assert "test_control_flow.py" in str(found.value)


def recursive(v, n):
    if n == 0:
        return v if v > 0 else -v
    return recursive(v * 0.5, n - 1)


class Base:
    k = 2.0

    def step(self, x, y):
        if x > 0:
            y = y + self.k
        return y


class Derived(Base):
    def step(self, x, y):
        z = super().step(x, y)
        return z if z > 1 else z * 2


def inner_functions(x, y):
    def inner(t):
        if t > 0:
            return t
        return t * 0

    return inner(x) + (lambda q: q if q > 1 else 1.0)(y)


def assigned_in_tests(x, y):
    if (z := x * 2) > 3:
        w = z
    else:
        w = -z
    return sum([v if v > 0 else v * 0.5 for v in (w, y)])


@pytest.mark.parametrize(
    "step", [lambda x, y: recursive(x, 3) + y, Derived().step, inner_functions, assigned_in_tests],
    ids=["recursion", "super", "inner functions", "walrus and comprehension"],
)  # fmt: skip
def test_functions_of_every_kind(step):
    want, y = [], 0.0
    for x in X.tolist():
        y = float(step(x, y))
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, X, 0.0), want, rtol=1e-13)


def test_switched_off_and_without_source():
    step = STEPS["lambda"]
    for call in (
        lambda: sc.scan(step, X, 0.0, control_flow=False),
        lambda: sc.scan_compile(step, control_flow=False)(X, 0.0),
        lambda: sc.jit(lambda x: x if x > 0 else -x, control_flow=False)(1.0),
        lambda: sc.scan(eval("lambda x: x if x > 0 else -x"), X),
    ):
        with pytest.raises(TypeError, match="its truth"):
            call()


class Private:
    __limit = 1.0

    def __init__(self):
        self.__scale = 2.0

    def step(self, x, y):
        def inner(__v):
            return __v * self.__scale if __v > self.__limit else __v

        return inner(x) + (lambda: y if y < self.__limit * 3 else y * 0.5)()


def test_private_names_of_a_class():
    step = Private().step
    want, y = [], 0.0
    for x in X.tolist():
        y = float(step(x, y))
        want.append(y)
    np.testing.assert_allclose(sc.scan(step, X, 0.0), want, rtol=1e-13)
