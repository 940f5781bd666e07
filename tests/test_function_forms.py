"""What functions of functions take: methods, objects, containers, arguments by name; rules that call their function."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scancc as sc

Pair = namedtuple("Pair", "a b")


@dataclasses.dataclass
class Parts:
    a: object
    b: object


class Box:
    def __init__(self, a, b, scale):
        self.a, self.b, self.scale = a, b, scale


sc.register_pytree_node(Box, lambda x: ((x.a, x.b), x.scale), lambda scale, parts: Box(*parts, scale))

CONTAINERS = {
    "dict": (lambda a, b: {"a": a, "b": b}, lambda c: (c["a"], c["b"])),
    "list": (lambda a, b: [a, b], tuple),
    "named tuple": (Pair, tuple),
    "dataclass": (Parts, lambda c: (c.a, c.b)),
    "registered": (lambda a, b: Box(a, b, 2.0), lambda c: (c.a * c.scale / 2.0, c.b)),
    "nested": (lambda a, b: {"x": (a, None), "y": [b]}, lambda c: (c["x"][0], c["y"][0])),
}
X, Y = np.array([1.0, 2.0]), np.array([3.0, 5.0])


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("by_name", [False, True])
def test_containers_by_position_and_by_name(kind, by_name):
    make, parts = CONTAINERS[kind]

    def f(p, q):
        a, b = parts(p)
        return (a * b * q).sum()

    def given(q):
        return ((make(X, Y),), {"q": q}) if by_name else ((make(X, Y), q), {})

    args, named = given(3.0)
    value, g = sc.value_and_grad(f)(*args, **named)
    assert value == 39 and type(g) is type(make(X, Y))
    np.testing.assert_array_equal(parts(sc.grad(f)(*args, **named))[0], Y * 3)
    np.testing.assert_array_equal(parts(g)[1], X * 3)
    args, named = given(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(sc.vmap(f)(*args, **named), [3, 100])
    args, named = given(3.0)
    found = sc.jacrev(f)(*args, **named)
    np.testing.assert_array_equal(parts(found)[0], Y * 3)


def test_a_class_is_registered_once():
    with pytest.raises(ValueError, match="registered already"):
        sc.register_pytree_node(Box, None, None)
    with pytest.raises(TypeError, match="no class"):
        sc.register_pytree_node(Box(1, 2, 3), None, None)


@pytest.mark.parametrize("way", [sc.vmap, lambda f: functools.partial(sc.lax.map, f)])
def test_results_whose_structure_changes(way):
    flag = [True]
    f = way(lambda x: {"a": x} if flag[0] and x.dtype == np.float64 else (x, x))
    for _ in range(2):
        for want, dtype in ((True, "f8"), (False, "f8"), (True, "f4")):
            flag[0] = want
            found = f(np.ones(2, dtype))
            assert isinstance(found, dict if want and dtype == "f8" else tuple)


def test_threads_that_get_results_of_different_structures():
    f = sc.vmap(lambda x: {"a": x} if x.dtype == np.float64 else (x, x))

    def run(i):
        return isinstance(f(np.ones(2, "f4" if i % 2 else "f8")), tuple) == bool(i % 2)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(100)))


@dataclasses.dataclass
class Model:
    """Without a hash, as dataclasses are."""

    rate: float

    def f(self, x):
        return x * self.rate

    @sc.grad
    def slope(self, x):
        return x * self.rate

    @sc.vmap
    def rows(self, x):
        return x * self.rate

    @sc.value_and_grad
    def both(self, x):
        return x * self.rate

    def __call__(self, x):
        return x * self.rate


WAYS = {
    "slope": lambda m: m.slope(1.0), "rows": lambda m: m.rows(np.ones(2))[1], "both": lambda m: m.both(1.0)[1],
    "grad of a method": lambda m: sc.grad(m.f)(1.0), "grad of an object": lambda m: sc.grad(m)(1.0),
    "vmap of an object": lambda m: sc.vmap(m)(np.ones(2))[1], "jvp": lambda m: sc.jvp(m, (1.0,), (1.0,))[1],
    "vjp": lambda m: sc.vjp(m.f, 1.0)[1](1.0)[0], "lax.map": lambda m: sc.lax.map(m, np.ones(2))[1],
    "partial": lambda m: sc.grad(functools.partial(m.f))(1.0), "hessian": lambda m: sc.jacrev(m)(1.0),
    "linearize": lambda m: sc.linearize(m, 1.0)[1](1.0),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_methods_and_objects(way):
    one, other = Model(2.0), Model(3.0)
    for _ in range(2):
        assert WAYS[way](one) == one.rate and WAYS[way](other) == other.rate
        one.rate = 7.0


def test_gradients_of_compiled_steps_see_what_changes():
    m, weight = Model(0.5), [1.0]
    step = sc.scan_compile(lambda x, h: h * m.rate + x)
    slope = step.grad(lambda y: y[-1] * weight[0], wrt="h")
    assert slope(np.zeros(2), 1.0) == 0.25
    m.rate = 2.0
    assert slope(np.zeros(2), 1.0) == 4
    weight[0] = 5.0
    assert slope(np.zeros(2), 1.0) == 20


def cubed(x):
    return x * x * x


slope, rows, curve = sc.grad(cubed), sc.vmap(cubed), sc.hessian(cubed)


@sc.grad
def decorated(x):
    return x * x


@pytest.mark.parametrize("f", [slope, curve, decorated], ids=["grad", "hessian", "decorated"])
def test_functions_of_functions_pickle(f):
    assert pickle.loads(pickle.dumps(f))(2.0) == f(2.0)
    assert pickle.loads(pickle.dumps(rows))(X).tolist() == (X**3).tolist()
    assert pickle.loads(pickle.dumps(decorated)) is decorated


def test_another_derivative_of_one_function_is_another_program():
    f = lambda x, y: x * y + x  # noqa: E731
    assert [float(sc.grad(f, n)(2.0, 3.0)) for n in (0, 1)] == [4, 2]
    assert float(sc.value_and_grad(f)(2.0, 3.0)[0]) == 8
    assert sc.vmap(f, (0, None))(X, 1.0).tolist() == [2, 4] and sc.vmap(f, [0, 0])(X, Y).tolist() == [4, 12]


# -- rules that call their function ----------------------------------------------------------------------------------


def square_of(decorator):
    @decorator
    def f(v):
        return v * v

    return f


RULES = {
    "forward": lambda f: f.defvjp(lambda v: (f(v), v), lambda v, d: (d * 10 * v,)),
    "backward": lambda f: f.defvjp(lambda v: (v * v, v), lambda v, d: (d * 10 * f(v) / v,)),
    "both": lambda f: f.defvjp(lambda v: (f(v), f(v)), lambda s, d: (d * 10 * s**0.5,)),
    "by vmap": lambda f: f.defvjp(lambda v: (sc.vmap(f)(v), v), lambda v, d: (d * 10 * v,)),
    "by its derivative": lambda f: f.defvjp(lambda v: (f(v), v),
                                            lambda v, d: (d * 5 * sc.grad(lambda u: f(u).sum())(v),)),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_a_function_in_its_own_rule_is_the_plain_one(rule):
    f = square_of(sc.custom_vjp)
    RULES[rule](f)
    np.testing.assert_allclose(sc.grad(lambda v: f(v).sum())(X), 10 * X)
    np.testing.assert_allclose(sc.grad(lambda v: sc.scan(lambda u: f(u * X).sum(), v).sum())(np.ones(2)), 50)
    if rule != "by vmap":
        np.testing.assert_allclose(sc.vmap(sc.grad(f))(X), 10 * X)


def test_two_functions_in_the_rules_of_each_other():
    f, g = square_of(sc.custom_vjp), square_of(sc.custom_vjp)
    f.defvjp(lambda v: (g(v), v), lambda v, d: (d * 10 * v,))
    g.defvjp(lambda v: (f(v), v), lambda v, d: (d * 100 * v,))
    np.testing.assert_array_equal(sc.grad(lambda v: (f(v) + g(v)).sum())(X), 110 * X)


def test_a_tangent_in_its_own_rule():
    f = square_of(sc.custom_jvp)
    f.defjvp(lambda p, t: (f(*p), t[0] * 10 * sc.jvp(f, p, (np.ones_like(p[0]),))[1]))
    np.testing.assert_array_equal(sc.grad(lambda v: f(v).sum())(X), 20 * X)
    np.testing.assert_array_equal(sc.jvp(f, (X,), (np.ones(2),))[1], 20 * X)


def test_rules_in_threads():
    f = square_of(sc.custom_vjp)
    f.defvjp(lambda v: (f(v), v), lambda v, d: (d * 10 * v,))

    def run(i):
        return sc.grad(lambda v: f(v) * i)(2.0) == 20 * i

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(1, 17)))


def test_rules_that_are_given_anew():
    f = square_of(sc.custom_vjp)
    slope = sc.grad(lambda v: f(v).sum())
    for k in (1.0, 2.0):
        f.defvjp(lambda v: (f(v), v), lambda v, d, k=k: (d * k * v,))
        np.testing.assert_array_equal(slope(X), k * X)


def test_arguments_of_custom_functions_by_name():
    @sc.custom_vjp
    def f(v, k=3.0):
        return v * k

    f.defvjp(lambda v, k: (f(v, k=k), k), lambda k, d: (d * k * 2, None))
    assert sc.grad(lambda v: f(v, k=4.0))(1.0) == 8 and sc.grad(lambda v: f(k=5.0, v=v))(1.0) == 10
    with pytest.raises(TypeError, match="missing a required argument"):
        sc.grad(lambda v: f(k=v))(1.0)
