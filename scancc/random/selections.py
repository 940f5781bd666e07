"""Draws from given things: categories by weight, elements with and without replacement, orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ScanValueError, ShapeError, UnsupportedError
from scancc.frontend.axes import axis_of, static_length
from scancc.frontend.location import here
from scancc.frontend.numpy_shapes import take
from scancc.frontend.tracer import Tracer, unwrap, wrap
from scancc.frontend.updates import update
from scancc.ir import build
from scancc.ir.types import INT, Shape
from scancc.random import ranges
from scancc.random.distributions import integers, standard_gumbel, uniform
from scancc.random.keys import DEFAULT, counter, draw, shape_of, word

LONGEST = 1024  # of what is permuted: ranks are found by comparing all with all


@draw("logits")
def categorical(key: Any, shape: Any = None, *, logits: Any, axis: int = -1, generator: str = DEFAULT) -> Any:
    """Categories 0, 1... along `axis` with probabilities softmax(logits), by the largest of logits plus Gumbel noise.

    `shape` is that of the result, by default of `logits` without the axis; it may have more axes in front.
    """
    x = wrap(unwrap(logits))
    if x.ndim == 0:
        raise ShapeError("categorical takes logits with an axis of categories, not a scalar", here())
    x = np.moveaxis(x.astype("float64") if x.dtype.kind != "f" else x, axis_of(axis, x.ndim), -1)
    categories = static_length(x, x.ndim - 1, "categorical")
    if not categories:
        raise ShapeError("categorical takes at least one category", here())
    batch: Shape = x.node.type.shape[:-1]
    wanted = batch if shape is None else shape_of(shape)
    if len(wanted) < len(batch):
        raise ShapeError(f"logits of shape {x.node.type.shape} do not broadcast to the shape {wanted} of the draw",
                         here())
    noise = standard_gumbel(word(key, counter((*wanted, categories)), generator), x.dtype)
    return np.argmax(noise + x, axis=-1)


@draw("a", "p", numbers_fixed=True, check=ranges.weights)
def choice(key: Any, a: Any, shape: Any = (), *, replace: bool = True, p: Any = None, axis: int = 0,
           generator: str = DEFAULT) -> Any:  # fmt: skip
    """Elements of `a` along `axis` (of 0..a-1 for an integer), with probabilities `p` or all alike.

    Without replacement, `a` has at most 1024 elements; with `p` they are then drawn one after the other, each with
    probability proportional to its own among those left (Efraimidis and Spirakis, 2006).
    """
    n, items = _items(a, axis, "choice")
    wanted = shape_of(shape)
    count = 1
    for d in wanted:
        if not isinstance(d, int):
            raise UnsupportedError("choice of a number of elements known at run time only is not supported", here(),
                                   fix="choose as many as there can be, and slice")  # fmt: skip
        count *= d
    if count and not n:
        raise ScanValueError("choice from nothing", here())
    weights = None
    if p is not None:
        weights = wrap(unwrap(p)).astype("float64")
        if weights.node.type.shape != (n,):
            raise ShapeError(f"choice from {n} elements takes probabilities of shape ({n},), not "
                             f"{weights.node.type.shape}", here())
    if not replace:
        if count > n:
            raise ScanValueError(f"choice of {count} elements from {n} without replacement", here(),
                                 fix=f"choose at most {n}, or pass replace=True")  # fmt: skip
        chosen = _order(key, n, generator, weights)[:count].reshape(wanted)
    elif weights is None:
        chosen = integers(key, shape, high=n, generator=generator) if count else wrap(unwrap(np.zeros(wanted, int)))
    else:
        total = np.cumsum(weights)
        u = uniform(key, shape, generator=generator) * total[-1]
        chosen = np.sum(np.expand_dims(u, -1) >= total[:-1], axis=-1)
    return chosen if items is None else take(items, chosen, axis)


@draw("x", numbers_fixed=True)
def permutation(key: Any, x: Any, *, axis: int = 0, generator: str = DEFAULT) -> Any:
    """The elements of `x` along `axis` (0..x-1 for an integer) in random order; at most 1024 of them."""
    n, items = _items(x, axis, "permutation")
    order = _order(key, n, generator, None)
    return order if items is None else take(items, order, axis)


def _items(a: Any, axis: int, what: str) -> tuple[int, Tracer | None]:
    """How many there are, and the array of them unless they are 0, 1..."""
    node = unwrap(a)
    if node.type.ndim:
        x = wrap(node)
        return static_length(x, axis_of(axis, x.ndim), what), x
    if node.op != "const":
        raise UnsupportedError(f"{what} from a number of elements that is known at run time only is not supported",
                               here(), fix="give the number as a Python integer")
    if node.type.dtype.kind not in "iu" or node.attrs["value"] < 0:
        raise ScanTypeError(f"{what} takes an array or a number of elements, not {node.attrs['value']}", here())
    return int(node.attrs["value"]), None


def _order(key: Any, n: int, generator: str, weights: Tracer | None) -> Tracer:
    """0..n-1 in the order of random values, the largest first: their ranks, by comparing all with all."""
    if n > LONGEST:
        raise UnsupportedError(f"the random order of {n} elements, more than {LONGEST}, is not supported", here(),
                               fix="permute outside of the step, with numpy.random.Generator.permutation")
    index = wrap(build.make("iota", type=INT.with_shape((n,)), shape=(n,), loc=here()))
    words = word(key, counter((n,)), generator)
    values = words if weights is None else standard_gumbel(words, np.dtype("float64")) + np.log(weights)
    mine, other = np.expand_dims(values, 1), np.expand_dims(values, 0)
    before = (other > mine) | ((other == mine) & (np.expand_dims(index, 0) < np.expand_dims(index, 1)))
    ranks = np.sum(before, axis=1)
    return update(wrap(build.broadcast_to(build.integer(0), (n,), here())), ranks, index, "set")
