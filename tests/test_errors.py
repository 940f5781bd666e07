"""Input errors: what is raised, and the text that tells the user what to do."""

import numpy as np
import pytest

import scancc as sc

X = np.arange(5.0)


def step(x, y):
    return x + y


CASES = [
    (dict(fn=lambda y: y, outputs_info=1.0), ValueError, "the number of steps is unknown"),
    (dict(fn=step, sequences=X, outputs_info=0.0, n_steps=2.0), TypeError, "n_steps is 2.0 .float., not an integer"),
    (dict(fn=step, sequences=X, outputs_info=0.0, n_steps=True), TypeError, "not an integer"),
    (dict(fn=step, sequences=X, outputs_info=0.0, n_steps=-1), ValueError, "n_steps is -1"),
    (dict(fn=step, sequences=X, outputs_info=0.0, n_steps=9), ValueError, "9 rows of sequence 'x', which has 5"),
    (dict(fn=step, sequences=dict(input=X, tap=[0]), outputs_info=0.0), ValueError, "unknown key 'tap'(.|\n)*'taps'"),
    (dict(fn=step, sequences=X, outputs_info=dict(initail=0.0)), ValueError, "unknown key 'initail'(.|\n)*'initial'"),
    (dict(fn=step, sequences=X, outputs_info=dict(taps=[-1])), ValueError, r"has taps \[-1\] but no initial"),
    (dict(fn=step, sequences=X, outputs_info=dict(initial=X, taps=[-2, -2])), ValueError, "duplicate taps"),
    (dict(fn=step, sequences=X, outputs_info=dict(initial=X, taps=[0])), ValueError, "has tap 0"),
    (
        dict(fn=lambda x, a, b: x + a + b, sequences=X, outputs_info=dict(initial=X[:2], taps=[-1, -3])),
        ValueError,
        r"output 'a' has taps \[-1, -3\], but its initial value has 2 rows, not 3",
    ),
    (
        dict(fn=lambda x, y: (x + y).astype("uint64"), sequences=X, outputs_info=np.int64(0)),
        TypeError,
        "carry 'y' is int64 but the step returns uint64",
    ),
    (
        dict(fn=lambda x, y: x + y, sequences=np.ones((5, 3)), outputs_info=0.0),
        ValueError,
        r"carry 'y' has shape \(\) but the step returns shape \(3,\)",
    ),
    (dict(fn=lambda x, y: (x, y), sequences=X, outputs_info=0.0), ValueError, "give None for outputs"),
    (dict(fn=lambda x: None, sequences=X), TypeError, "the step returned None"),
    (dict(fn=lambda x: "a", sequences=X), TypeError, "the step returned 'a'"),
    (dict(fn=lambda x: x if x > 0 else -x, sequences=X, control_flow=False), TypeError,
     "its truth(.|\n)*sc.where or sc.cond to choose, sc.until"),
    (dict(fn=lambda x: int(x), sequences=X, control_flow=False), TypeError, "an int(.|\n)*sc.where"),
    (dict(fn=lambda x: float(x), sequences=X, control_flow=False), TypeError, "a float(.|\n)*sc.where"),
    (dict(fn=lambda x: np.i0(x), sequences=X), NotImplementedError, "np.i0 is not supported in a step"),
    (dict(fn=lambda x: x + X[:1], sequences=X, strict=True), ValueError, "the step uses a captured array"),
    (dict(fn=lambda x: x, sequences=3.0), ValueError, "sequence 'x' is a scalar"),
    (dict(fn=step, sequences=X), TypeError,
     r"takes \(x, y\), but the call gives it 1 value: 1 of sequences, 0 of outputs_info, 0 of non_sequences"),
    (dict(fn=step, sequences=X, outputs_info=0.0, non_sequences=[1.0, 2.0]), TypeError, "gives it 4 values"),
    (dict(fn=lambda x: np.fft.fft(x), sequences=X), NotImplementedError, "compute it outside the step"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), CASES, ids=[c[2][:40] for c in CASES])
def test_error(call, error, text):
    with pytest.raises(error, match=text):
        sc.scan(**call)


def test_carry_error_shows_the_line_with_a_caret():
    def counter(x, y):
        return (x + y).astype("uint64")

    with pytest.raises(TypeError) as e:
        sc.scan(counter, X, np.int64(0))
    lines = str(e.value).splitlines()
    assert "in 'counter'" in lines[1]
    assert 'return (x + y).astype("uint64")' in lines[2]
    assert "^" in lines[3]
    assert lines[-1].startswith("  help: ")


@pytest.mark.parametrize("dtype", [bool, "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "c8", "c16"])
def test_dtypes_are_kept(dtype):
    x = np.array([1, 0, 1, 1], dtype)
    for mode in ("compiled", "interpret"):
        got = sc.scan(lambda x, y: x + y, x, np.zeros((), dtype), mode=mode)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got, np.add.accumulate(x, dtype=dtype))


def test_carry_is_promoted_where_that_is_exact():
    got = sc.scan(lambda x, y: x + y, np.ones(3), 0)
    assert got.dtype == np.float64
    got = sc.scan(lambda x, y: x + y, np.ones(3), np.float32(0))
    assert got.dtype == np.float64


def test_inputs_of_any_layout_are_read_right_and_never_changed():
    base = np.random.default_rng(0).normal(size=(8, 6))
    frozen = base.copy()
    frozen.setflags(write=False)
    for x in (base[::2], base[::-1], base.T, np.asfortranarray(base), frozen, base.astype(">f8")):
        before = x.copy()
        got = sc.scan(lambda x, y: x + y, x, np.zeros(x.shape[1]))
        np.testing.assert_allclose(got, np.cumsum(x, 0))
        np.testing.assert_array_equal(x, before)


def test_sequence_and_initial_may_be_the_same_memory():
    x = np.arange(6.0)
    np.testing.assert_array_equal(
        sc.scan(lambda x, y: x + y, x, dict(initial=x, taps=[-2])), [0, 2, 2, 5, 6, 10]
    )


def test_threads_share_one_compilation():
    from concurrent.futures import ThreadPoolExecutor

    step = sc.scan_compile(lambda x, y: 0.5 * y + x)
    x = np.random.default_rng(1).normal(size=1000)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: step(x, 0.0), range(32)))
    assert len(step.programs) == 1
    for r in results:
        np.testing.assert_array_equal(r, results[0])


def test_step_count_never_compiles_again():
    step = sc.scan_compile(lambda y: y * 2)
    made = set()
    for n in (0, 1, 7, 1000):
        assert step(outputs_info=1.0, n_steps=n).shape == (n,)
        made.add(step.lower(outputs_info=1.0, n_steps=n).compiled.code._made)
    assert len(step.programs) == len(made) == 1


def test_strict_fp_is_bit_equal_to_the_interpreter():
    r = np.random.default_rng(5)
    x = r.normal(size=500)
    step = sc.scan_compile(lambda x, a, b: (x + 0.3 * a - 0.1 * b) / np.sqrt(1 + x * x), strict_fp=True)
    info = dict(initial=np.array([0.1, 0.2]), taps=[-1, -2])
    np.testing.assert_array_equal(step(x, info), step(x, info, mode="interpret"))


@pytest.mark.parametrize(
    "call",
    [
        lambda m: sc.scan(lambda x, y: x + y, m, 0.0),
        lambda m: sc.scan(lambda x, y: x + y, [np.ones(2)], m),
        lambda m: sc.scan(lambda x, w: (x * w).sum(), np.ones(2), None, m),
        lambda m: sc.scan(lambda x: (x * np.asanyarray(m)).sum(), np.ones(2)),
        lambda m: sc.jit(lambda x: x + 1.0)(m),
    ],
)
def test_masks_are_not_lost_in_silence(call):
    with pytest.raises(TypeError, match=r"is a masked array[\s\S]*help: pass x.filled"):
        call(np.ma.masked_array([1.0, 2.0], [False, True]))


@pytest.mark.parametrize("steps", [2**63, 2**70, np.uint64(2**63)])
def test_more_steps_than_can_be_counted(steps):
    with pytest.raises(ValueError, match="steps are counted with 64 bits"):
        sc.scan(lambda y: y + 1.0, outputs_info=0.0, n_steps=steps)


def test_taps_beyond_what_can_be_counted():
    with pytest.raises(ValueError, match=r"sequences\[0\] has the tap"):
        sc.scan(lambda x: x, dict(input=np.ones(3), taps=2**70))


def test_what_is_no_array_given_to_a_compiled_function():
    @sc.jit
    def f(x):
        return x

    with pytest.raises(TypeError, match="argument 0 of f is of type str(.|\n)*static_argnums"):
        f("a")
    with pytest.raises(TypeError, match=r"argument 0\['a'\] of f is of type str"):
        f({"a": "b"})


def test_no_spelling_is_proposed_that_only_looks_alike():
    with pytest.raises(NotImplementedError, match="compute it outside the step"):
        sc.map(lambda x: np.unique(x), np.ones((2, 3)))


def test_a_list_of_numbers_is_a_list_of_sequences():
    with pytest.raises(ValueError, match="has to be an array"):
        sc.scan(lambda x, y: x + y, [1.0, 2.0], 0.0)
