"""Every parameter of every NumPy function that steps take is honoured, as NumPy honours it, or refused at the line."""

from __future__ import annotations

import importlib.util
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from frontend.numpy_cases import CASES, INPUTS, OPEN, SMOOTH

import scancc as sc
from scancc.errors import UnsupportedError
from scancc.frontend import signatures
from scancc.frontend.numpy_functions import FUNCTIONS, call_function
from scancc.frontend.ufuncs import PARAMETERS

NAMES, VALUES = tuple(INPUTS), tuple(INPUTS.values())
DECOMPOSED = re.compile("svd|eig|qr|pinv|lstsq|rank|cond|nuc|norm\\(x, -?2\\)")  # a second each to compile
QUICK = [c for c in CASES if not DECOMPOSED.search(c)]
ROOT = Path(__file__).parents[2]


def function_of(case):
    return eval(f"lambda {', '.join(NAMES)}: {case}", {"np": np})


def expected(case, *values):
    with np.errstate(all="ignore"):
        return np.asarray(function_of(case)(*values))


def assert_same(case, have, want):
    assert (have.dtype, have.shape) == (want.dtype, want.shape), case
    single = want.dtype in (np.float32, np.complex64) or "'f4'" in case or re.search(r"\bf\b", case)
    np.testing.assert_allclose(have, want, rtol=2e-5 if single else 1e-9, atol=1e-6 if single else 1e-11, err_msg=case)


@pytest.mark.parametrize("group", range(12))
def test_interpreted(group):
    for case in CASES[group::12]:
        have = sc.jit(function_of(case))(*VALUES, mode="interpret")
        assert_same(case, np.asarray(have), expected(case, *VALUES))


@pytest.mark.parametrize("group", range(16))
def test_compiled(group):
    """Many functions in one program: one compilation each group."""
    chosen = QUICK[group::16]
    functions = [function_of(c) for c in chosen]
    have = sc.jit(lambda *values: tuple(f(*values) for f in functions))(*VALUES)
    for case, got in zip(chosen, have, strict=True):
        assert_same(case, np.asarray(got), expected(case, *VALUES))


@pytest.mark.parametrize("case", ["np.linalg.eigvalsh(m)", "np.linalg.qr(x).Q", "np.abs(np.linalg.svd(x)[2][:3])",
                                  "np.linalg.pinv(np.ones_like(m))"])  # fmt: skip
def test_compiled_decompositions(case):
    assert_same(case, np.asarray(sc.jit(function_of(case))(*VALUES)), expected(case, *VALUES))


@pytest.mark.parametrize("group", range(6))
def test_batched(group):
    """A batch means the loop over its rows."""
    rows = np.stack([VALUES[0], -VALUES[0][::-1], VALUES[0] * 1.3 + 0.1])
    for case in [c for c in CASES if re.search(r"\bx\b", c)][group::6]:
        batch = sc.jit(sc.vmap(partial(lambda f, row: f(row, *VALUES[1:]), function_of(case))))
        want = np.stack([expected(case, row, *VALUES[1:]) for row in rows])
        assert_same(case, np.asarray(batch(rows, mode="interpret")), want)


@pytest.mark.parametrize("case", SMOOTH)
def test_derivatives(case):
    """In reverse as finite differences, and forward the same."""
    f = function_of(case)
    x, others = VALUES[0], VALUES[1:]
    weights = np.random.default_rng(0).normal(size=expected(case, *VALUES).shape)
    tangent = np.random.default_rng(1).normal(size=x.shape)

    def loss(x):
        return np.sum(f(x, *others) * weights)

    have = sc.jit(sc.grad(loss))(x, mode="interpret")
    along = sc.jit(lambda x: sc.jvp(loss, (x,), (tangent,))[1])(x, mode="interpret")
    want = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-6
        want[i] = (loss(x + step) - loss(x - step)) / 2e-6
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(along, np.sum(have * tangent), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", OPEN)
def test_lengths_known_at_run_time(case):
    """One program for all lengths of time."""
    step = sc.jit(lambda u, case=case: eval(case, {"np": np, "y": sc.scan(lambda u: u * 2.0, u)}))
    for n in (5, 1, 8):
        u = np.random.default_rng(n).normal(size=(n, 3))
        want = eval(case, {"np": np, "y": u * 2.0})
        np.testing.assert_allclose(step(u), want, rtol=1e-12)
    assert len(step.programs) == 1


# -- the table -----------------------------------------------------------------------------------------------------


def test_every_honoured_argument_has_a_case(monkeypatch):
    seen = set()
    take = signatures._take

    def noting(spelling, name, value, kind, named):
        seen.add((spelling, name))
        take(spelling, name, value, kind, named)

    monkeypatch.setattr(signatures, "_take", noting)
    for case in CASES:
        sc.jit(function_of(case))(*VALUES, mode="interpret")
    missing = []
    for function, implementation in FUNCTIONS.items():
        signature = signatures.signature_of(function)
        module = "np.linalg" if getattr(np.linalg, function.__name__, None) is function else "np"
        for name, kind in signatures.kinds_of(function, implementation).items():
            parameter = signature.parameters.get(name) if signature else None
            optional = parameter is None or parameter.default is not parameter.empty
            if kind == signatures.HONOURED and optional and (f"{module}.{function.__name__}", name) not in seen:
                missing.append(f"{module}.{function.__name__}({name}=)")
    assert not missing


REFUSED = [
    (function, name)
    for function, implementation in FUNCTIONS.items()
    for name, kind in signatures.kinds_of(function, implementation).items()
    if kind == signatures.REFUSED
]


@pytest.mark.parametrize("function", dict.fromkeys(f for f, _ in REFUSED), ids=lambda f: f.__name__)
def test_refused_arguments_are_errors_at_the_line(function):
    required = [p for p in signatures.signature_of(function).parameters.values()
                if p.default is p.empty and p.kind in signatures.POSITIONS]  # fmt: skip
    for name in (n for f, n in REFUSED if f is function):
        with pytest.raises(UnsupportedError, match=f"{function.__name__} with '{name}' is not(.|\n)*test_signatures"):
            sc.jit(lambda x, name=name: call_function(function, (x,) * len(required), {name: "other"})).lower(VALUES[0])


@pytest.mark.parametrize("name", [n for n, kind in PARAMETERS.items() if kind == "refused"])
def test_refused_arguments_of_ufuncs(name):
    with pytest.raises((UnsupportedError, TypeError), match="not supported in a step|unexpected keyword|only"):
        sc.jit(lambda x: np.add(x, 1, **{name: np.ones(4, bool)})).lower(VALUES[0])


@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (lambda x: np.sum(x, axes=1), TypeError, "axes"),
        (lambda x: x.astype("i8", casting="safe"), TypeError, "cannot cast an array of float64 to int64"),
        (lambda x: np.add(x, 1, dtype="i8"), TypeError, "np.add"),
        (lambda x: np.add(x, 1, casting="no", dtype="f4"), TypeError, "np.add"),
        (lambda x: np.concatenate([x, x], dtype="i8"), TypeError, "cannot cast"),
        (lambda x: np.sum(x, where=x), TypeError, "a mask, not an array of float64"),
        (lambda x: x.T.ravel("K"), NotImplementedError, "order in memory"),
        (lambda x: x.reshape((2, 6), order="A"), NotImplementedError, "order='C' or order='F'"),
        (lambda x: x.reshape((2, 6), order="Z"), ValueError, "order must be one of"),
        (lambda x: x.view("i8"), NotImplementedError, r"x.astype\(dtype\)"),
        (lambda x: x.sort(), NotImplementedError, r"use x = np.sort\(x\)"),
        (lambda x: x.nonzero(), AttributeError, "np.where"),
        (lambda x: x.nothing, AttributeError, "no attribute 'nothing'"),
        (lambda x: np.take(x, 0, mode="other"), ValueError, "mode must be one of"),
        (lambda x: np.take_along_axis(x, np.array([1]), 1), ValueError, "same number of dimensions"),
        (lambda x: np.take_along_axis(x, np.array([[1.0]]), 1), IndexError, "integer array"),
        (lambda x: np.searchsorted(x, 1), ValueError, "too deep"),
        (lambda x: np.bincount((x > 0)[0]), NotImplementedError, "minlength"),
        (lambda x: np.quantile(x, 1.5), ValueError, "range"),
        (lambda x: np.quantile(x, 0.5, method="inverted_cdf"), NotImplementedError, "use one of linear"),
        (lambda x: np.pad(x, 1, mode="edge", constant_values=3), ValueError, "unsupported keyword"),
        (lambda x: np.pad(x, -1), ValueError, "negative"),
        (lambda x: np.maximum.at(x, 0, 1), NotImplementedError, "x.at"),
        (lambda x: np.partition(x, 4), ValueError, "out of bounds"),
        (lambda x: np.linalg.qr(x, mode="raw"), NotImplementedError, "use 'reduced'"),
        (lambda x: np.linalg.eigh(x), ValueError, "square"),
        (lambda x: np.linalg.svd(x * 1j), NotImplementedError, "complex"),
        (lambda x: np.sort(x * 1j), NotImplementedError, "complex"),
        (lambda x: np.repeat(x, x[0, 0].astype(int)), NotImplementedError, "traced number of times"),
        (lambda x: np.interp(x, [0, 1], [1.0]), ValueError, "not of the same length"),
    ],
)
def test_mistakes(step, error, message):
    with pytest.raises(error, match=message):
        sc.jit(step).lower(VALUES[0])


def test_the_list_of_what_is_supported_is_up_to_date():
    spec = importlib.util.spec_from_file_location("supported", ROOT / "docs/supported.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/supported.md").read_text() == module.page(), "run python docs/supported.py"
