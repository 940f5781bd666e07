"""`theano.tensor`: variables and functions of the symbolic graph. All functions are NumPy's on traced values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.frontend import special
from scancc.frontend.operators import ArrayOperators
from scancc.theano.gradient import Lop, Rop, grad, hessian, jacobian
from scancc.theano.tensor import nnet
from scancc.theano.tensor.shapes import (
    alloc,
    arange,
    batched_dot,
    concatenate,
    dimshuffle,
    extract_diag,
    eye,
    flatten,
    full,
    inc_subtensor,
    join,
    ones,
    set_subtensor,
    shape_padaxis,
    shape_padleft,
    shape_padright,
    zeros,
)
from scancc.theano.variables import KINDS, PREFIXES, constructor, several, variable

Variable = TensorVariable = ArrayOperators
pi = np.pi


class TensorType:
    """A dtype and which axes have length 1; calling it makes a variable."""

    def __init__(self, dtype: Any, broadcastable: Any) -> None:
        self.dtype, self.broadcastable = dtype, tuple(broadcastable)

    def __call__(self, name: str | None = None) -> Any:
        return variable(name, self.dtype, self.broadcastable)


for _kind in KINDS:
    for _prefix in PREFIXES:
        _make = constructor(_kind, _prefix)
        globals()[_prefix + _kind] = _make
        globals()[_prefix + ("matrices" if _kind == "matrix" else _kind + "s")] = several(_make)


def as_tensor_variable(x: Any, name: str | None = None, ndim: int | None = None) -> Any:
    """`x` as a variable; arrays become constants."""
    from scancc.frontend.tracer import unwrap, wrap

    return x if isinstance(x, ArrayOperators) else wrap(unwrap(np.asarray(x)))


constant = as_tensor_variable


def _on_variables(function: Callable) -> Callable:
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = f"NumPy's `{function.__name__}` on variables."
    return call


# Theano's name: NumPy's
_RENAMED = {
    "switch": "where", "where": "where", "eq": "equal", "neq": "not_equal", "lt": "less", "gt": "greater",
    "le": "less_equal", "ge": "greater_equal", "and_": "bitwise_and", "or_": "bitwise_or", "xor": "bitwise_xor",
    "invert": "invert", "sqr": "square", "sgn": "sign", "abs_": "absolute", "abs": "absolute", "mod": "remainder",
    "true_div": "divide", "int_div": "floor_divide", "sub": "subtract", "mul": "multiply", "pow": "power",
    "neg": "negative", "inv": "reciprocal", "iround": "rint", "round": "round", "arcsinh": "arcsinh", "dot": "matmul",
}  # fmt: skip
_SAME = (
    "add maximum minimum exp exp2 expm1 log log2 log10 log1p sqrt sin cos tan arcsin arccos arctan arctan2 sinh cosh "
    "tanh arccosh arctanh ceil floor trunc isnan isinf clip sum prod mean var std max min argmax argmin any all cumsum "
    "cumprod tensordot outer stack reshape repeat tile diag diff zeros_like ones_like real imag conj angle "
    "bitwise_and bitwise_or bitwise_xor logical_and logical_or logical_not power square flip roll tril triu "
    "squeeze transpose swapaxes moveaxis expand_dims broadcast_to take split"
).split()
for _name in _SAME:
    globals()[_name] = _on_variables(getattr(np, _name))
for _name, _numpy in _RENAMED.items():
    globals()[_name] = _on_variables(getattr(np, _numpy))
erf, erfc, gammaln, logsumexp = special.erf, special.erfc, special.gammaln, special.logsumexp


def dot(a: Any, b: Any) -> Any:
    """The product of vectors and matrices; with a scalar, the element-wise one."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return np.dot(a, b)


def cast(x: Any, dtype: Any) -> Any:
    """`x` converted; 'floatX' is config.floatX."""
    from scancc.theano.configuration import config

    return as_tensor_variable(x).astype(config.floatX if dtype == "floatX" else dtype)


def shape(x: Any) -> Any:
    """The lengths of the axes."""
    return x.shape


ArrayOperators.dimshuffle = dimshuffle  # type: ignore[attr-defined]
ArrayOperators.norm = lambda self, L=2, axis=None: nnet.norm(self, L, axis)  # type: ignore[attr-defined]  # noqa: N803
