"""Partial derivatives of element-wise ops, as functions of the node.

PARTIALS[op] has one entry an operand: a function that makes the partial derivative, or None where it is zero
everywhere (comparisons, `floor`, integers). Those that can be infinite or NaN at finite operands are UNBOUNDED, those
that choose between operands CHOOSING: `zeros.py` says what follows for products with them.
At ties `maximum` and `minimum` give half to each operand, `absolute` has derivative 0 at 0; these are JAX's
conventions, as are those for complex numbers (no conjugation in the pullback).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scancc.autodiff.arithmetic import add, call, constant, div, mul, neg, square, sub, where
from scancc.autodiff.zeros import bounded_power
from scancc.ir import build
from scancc.ir.graph import Node

Partial = Callable[[Node], Node]


def one(n: Node) -> Node:
    return constant(1, n)


def _x(n: Node) -> Node:
    return n.args[0]


def _y(n: Node) -> Node:
    return n.args[1]


def _inverse(x: Node) -> Node:
    return div(constant(1, x), x)


def _divisor(n: Node) -> Node:
    """-x / y ** 2 by the one division that the other partial, and that of log y, have too."""
    x, y = n.args
    inverse = _inverse(y)
    return neg(mul(mul(x, inverse), inverse))


def _power_base(n: Node) -> Node:
    x, y = n.args
    if y.op == "const" and y.type.shape == ():
        c = float(np.real(y.attrs["value"]))
        if c == 0:
            return call("zero_product", constant(0, x), x)
        if c == 2:
            return mul(constant(2, x), x)
        if c == 3:
            return mul(constant(3, x), square(x))
        return mul(y, call("power", x, constant(c - 1, x)))
    less = where(call("equal", y, constant(0, y)), constant(1, y), sub(y, constant(1, y)))
    return call("either_zero_product", y, call("power", x, less))


def _power_exponent(n: Node) -> Node:
    """x ** y log(x); 0 where x is 0, and NaN where it is negative: there are no powers beside an integer one."""
    x = _x(n)
    some = where(call("equal", x, constant(0, x)), constant(1, x), x)
    return call("zero_product", n, call("log", some))


def _extreme(op: str, first: bool, past_nan: bool = False) -> Partial:
    def partial(n: Node) -> Node:
        x, y = n.args if first else n.args[::-1]
        tie = where(call("equal", x, y), constant(0.5, x), constant(0, x))
        chosen = call(op, x, y)
        if past_nan and y.op != "const":
            chosen = call("logical_or", chosen, call("isnan", y))
        return where(chosen, constant(1, x), tie)

    return partial


def _log_sum(first: bool) -> Partial:
    def partial(n: Node) -> Node:
        x, y = n.args if first else n.args[::-1]
        apart = where(call("equal", x, y), constant(0, x), sub(x, y))
        return call("expit", apart)

    return partial


def _quotient(rounding: str) -> Partial:
    return lambda n: neg(call(rounding, div(*n.args)))


def _of_signs(n: Node) -> Node:
    x, y = n.args
    differ = call("logical_xor", call("signbit", x), call("signbit", y))
    return where(differ, constant(-1, x), constant(1, x))


def _per_angle(n: Node, x: Node) -> Node:
    """x / (x ** 2 + y ** 2); 0 where one of them is infinite."""
    return call("zero_product", _inverse(add(square(_x(n)), square(_y(n)))), x)


def _share(n: Node, x: Node) -> Node:
    """x / n; 0 where the length n is 0, as of `absolute`."""
    none = call("equal", n, constant(0, n))
    return where(none, constant(0, n), div(x, where(none, constant(1, n), n)))


def _root(x: Node) -> Node:
    return _inverse(call("sqrt", x))


def _erf(scale: float) -> Partial:
    return lambda n: mul(constant(scale, n), call("exp", neg(square(_x(n)))))


def _sign(n: Node) -> Node:
    return call("sign", _x(n))


PARTIALS: dict[str, tuple[Partial | None, ...]] = {
    "add": (one, one),
    "subtract": (one, lambda n: constant(-1, n)),
    "multiply": (_y, _x),
    "zero_product": (_y, _x),
    "either_zero_product": (_y, _x),
    "divide": (lambda n: _inverse(_y(n)), _divisor),
    "power": (_power_base, _power_exponent),
    "maximum": (_extreme("greater", True), _extreme("greater", False)),
    "minimum": (_extreme("less", True), _extreme("less", False)),
    "fmax": (_extreme("greater", True, past_nan=True), _extreme("greater", False, past_nan=True)),
    "fmin": (_extreme("less", True, past_nan=True), _extreme("less", False, past_nan=True)),
    "arctan2": (lambda n: _per_angle(n, _y(n)), lambda n: neg(_per_angle(n, _x(n)))),
    "hypot": (lambda n: _share(n, _x(n)), lambda n: _share(n, _y(n))),
    "logaddexp": (_log_sum(True), _log_sum(False)),
    "fmod": (one, _quotient("trunc")),
    "remainder": (one, _quotient("floor")),
    "floor_divide": (None, None),
    "copysign": (_of_signs, None),
    "negative": (lambda n: constant(-1, n),),
    "absolute": (_sign,),
    "sqrt": (lambda n: div(constant(0.5, n), n),),
    "cbrt": (lambda n: _inverse(mul(constant(3, n), square(n))),),
    "exp": (lambda n: n,),
    "exp2": (lambda n: mul(constant(np.log(2), n), n),),
    "expm1": (lambda n: add(n, one(n)),),
    "log": (lambda n: _inverse(_x(n)),),
    "log2": (lambda n: _inverse(mul(constant(np.log(2), n), _x(n))),),
    "log10": (lambda n: _inverse(mul(constant(np.log(10), n), _x(n))),),
    "log1p": (lambda n: _inverse(add(one(n), _x(n))),),
    "sin": (lambda n: call("cos", _x(n)),),
    "cos": (lambda n: neg(call("sin", _x(n))),),
    "tan": (lambda n: add(one(n), square(n)),),
    "arcsin": (lambda n: _root(sub(one(n), square(_x(n)))),),
    "arccos": (lambda n: neg(_root(sub(one(n), square(_x(n))))),),
    "arctan": (lambda n: _inverse(add(one(n), square(_x(n)))),),
    "sinh": (lambda n: call("cosh", _x(n)),),
    "cosh": (lambda n: call("sinh", _x(n)),),
    "tanh": (lambda n: sub(one(n), square(n)),),
    "arcsinh": (lambda n: _root(add(square(_x(n)), one(n))),),
    "arccosh": (lambda n: mul(_root(sub(_x(n), one(n))), _root(add(_x(n), one(n)))),),
    "arctanh": (lambda n: _inverse(sub(one(n), square(_x(n)))),),
    "erf": (_erf(2 / np.sqrt(np.pi)),),
    "erfc": (_erf(-2 / np.sqrt(np.pi)),),
    "gammaln": (lambda n: call("digamma", _x(n)),),
    "digamma": (lambda n: call("trigamma", _x(n)),),
    "expit": (lambda n: mul(n, sub(one(n), n)),),
    "sign": (None,),
    "floor": (None,),
    "ceil": (None,),
    "rint": (None,),
    "trunc": (None,),
    "invert": (None,),
}

# Derivatives that can be infinite or NaN at a finite operand, by overflow, too.
UNBOUNDED = frozenset(
    "zero_product either_zero_product divide power sqrt cbrt exp exp2 expm1 log log2 log10 log1p sinh cosh arctan2 "
    "hypot tan arcsin arccos arccosh arctanh gammaln digamma".split()
)
# Values that are finite where the operand is not; their derivatives are 0 there.
SATURATING = frozenset("tanh expit erf erfc arctan logaddexp".split())
# Derivatives that are 0 of an operand that was not chosen.
CHOOSING = frozenset("maximum minimum fmax fmin absolute".split())


def unbounded(node: Node) -> bool:
    """Powers of 1 and more, and divisions by a number, have finite derivatives."""
    if node.op == "divide" and node.args[1].op == "const":
        return not bool(np.all(node.args[1].attrs["value"] != 0))
    return node.op in UNBOUNDED and not bounded_power(node)


def conjugated(x: Node) -> Node:
    return build.make("conjugate", x, loc=x.loc)
