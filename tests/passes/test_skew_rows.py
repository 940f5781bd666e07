"""Several rows of a nested recurrence at once: the same numbers, bit for bit, and loops that must stay whole do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scancc as sc
from scancc import driver
from scancc.ir.loop import For, Store
from scancc.ir.walk import statements
from scancc.passes import pipeline
from scancc.passes.loops.skew_rows import LEAST_PHASES, ROWS

R = np.random.default_rng(0)
INF = np.inf
WIDE = 37
LENGTHS = [0, 1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS, 5 * ROWS + 3]
WIDTHS = [0, 1, ROWS - 1, ROWS, LEAST_PHASES + ROWS, 50]


def warping(x, y):
    """Dynamic time warping; all rows are wanted."""

    def row(x_i, above, y):
        def cell(y_j, corner, up, left, x_i):
            return abs(x_i - y_j) + np.minimum(np.minimum(corner, up), left)

        cells = sc.scan(cell, [y, above[:-1], above[1:]], INF, x_i)
        return np.concatenate([np.full(1, INF), cells])

    return sc.scan(row, x, np.concatenate([np.zeros(1), np.full(y.shape[0], INF)]), y)


def warping_distance(x, y):
    return warping(x, y)[-1, -1]


def warping_last_rows(x, y):
    """Of the last row but one, too, something is read after the loop."""
    rows = warping(x, y)
    return rows[-1, -1] + rows[-2, -2]


def warping_tail(x, y):
    """As many of the last rows as there are."""
    return warping(x, y)[-2:]


def edits(x, y):
    """Edit distance, in integers; the first column counts the rows."""
    a, b = np.sign(x), np.sign(y)

    def row(a_i, i, above, b):
        def cell(b_j, corner, up, left, a_i):
            return np.minimum(np.minimum(up, left) + 1, corner + np.where(a_i == b_j, 0, 1))

        cells = sc.scan(cell, [b, above[:-1], above[1:]], i, a_i)
        return np.concatenate([i[None], cells])

    return sc.scan(row, [a, np.arange(a.shape[0]) + 1], np.arange(b.shape[0] + 1), b)[-1]


def alignment(x, y):
    """Smith and Waterman: the best cell of all, so every row is reduced as well."""

    def row(a_i, above, b):
        def cell(b_j, corner, up, left, a_i):
            fits = corner + np.where(a_i * b_j > 0, 3.0, -3.0)
            return np.maximum(np.maximum(up - 2.0, left - 2.0), np.maximum(fits, 0.0))

        cells = sc.scan(cell, [b, above[:-1], above[1:]], 0.0, a_i)
        return np.concatenate([np.zeros(1), cells])

    rows = sc.scan(row, x, np.zeros(y.shape[0] + 1), y)
    return np.maximum(rows.max(), 0.0) if x.shape[0] else np.zeros(())


def sweeps(x, y):
    """Gauss and Seidel: a row reads the element on its right, so rows are two columns apart."""

    def sweep(x_i, u, y):
        def cell(y_j, right, left, x_i):
            return 0.5 * (left + right - x_i * y_j)

        return sc.scan(cell, [y, np.concatenate([u[1:], np.zeros(1)])], 0.0, x_i)

    return sc.scan(sweep, x, y, y)


def smoothed(x, y):
    """Rows that read the row above where they are, and one of two states is left for the result."""

    def row(x_i, above, y):
        def cell(up, y_j, left, peak, x_i):
            new = 0.25 * (left + up) + x_i * y_j
            return new, np.maximum(0.5 * peak, new)

        cells, peaks = sc.scan(cell, [above, y], [0.0, 0.0], x_i)
        return cells, peaks[-1:]

    return sc.scan(row, x, [y, None], y)[1] if y.shape[0] else np.zeros(())


def two_above(x, y):
    """Rows one and two above, further to the right."""

    def row(x_i, above2, above, y):
        def cell(y_j, up, far, left, x_i):
            return np.maximum(np.minimum(left, far), up) - x_i * y_j

        ends = np.full(3, 1.5)
        cells = sc.scan(cell, [y, above[:-3], above2[3:]], 1.0, x_i)
        return np.concatenate([cells, ends])

    first = dict(initial=np.ones((2, y.shape[0] + 3)), taps=[-2, -1])
    return sc.scan(row, x, first, y)[-1]


PROGRAMS = [warping, warping_distance, warping_last_rows, warping_tail, edits, alignment, sweeps, smoothed, two_above]
EXACT = [p for p in PROGRAMS if p not in (sweeps, smoothed, two_above)]  # nothing is contracted in them


def compiled(program, monkeypatch=None, **options):
    """With `monkeypatch`: without the pass."""
    if monkeypatch is not None:
        kept = tuple(p for p in pipeline.LOOP_PIPELINE if p.name != "skew_rows")
        monkeypatch.setattr(pipeline, "LOOP_PIPELINE", kept)
        monkeypatch.setattr(driver, "COMPILED", driver.Programs())
    return sc.jit(program, **options)


def fires(f, *args):
    return f"# {ROWS} steps of " in f.lower(*args).source()


def run(f, *args):
    """A result, or the error that there is none."""
    try:
        return f(*args)
    except (IndexError, ValueError) as error:
        return np.asarray(type(error).__name__)


def interpreted(f):
    return lambda *args: f(*args, mode="interpret")


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_rows_of_any_number(program):
    y = R.normal(size=WIDE)
    f = sc.jit(program, strict_fp=True)
    assert fires(f, R.normal(size=3 * ROWS), y)
    for n in LENGTHS:
        x = R.normal(size=n)
        np.testing.assert_array_equal(run(f, x, y), run(interpreted(f), x, y))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_rows_of_any_width(program):
    x = R.normal(size=2 * ROWS + 3)
    f = sc.jit(program, strict_fp=True)
    for n in WIDTHS:
        y = R.normal(size=n)
        np.testing.assert_array_equal(run(f, x, y), run(interpreted(f), x, y))


@pytest.mark.parametrize("program", EXACT, ids=lambda p: p.__name__)
def test_bit_for_bit_without_strict_fp(program):
    x, y = R.normal(size=(2, 3 * ROWS + 2)), R.normal(size=WIDE)
    f = sc.jit(program)
    assert fires(f, x[0], y)
    for x_k in x:
        np.testing.assert_array_equal(f(x_k, y), f(x_k, y, mode="interpret"))


@pytest.mark.parametrize(
    ("program", "dtype"), [(p, "float64") for p in PROGRAMS] + [(p, "float32") for p in (warping, sweeps, smoothed)]
)
def test_equals_the_loop_row_by_row(program, dtype, monkeypatch):
    x, y = R.normal(size=4 * ROWS + 1).astype(dtype), R.normal(size=WIDE).astype(dtype)
    f = sc.jit(program, strict_fp=True)
    have = f(x, y)
    plain = compiled(program, monkeypatch, strict_fp=True)
    assert not fires(plain, x, y)
    want = plain(x, y)
    assert (have.dtype, have.shape) == (want.dtype, want.shape)
    assert have.tobytes() == want.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -0.0])
@pytest.mark.parametrize("program", [warping, sweeps, two_above], ids=lambda p: p.__name__)
def test_values_that_are_not_finite(program, bad):
    x, y = R.normal(size=3 * ROWS + 1), R.normal(size=WIDE)
    f = sc.jit(program, strict_fp=True)
    for where in (0, 1, ROWS, len(x) - 1):
        for array, at in ((x, where), (y, where), (y, -1)):
            kept, array[at] = array[at], bad
            np.testing.assert_array_equal(f(x, y), f(x, y, mode="interpret"))
            array[at] = kept


def test_gradients_are_those_of_the_interpreter():
    x, y = R.normal(size=3 * ROWS + 1), R.normal(size=WIDE)
    gradient = sc.jit(sc.grad(lambda x, y: warping(x, y)[-1, -1], (0, 1)))
    for have, want in zip(gradient(x, y), gradient(x, y, mode="interpret"), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-12)


def test_rows_of_which_none_waits_for_another():
    def row(x_i, y):
        return sc.scan(lambda y_j, left, x_i: x_i + np.minimum(left * 0.5, 1.0) * y_j, y, 1.0, x_i)

    y = R.normal(size=WIDE)
    for program in (lambda x, y: sc.scan(row, x, None, y), lambda x, y: sc.scan(row, x, None, y)[:, -1]):
        f = sc.jit(program, strict_fp=True)
        assert fires(f, R.normal(size=ROWS), y)
        for n in LENGTHS:
            x = R.normal(size=n)
            np.testing.assert_array_equal(f(x, y), f(x, y, mode="interpret"))


def test_tables_of_a_batch():
    """The loop over rows is within another."""
    x, y = R.normal(size=(3, 2 * ROWS + 1)), R.normal(size=(3, WIDE))
    for program in (warping_distance, sweeps, alignment):
        f = sc.jit(lambda x, y, program=program: sc.map(program, [x, y]), strict_fp=True)
        assert fires(f, x, y)
        np.testing.assert_array_equal(f(x, y), f(x, y, mode="interpret"))


def test_rows_backwards():
    x, y = R.normal(size=3 * ROWS + 1), R.normal(size=WIDE)

    def program(x, y):
        def row(x_i, above, y):
            cells = sc.scan(lambda y_j, up, left, x_i: x_i + np.minimum(left, up) * y_j, [y, above], 1.0, x_i)
            return cells

        return sc.scan(row, x, y, y, go_backwards=True)

    f = sc.jit(program, strict_fp=True)
    assert fires(f, x, y)
    np.testing.assert_array_equal(f(x, y), f(x, y, mode="interpret"))


def test_only_rows_that_are_read_are_stored():
    """In the loop in which all rows run: of a trace every row, of a ring the last."""
    for program, stores in ((warping, ROWS), (warping_distance, 1), (warping_last_rows, 2)):
        kernel = sc.jit(program).lower(np.ones(2 * ROWS), np.ones(WIDE)).compilation.lowered.kernel
        loops = [s for s in statements(kernel.body) if isinstance(s, For) and s.note.startswith("all")]
        assert len(loops) == 1
        assert sum(isinstance(s, Store) for s in loops[0].body) == stores


# -- what stays as it is -----------------------------------------------------------------------------------------------


def stays(program, x, y):
    f = sc.jit(program, strict_fp=True)
    np.testing.assert_array_equal(f(x, y), f(x, y, mode="interpret"))
    return not fires(f, x, y)


def test_rows_that_wait_for_a_whole_row_above():
    x, y = R.normal(size=3 * ROWS), R.normal(size=WIDE)

    def starts_at_the_end(x_i, above, y):
        return sc.scan(lambda y_j, up, left: x_i + np.minimum(left * 0.5, up) * y_j, [y, above], above[-1])

    def reads_backwards(x_i, above, y):
        return sc.scan(lambda y_j, up, left: x_i + np.minimum(left * 0.5, up) * y_j, [y, above[::-1]], 1.0)

    def over_its_maximum(x_i, above, y):
        row = sc.scan(lambda y_j, up, left: x_i + np.minimum(left * 0.5, up) * y_j, [y, above], 1.0)
        return row - np.max(row)

    def element_of_the_data(x_i, above, y):
        i = np.where(x_i > 0, 1, 0)
        return sc.scan(lambda y_j, up, left: x_i + np.minimum(left * 0.5, up) * y_j, [y, above], y[i] + above[i])

    for row in (starts_at_the_end, reads_backwards, over_its_maximum, element_of_the_data):
        assert stays(lambda x, y, row=row: sc.scan(row, x, y, y), x, y), row.__name__


def test_rows_that_end_the_loop():
    def row(x_i, above, y):
        cells = sc.scan(lambda y_j, up, left: x_i + np.minimum(left * 0.5, up) * y_j, [y, above], 1.0)
        return cells, sc.until(cells[-1] > 3.0)

    assert stays(lambda x, y: sc.scan(row, x, y, y), R.normal(size=3 * ROWS), R.normal(size=WIDE))


def test_sums_of_rows():
    """They are vectorised, or partial sums."""

    def row(x_i, above, y):
        cells = y * above + x_i
        return cells, np.sum(cells * cells), np.max(cells)

    x, y = R.normal(size=3 * ROWS), R.normal(size=WIDE)
    f = sc.jit(lambda x, y: sc.scan(row, x, [y, None, None], y))
    assert not fires(f, x, y)


def test_a_state_that_becomes_what_waits_for_no_other():
    """It is there at once, whatever the chain takes."""
    x = R.integers(-5, 6, 9)
    y = R.integers(-5, 6, WIDE)

    def row(x, above):
        cells = sc.scan(lambda u, left, last, x: (np.minimum(left + u, last * left) + x, x + 1), above, [x, x], x)
        return cells[0]

    f = sc.jit(lambda x, y: sc.scan(row, x, y))
    np.testing.assert_array_equal(f(x, y), interpreted(f)(x, y))


def test_few_rows():
    assert stays(lambda x, y: warping(x[: ROWS - 1], y), R.normal(size=3 * ROWS), R.normal(size=WIDE)[:LEAST_PHASES])


# -- random recurrences ------------------------------------------------------------------------------------------------

OPS = [np.minimum, np.maximum, np.add, np.subtract, lambda a, b: 0.5 * a + 0.25 * b]


@st.composite
def recurrences(draw):
    """Rows with edges of some elements, cells that read up to three rows above, left or right of where they are."""
    taps = draw(st.integers(1, 3))
    reads = draw(st.lists(st.tuples(st.integers(1, taps), st.integers(-2, 3)), min_size=1, max_size=3))
    ops = draw(st.lists(st.sampled_from(OPS), min_size=len(reads) + 1, max_size=len(reads) + 1))
    order = draw(st.permutations(range(len(reads) + 1)))
    left, right = draw(st.integers(0, 1)), draw(st.integers(0, 2))
    peaks = draw(st.booleans())
    wanted = draw(st.sampled_from(["rows", "last", "corner", "largest", "two"]))

    def program(x, y):
        columns = y.shape[0]
        width = left + columns + right

        def moved(above, by):
            start = left + by
            parts = [np.full(max(0, -start), 0.5), above[max(start, 0) : min(start + columns, width)],
                     np.full(max(0, start + columns - width), 1.5)]  # fmt: skip
            parts = [p for p in parts if p.shape[0]]
            return np.concatenate(parts) if len(parts) > 1 else parts[0]

        def row(x_i, *rest):
            above, y = rest[:taps][::-1], rest[-1]

            def cell(y_j, *rest):
                values = [*rest[: len(reads)], rest[len(reads)]]
                new = rest[-1] * y_j
                for op, k in zip(ops, order, strict=True):
                    new = op(new, values[k])
                return (new, np.maximum(0.5 * rest[-2], new)) if peaks else new

            cells = sc.scan(cell, [y, *(moved(above[k - 1], by) for k, by in reads)], [1.0, 0.0][: 1 + peaks], x_i)
            parts = [np.full(left, 0.25), cells[-1] if peaks else cells, np.full(right, 2.0)]
            parts = [p for p in parts if p.shape[0]]
            return np.concatenate(parts) if len(parts) > 1 else parts[0]

        first = np.arange(taps * width).reshape(taps, width) * 0.125
        rows = sc.scan(row, x, dict(initial=first, taps=list(range(-taps, 0))) if taps > 1 else first[0], y)
        return {"rows": lambda: rows, "last": lambda: rows[-1], "corner": lambda: rows[-1, -1],
                "largest": lambda: rows.max(), "two": lambda: rows[-1] + rows[-2]}[wanted]()  # fmt: skip

    return program


FIRED: list[bool] = []


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(recurrences(), st.integers(20, 40), st.integers(0, 99))
def check(program, columns, seed):
    r = np.random.default_rng(seed)
    x, y = r.normal(size=3 * ROWS + 3), r.normal(size=columns)
    x[r.integers(0, len(x))] = r.choice([np.nan, np.inf, 1.0])
    f = sc.jit(program, strict_fp=True)
    FIRED.append(fires(f, x, y))
    for n in (2, ROWS, 2 * ROWS + 1, len(x)):
        np.testing.assert_array_equal(f(x[:n], y), f(x[:n], y, mode="interpret"))


def test_random_recurrences(monkeypatch):
    """Whatever they gain."""
    monkeypatch.setattr("scancc.passes.loops.skew_rows._worth", lambda rows: True)
    monkeypatch.setattr(driver, "COMPILED", driver.Programs())
    check()
    assert sum(FIRED) >= len(FIRED) // 2
