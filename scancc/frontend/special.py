"""Functions beyond NumPy that steps need, for traced values and arrays alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.frontend import numpy_shapes
from scancc.frontend.location import here
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.scope import current
from scancc.frontend.tracer import is_traced, unwrap, wrap
from scancc.ir import build


def take(a: Any, indices: Any, axis: Any = None) -> Any:
    """np.take, also for an array indexed by traced values: `a[i]` and np.take do not ask `i` how to index.

    Raises IndexError, when the kernel runs, for an index outside of the axis.
    """
    traced = current() is not None or is_traced(a, indices)
    return numpy_shapes.take(a, indices, axis) if traced else np.take(a, indices, axis=axis)


def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(a))) along axes without overflow; -inf where all elements are, or there is none.

    Over the time of a scan's output it is accumulated in the loop, like sums.
    """
    if isinstance(a, ArrayOperators) and a.dtype.kind != "c":
        node = unwrap(a)
        x = node if node.type.dtype.kind == "f" else build.cast(node, "float64", here())
        given = range(x.type.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = tuple(sorted(i % x.type.ndim for i in given)) if x.type.ndim else ()
        found = build.make("reduce_logsumexp", x, loc=here(), axes=axes)
        kept = tuple(1 if i in axes else d for i, d in enumerate(x.type.shape))
        return wrap(build.reshape(found, kept, here()) if keepdims else found)
    highest = np.max(a, axis=axis, keepdims=True)
    # Infinities are left to the exponential: inf - inf would be NaN.
    shift = np.where(np.isfinite(highest), highest, np.zeros((), highest.dtype))
    total = np.log(np.sum(np.exp(a - shift), axis=axis, keepdims=True)) + shift
    return total if keepdims else np.squeeze(total, axis=axis)


def softmax(a: Any, axis: Any = -1) -> Any:
    """exp(a) / sum(exp(a)) along an axis without overflow; of the shape of `a`. NaN where all elements are -inf."""
    e = np.exp(a - np.max(a, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)



def erf(x: Any) -> Any:
    """The error function, element by element, for traced values and arrays alike.

    float32 stays float32, integers become float64, as in `scipy.special`; in steps it is inlined, within 2 ulp.
    """
    return _scipy("erf")(x)


def erfc(x: Any) -> Any:
    """1 - erf(x), accurate where erf(x) is near 1. Dtypes are those of `erf`."""
    return _scipy("erfc")(x)


def gammaln(x: Any) -> Any:
    """The logarithm of the absolute value of the gamma function; inf at its poles. Dtypes are those of `erf`."""
    return _scipy("gammaln")(x)


def expit(x: Any) -> Any:
    """The logistic function 1 / (1 + exp(-x)), without overflow. Dtypes are those of `erf`."""
    return _scipy("expit")(x)


def _scipy(name: str) -> Any:
    import scipy.special  # here, because it takes longer to import than the whole compiler

    return getattr(scipy.special, name)
