"""Every rule of the table against finite differences, forward against reverse mode, on the interpreter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from scancc import interpreter
from scancc.autodiff.arithmetic import NAMES
from scancc.autodiff.forward import pushforward
from scancc.autodiff.reverse import Kept, pullback, with_kept
from scancc.autodiff.rules import RULES
from scancc.ir import build
from scancc.ir.graph import Graph, Node
from scancc.ir.ops import OPS
from scancc.ir.types import Type
from scancc.ir.verify import verify

RNG = np.random.default_rng(7)
VECTOR = RNG.normal(size=6)
POSITIVE = np.abs(VECTOR) + 0.5
SMALL = np.tanh(VECTOR) * 0.8
MATRIX = RNG.normal(size=(3, 4))
SQUARE = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
SPREAD = np.array([[1.0, 5.0, -2.0, 0.3], [0.7, -1.0, 2.5, 9.0], [4.0, 0.1, 0.2, -3.0]])

# op -> operands and attributes
ELEMENTWISE = {
    **{op: (VECTOR, POSITIVE[::-1]) for op in "add subtract multiply divide maximum minimum fmax fmin arctan2 hypot "
       "zero_product either_zero_product logaddexp fmod remainder copysign floor_divide".split()},
    "power": (POSITIVE, VECTOR),
    **{op: (VECTOR,) for op in "negative absolute exp exp2 expm1 sin cos tan arctan sinh cosh tanh arcsinh erf erfc "
       "expit cbrt sign floor ceil rint trunc conjugate real".split()},
    **{op: (POSITIVE,) for op in "sqrt log log2 log10 log1p gammaln digamma".split()},
    **{op: (SMALL,) for op in "arcsin arccos arctanh".split()},
    "arccosh": (POSITIVE + 1,),
}  # fmt: skip
NO_DERIVATIVE = {"invert", "trigamma"}


def cases() -> list:
    found = [pytest.param(op, args, {}, id=op) for op, args in ELEMENTWISE.items()]
    found.append(pytest.param("multiply", (MATRIX, VECTOR[:4]), {}, id="multiply-broadcast"))
    found.append(pytest.param("divide", (MATRIX[:, :1], MATRIX), {}, id="divide-broadcast"))
    views = [
        ("broadcast_to", (VECTOR[:3, None],), {"shape": (2, 3, 4)}),
        ("reshape", (MATRIX,), {"shape": (2, 6)}),
        ("expect", (MATRIX,), {"shape": (3, 4)}),
        ("alias", (MATRIX,), {}),
        ("transpose", (MATRIX,), {"perm": (1, 0)}),
        ("flip", (MATRIX,), {"axes": (0,)}),
        ("index", (MATRIX,), {"axis": 1, "position": -2}),
        ("index", (MATRIX,), {"axis": 0, "position": 1}),
        ("concatenate", (MATRIX, MATRIX[:, :2]), {"axis": 1}),
        ("concatenate", (MATRIX, MATRIX[:1]), {"axis": 0}),
        ("reduce_sum", (MATRIX,), {"axes": (0,)}),
        ("reduce_sum", (MATRIX,), {"axes": (0, 1)}),
        ("reduce_prod", (MATRIX,), {"axes": (1,)}),
        ("reduce_prod", (MATRIX,), {"axes": (0, 1)}),
        ("reduce_prod", (MATRIX * (np.abs(MATRIX) > 0.3),), {"axes": (1,)}),
        ("reduce_min", (SPREAD,), {"axes": (1,)}),
        ("reduce_max", (SPREAD,), {"axes": (0, 1)}),
        ("reduce_logsumexp", (MATRIX,), {"axes": (0,)}),
        ("reduce_logsumexp", (MATRIX,), {"axes": (0, 1)}),
        ("cumsum", (MATRIX,), {"axis": 1}),
        ("cumprod", (MATRIX,), {"axis": 1}),
        ("cumprod", (MATRIX * (np.abs(MATRIX) > 0.3),), {"axis": 0}),
        ("matmul", (VECTOR[:3], VECTOR[3:]), {}),
        ("matmul", (MATRIX, VECTOR[:4]), {}),
        ("matmul", (VECTOR[:3], MATRIX), {}),
        ("matmul", (MATRIX, MATRIX.T), {}),
        ("einsum", (MATRIX, SQUARE), {"subscripts": "ij,ik->jk"}),
        ("einsum", (MATRIX, SQUARE), {"subscripts": "ij,kl->k"}),
        ("einsum", (SQUARE,), {"subscripts": "ii->i"}),
        ("einsum", (SQUARE,), {"subscripts": "ii->"}),
        ("solve", (SQUARE, VECTOR[:3]), {}),
        ("solve", (SQUARE, MATRIX), {}),
        ("inv", (SQUARE,), {}),
        ("det", (SQUARE,), {}),
        ("slogdet_logabs", (SQUARE,), {}),
        ("slogdet_sign", (SQUARE,), {}),
    ]
    return found + [pytest.param(*v, id=f"{v[0]}-{i}") for i, v in enumerate(views)]


Made = Callable[[list[Node]], Node]


def check(make: Made, values: list[np.ndarray], tolerance: float = 1e-6) -> None:
    """Reverse mode against finite differences, forward mode against reverse mode, both against a random direction."""
    token = NAMES.set(iter_names())
    try:
        inputs = [build.make("input", type=Type(v.dtype, v.shape), name=f"x{i}") for i, v in enumerate(values)]
        given = {f"x{i}": v for i, v in enumerate(values)}
        out = make(inputs)

        def run(**results: Node) -> dict[str, np.ndarray]:
            graph = Graph(tuple(inputs), results)
            verify(graph, "differentiation")
            return interpreter.run(graph, given)

        weight = RNG.normal(size=run(y=out)["y"].shape)
        kept: Kept = {}
        found = pullback({out: build.const(weight)}, inputs, kept)
        gs = [build.zeros(x.type) if g is None else g for x, g in zip(inputs, found, strict=True)]
        mapping = with_kept(gs, kept)
        reverse = list(run(**{f"g{i}": mapping[g] for i, g in enumerate(gs)}).values())
        direction = [RNG.normal(size=v.shape) for v in values]
        _, (tangent,) = pushforward([out], dict(zip(inputs, map(build.const, direction), strict=True)))
        forward = run(t=build.zeros(out.type) if tangent is None else tangent)["t"]
    finally:
        NAMES.reset(token)

    def moved(h: float) -> np.ndarray:
        at = {f"x{i}": v + h * d for i, (v, d) in enumerate(zip(values, direction, strict=True))}
        return interpreter.run(Graph(tuple(inputs), {"y": out}), at)["y"]

    h = 1e-6
    numeric = (moved(h) - moved(-h)) / (2 * h)
    assert np.allclose(forward, numeric, rtol=tolerance, atol=tolerance)
    product = sum((g * d).sum() for g, d in zip(reverse, direction, strict=True))
    assert np.isclose(product, (forward * weight).sum(), rtol=1e-9, atol=1e-9)


def iter_names() -> Callable[[str], str]:
    count = iter(range(10**6))
    return lambda name: f"{name}_{next(count)}"


@pytest.mark.parametrize(("op", "values", "attrs"), cases())
def test_a_rule_agrees_with_finite_differences(op: str, values: tuple, attrs: dict) -> None:
    check(lambda xs: build.make(op, *xs, **attrs), [np.array(v) for v in values])


def test_where_choice_of_elements() -> None:
    check(lambda xs: build.make("where", build.const(VECTOR > 0), *xs), [VECTOR, POSITIVE])


BOUNDS = [(1, None, None), (None, -1, None), (-4, 5, None), (None, None, -1), (5, 0, -2), (1, 6, 2)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_slices(bounds: tuple) -> None:
    start, stop, step = bounds
    size = len(range(*slice(*bounds).indices(6)))
    check(lambda xs: build.make("slice", *xs, type=xs[0].type.with_shape((size,)), starts=(start,), stops=(stop,),
                                steps=(step,)), [VECTOR])  # fmt: skip


@pytest.mark.parametrize("mode", ["set", "add"])
def test_updates_and_gathers(mode: str) -> None:
    at = build.const([1, 4, 1])
    check(lambda xs: build.make("take", xs[0], at, axis=0), [VECTOR])
    check(lambda xs: build.make("put", xs[0], at, xs[1], axis=0, mode=mode), [VECTOR, VECTOR[:3]])
    check(lambda xs: build.make("rows", xs[0], build.integer(2), shape=(3,)), [VECTOR])


def test_cholesky_of_symmetric_matrices() -> None:
    def make(xs: list[Node]) -> Node:
        (a,) = xs
        product = build.make("matmul", a, build.make("transpose", a, perm=(1, 0)))
        return build.make("cholesky", product)

    check(make, [SQUARE])


def test_every_op_has_a_rule_or_no_derivative() -> None:
    """Ops without a rule give integers or truth values, are loops, or are listed here with a clear error."""
    without = {n for n, d in OPS.items() if n not in RULES and d.kind not in ("leaf", "control", "effect")}
    discrete = {n for n in without if n.startswith(("bitwise", "logical", "less", "greater", "is", "reduce_a", "arg"))}
    discrete |= {"equal", "not_equal", "left_shift", "right_shift", "signbit", "wrap_index", "philox4x32", "philox4x64",
                 "threefry4x32", "poisson_variate", "binomial_variate", "split_steps", "cummin", "cummax"}  # fmt: skip
    assert without - discrete == {"trigamma", "log_gamma_variate"}
    tested = {c.values[0] for c in cases()} | {"where", "slice", "take", "put", "rows", "cholesky"}
    assert set(RULES) - tested == {"invert", "stop_gradient", "cast", "imag"}
