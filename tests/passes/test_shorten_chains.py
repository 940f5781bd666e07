"""States that are linear in one another: what becomes of a step, and that it computes the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scancc as sc

CASES = Path(__file__).parent.parent / "cases" / "shorten_chains"
R = np.random.default_rng(0)
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def holt(y, level, trend, a, b):
    """Two states, each of which waits for the other."""
    new = a * y + (1 - a) * (level + trend)
    return new, b * (new - level) + (1 - b) * trend


def mixed(x, y2, y1, z, c):
    """Two circles: z reads y, but not the other way round. Both divide by what no step changes."""
    y = (y2 + x + y1) / 2
    return y, (z + y * x) / c


def shares(x, y, z, w):
    """The coefficient of z changes from step to step, but not with z."""
    y = 0.4 * y + x
    return y, (x + (z - w) * y) / 3


def until(x, y, z, c):
    """A condition may end the loop at any step."""
    y = (x + y - z) / c
    return (y, (z - y) / c + x), sc.until(np.abs(y) > 40)


def infection(rate, sick, well, k):
    """What is not linear is a term of its own, and a number minus a small share of it stays that."""
    new = well * (1 - np.exp(-rate * rate * sick))
    return sick + new - k * sick, well - new + k * sick


def product(x, y, z):
    """A product of two states: the one that is there first is multiplied by what divides it."""
    return (y * z + x) / 3, (z - y) / 3


PROGRAMS = {
    holt: ([1.0, 0.0], [0.2, 0.1]),
    mixed: ([dict(initial=np.array([0.5, -0.5]), taps=[-2, -1]), 0.5], [3.0]),
    shares: ([0.1, 0.2], [0.3]),
    until: ([0.1, 0.2], [1.9]),
    infection: ([0.1, 0.9], [0.2]),
    product: ([0.1, 0.9], []),
}


def compiled(step, dtype="float64", **options):
    """A function of the sequence, and the arguments that stay."""
    initial, given = PROGRAMS[step]

    def cast(i):
        return dict(initial=i["initial"].astype(dtype), taps=i["taps"]) if isinstance(i, dict) else np.asarray(i, dtype)

    info = [cast(i) for i in initial]
    f = sc.jit(lambda x, *given: sc.scan(step, x, info, list(given)), **options)
    return f, [np.asarray(v, dtype) for v in given]


@pytest.mark.parametrize("step", PROGRAMS, ids=lambda s: s.__name__)
def test_loops(step, file_regression):
    f, given = compiled(step)
    file_regression.check(f.lower(np.ones(9), *given).loop_ir(), fullpath=CASES / f"{step.__name__}.loops")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", PROGRAMS, ids=lambda s: s.__name__)
def test_equals_the_interpreter(step, dtype):
    f, given = compiled(step, dtype)
    for n in (0, 1, 2, 7, 300):
        x = R.normal(size=n).astype(dtype)
        assert "multiply_add" in f.lower(x, *given).source()
        for have, want in zip(f(x, *given), f(x, *given, mode="interpret"), strict=True):
            assert (have.dtype, have.shape) == (want.dtype, want.shape)
            np.testing.assert_allclose(have, want, rtol=1e-11 if dtype == "float64" else 2e-4, atol=1e-5)


@pytest.mark.parametrize("step", [holt, mixed, until], ids=lambda s: s.__name__)
def test_strict_results_are_those_of_the_interpreter(step):
    f, given = compiled(step, strict_fp=True)
    x = R.normal(size=300)
    assert "multiply_add" not in f.lower(x, *given).source()
    for have, want in zip(f(x, *given), f(x, *given, mode="interpret"), strict=True):
        np.testing.assert_array_equal(have, want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [holt, mixed], ids=lambda s: s.__name__)
def test_values_that_are_not_finite_appear_where_the_loop_has_them(step, bad):
    f, given = compiled(step)
    x = R.normal(size=90)
    x[50] = bad
    for have, want in zip(f(x, *given), f(x, *given, mode="interpret"), strict=True):
        np.testing.assert_array_equal(np.isfinite(have), np.isfinite(want))
        np.testing.assert_allclose(have[:50], want[:50], rtol=1e-11)


def test_divisors_of_any_size():
    """The reciprocal of a number is a number unless it is so small that what it divides overflows."""
    x = R.normal(size=40)
    f, _ = compiled(mixed)
    for c in (1e-300, 1e-3, -7.0, 1e300, 1.7e308, np.inf, -np.inf, np.nan):
        for have, want in zip(f(x, c), f(x, c, mode="interpret"), strict=True):
            n = int(np.argmin(np.isfinite(want))) if not np.isfinite(want).all() else len(want)
            np.testing.assert_allclose(have[:n], want[:n], rtol=1e-10, atol=1e-300)
            assert not np.isfinite(have[n : n + 1]).any()


def stays(step, x, info, *given):
    f = sc.jit(lambda x, *given: sc.scan(step, x, info, list(given)))
    for have, want in zip(np.atleast_2d(f(x, *given)), np.atleast_2d(f(x, *given, mode="interpret")), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-11)
    return "multiply_add" not in f.lower(x, *given).source()


def test_what_stays():
    x = R.normal(size=40)
    # One multiply-add waits for the one before already.
    assert stays(lambda x, y, z: (0.5 * y + x, 0.5 * z + y), x, [0.0, 0.0])
    # The circle that takes long is another one.
    assert stays(lambda x, y, z: (np.tanh(y + x), (z - y) / 3), x, [0.0, 0.0])
    # Divided by what it waits for.
    assert stays(lambda x, y: x / (y + 2.5), x, [0.0])
    # A reciprocal, and a coefficient of 1 - k, would be no shorter: the one it has stays apart.
    assert stays(lambda x, y, k: y + k * (x - y), x, [0.0], 0.1)
    # Whole numbers.
    assert stays(lambda x, y, z: ((y + z) * 3, z - y * 2 + x), np.arange(20), [0, 0])


# -- random steps ----------------------------------------------------------------------------------------------------

FACTORS = ("0.5", "c", "(c - 0.25)", "d", "(c * d)", "x")


@st.composite
def steps(draw):
    """The text of a step with up to three states, mostly linear, in which later states read new values of earlier."""
    names = ["p", "q", "r"][: draw(st.integers(1, 3))]

    def expression(readable, depth):
        kind = draw(st.sampled_from(["sum", "difference", "product", "quotient", "negative", "curved", "leaf"]))
        if depth == 0 or kind == "leaf":
            return draw(st.sampled_from([*readable, *readable, "x", "c"]))
        inner = expression(readable, depth - 1)
        match kind:
            case "sum" | "difference":
                return f"({inner} {'+' if kind == 'sum' else '-'} {expression(readable, depth - 1)})"
            case "product":
                return f"({inner} * {draw(st.sampled_from(FACTORS))})"
            case "quotient":
                return f"({inner} / {draw(st.sampled_from(['3.0', 'd', '(c + 2.0)']))})"
            case "curved":
                return f"({inner} * np.tanh({expression(readable, depth - 1)}))"
            case _:
                return f"(-{inner})"

    lines = []
    readable = list(names)
    for n in names:
        lines.append(f"    new_{n} = {expression(readable, 4)} / 4.0")
        readable.append(f"new_{n}")
    results = ", ".join(f"new_{n}" for n in names)
    return names, "\n".join([f"def step(x, {', '.join(names)}, c, d):", *lines, f"    return {results},"])


@settings(max_examples=24, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(steps(), st.sampled_from(["float64", "float32"]), st.integers(0, 1000))
def test_random_steps(made, dtype, seed):
    names, text = made
    scope: dict = {"np": np}
    exec(text, scope)
    r = np.random.default_rng(seed)
    x, c, d = r.normal(size=30).astype(dtype), *r.uniform(0.5, 1.5, size=2).astype(dtype)
    info = list(r.normal(size=len(names)).astype(dtype))

    def run(x, c, d):
        return sc.scan(scope["step"], x, info, [c, d], return_list=True)

    want = sc.jit(run)(x, c, d, mode="interpret")
    largest = max(1.0, *(np.abs(w).max() for w in want))
    for have, w in zip(sc.jit(run)(x, c, d), want, strict=True):
        assert have.dtype == w.dtype
        np.testing.assert_allclose(have, w, rtol=0, atol=largest * (1e-11 if dtype == "float64" else 2e-4))
    if "tanh" not in text:
        for have, w in zip(sc.jit(run, strict_fp=True)(x, c, d), want, strict=True):
            np.testing.assert_array_equal(have, w)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compensated_sums_stay_compensated(dtype):
    """Kahan's sum: what cancels by the rules of algebra is what rounding has lost."""

    def kahan(x, total, lost):
        y = x - lost
        new = total + y
        return new, (new - total) - y

    x, start = np.full(1000, 0.1, dtype), dtype(2.0) ** (np.finfo(dtype).nmant + 3)
    f = sc.jit(lambda x, start: sc.scan(kahan, x, [start, np.zeros_like(start)])[0][-1])
    assert abs(f(x, start) - start - 100) <= np.spacing(start)


LARGE = 1.5 * 2.0**52  # beside it a double has no digits behind the point


def rounded(x, y):
    return ((0.3 * y + x) + LARGE) - LARGE


def rounded_in_two(x, y, z):
    new = ((0.3 * y + 0.1 * z + x) + LARGE) - LARGE
    return new, 0.5 * new + 0.2 * z


def residual(x, y, lost):
    """What a sum has lost, spelled with sums and signs only."""
    t = y + x
    return t, lost + ((t + (-y)) + (-x))


@pytest.mark.parametrize(("step", "states"), [(rounded, 1), (rounded_in_two, 2), (residual, 2)])
def test_rounding_that_is_written_on_purpose(step, states):
    x = np.random.default_rng(0).normal(size=50) * 10
    start = [1e16, 0.0] if step is residual else [0.0] * states
    f = sc.jit(lambda x: sc.scan(step, x, start))
    have, want = f(x), f(x, mode="interpret")
    for a, b in zip(*((r,) if states == 1 else r for r in (have, want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
