"""Distributions. `shape` is the shape of the result, by default that of the parameters, which broadcast to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import ScanTypeError, ShapeError
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, is_traced, unwrap, wrap
from scancc.ir import build
from scancc.ir.graph import Node
from scancc.ir.types import Shape
from scancc.random import ranges
from scancc.random.keys import DEFAULT, U64, counter, draw, shape_of, word


@draw()
def bits(key: Any, shape: Any = (), *, generator: str = DEFAULT) -> Any:
    """Random uint64 words: those of the generator, in its order."""
    return word(key, counter(shape_of(shape)), generator)


@draw("low", "high", check=ranges.finite_range)
def uniform(key: Any, shape: Any = None, *, low: Any = 0.0, high: Any = 1.0, dtype: Any = "float64",
            generator: str = DEFAULT) -> Any:  # fmt: skip
    """Uniform in [low, high): multiples of 2**-53 (float32: 2**-24) of the range, one word each.

    Raises OverflowError for a known bound that is not finite in `dtype`.
    """
    d = _floating(dtype)
    u = _fraction(word(key, counter(shape_of(shape, low, high)), generator), d)
    if _is(low, 0) and _is(high, 1):
        return _shaped(u, shape)
    a, b = _cast(low, d), _cast(high, d)
    half = d.type(0.5)
    halves = a * half + u * (b * half - a * half)  # where the range itself overflows
    return _shaped(np.where(np.isfinite(b - a), a + u * (b - a), halves + halves), shape)


@draw("loc", "scale", check=ranges.not_negative("scale"))
def normal(key: Any, shape: Any = None, *, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = "float64",
           generator: str = DEFAULT) -> Any:  # fmt: skip
    """Normal with mean `loc` and standard deviation `scale`, from two words (Box and Muller, 1958).

    Raises ValueError for a known scale below 0.
    """
    d = _floating(dtype)
    z = _standard_normal(key, counter(shape_of(shape, loc, scale)), d, generator)
    return _shaped(z if _is(loc, 0) and _is(scale, 1) else _cast(loc, d) + z * _cast(scale, d), shape)


@draw("low", "high", check=ranges.whole_range)
def integers(key: Any, shape: Any = None, *, low: Any = 0, high: Any, dtype: Any = "int64",
             generator: str = DEFAULT) -> Any:  # fmt: skip
    """Integers in [low, high), by the upper half of a product: uneven by at most (high - low) / 2**64.

    Raises ValueError for a range that is empty or beyond `dtype`, where it is not a traced one.
    """
    d = np.dtype(dtype)
    a, b = _whole(low), _whole(high)
    words = word(key, counter(shape_of(shape, low, high)), generator)
    width = (b - a).astype(U64)
    steps = np.where(width == np.uint64(0), words, _upper_half(words, width))  # 0: all 2**64 integers
    return _shaped((a + steps.astype("int64")).astype(d), shape)


@draw("p", check=ranges.probability)
def bernoulli(key: Any, shape: Any = None, *, p: Any = 0.5, generator: str = DEFAULT) -> Any:
    """True with probability `p`."""
    u = _fraction(word(key, counter(shape_of(shape, p)), generator), np.dtype("float64"))
    return _shaped(u < _cast(p, "float64"), shape)


@draw("scale", check=ranges.not_negative("scale"))
def exponential(key: Any, shape: Any = None, *, scale: Any = 1.0, dtype: Any = "float64",
                generator: str = DEFAULT) -> Any:  # fmt: skip
    """Exponential with mean `scale`, by inversion."""
    d = _floating(dtype)
    e = _standard_exponential(word(key, counter(shape_of(shape, scale)), generator), d)
    return _shaped(e if _is(scale, 1) else e * _cast(scale, d), shape)


@draw("loc", "scale", check=ranges.not_negative("scale"))
def gumbel(key: Any, shape: Any = None, *, loc: Any = 0.0, scale: Any = 1.0, dtype: Any = "float64",
           generator: str = DEFAULT) -> Any:  # fmt: skip
    """The distribution of largest values: loc - scale * log(-log(u))."""
    d = _floating(dtype)
    g = standard_gumbel(word(key, counter(shape_of(shape, loc, scale)), generator), d)
    return _shaped(g if _is(loc, 0) and _is(scale, 1) else _cast(loc, d) + g * _cast(scale, d), shape)


@draw("a", "scale", check=ranges.not_negative("a", "scale"))
def gamma(key: Any, shape: Any = None, *, a: Any, scale: Any = 1.0, dtype: Any = "float64",
          generator: str = DEFAULT) -> Any:  # fmt: skip
    """Gamma with shape parameter `a` and mean a * scale (Marsaglia and Tsang, 2000).

    NaN for a traced a < 0, ValueError for a known one.
    """
    d = _floating(dtype)
    log = _log_gamma(word(key, counter(shape_of(shape, a, scale)), generator), a)
    return _shaped(np.exp(log).astype(d) * _cast(scale, d), shape)


@draw("a", "b", check=ranges.positive("a", "b"))
def beta(key: Any, shape: Any = None, *, a: Any, b: Any, dtype: Any = "float64", generator: str = DEFAULT) -> Any:
    """Beta(a, b), from two gamma variates in logarithms; NaN for a traced parameter
    below 0, ValueError for a known one that is not above 0."""
    index = counter(shape_of(shape, a, b)) * np.uint64(2)
    x = _log_gamma(word(key, index, generator), a)
    y = _log_gamma(word(key, index + np.uint64(1), generator), b)
    return _shaped(np.exp(x - np.logaddexp(x, y)).astype(_floating(dtype)), shape)


@draw("mean", check=ranges.poisson_mean)
def poisson(key: Any, shape: Any = None, *, mean: Any = 1.0, dtype: Any = "int64", generator: str = DEFAULT) -> Any:
    """Poisson; -1 for a traced mean below 0, beyond 2**62, or NaN. Known ones, and those too large for `dtype`, are a
    ValueError; draws beyond `dtype` are its largest number."""
    node = _variate("poisson_variate", word(key, counter(shape_of(shape, mean)), generator), mean)
    return _shaped(_counts(node, dtype), shape)


@draw("n", "p", check=ranges.trials)
def binomial(key: Any, shape: Any = None, *, n: Any, p: Any = 0.5, dtype: Any = "int64",
             generator: str = DEFAULT) -> Any:  # fmt: skip
    """Successes in `n` trials; -1 for a traced n that is negative, or p outside of [0, 1].

    Known ones, and a known n beyond `dtype`, are a ValueError.
    """
    node = _variate("binomial_variate", word(key, counter(shape_of(shape, n, p)), generator), n, p)
    return _shaped(_counts(node, dtype), shape)


# -- standard forms --------------------------------------------------------------------------------------------------
def _floating(dtype: Any) -> np.dtype:
    d = np.dtype(dtype)
    if d.name not in ("float32", "float64"):
        raise ScanTypeError(f"random reals are float32 or float64, not {d}", here())
    return d


def _fraction(words: Tracer, dtype: np.dtype) -> Tracer:
    """Uniform in [0, 1), as NumPy makes doubles of words."""
    digits = 53 if dtype == np.float64 else 24
    return (words >> np.uint64(64 - digits)).astype(dtype) * dtype.type(2.0**-digits)


def _standard_normal(key: Any, index: Tracer, dtype: np.dtype, generator: str) -> Tracer:
    first, second = (word(key, index * np.uint64(2) + np.uint64(i), generator) for i in (0, 1))
    radius = np.sqrt(2.0 * _standard_exponential(first, dtype))
    return radius * np.cos(_fraction(second, dtype) * (2.0 * np.pi))  # type: ignore[no-any-return]


def _standard_exponential(words: Tracer, dtype: np.dtype) -> Tracer:
    return -np.log1p(-_fraction(words, dtype))


def standard_gumbel(words: Tracer, dtype: np.dtype) -> Tracer:
    """Of uniform numbers in the middle of their intervals: 0 and 1 are not among them."""
    digits = 52 if dtype == np.float64 else 23
    u = ((words >> np.uint64(64 - digits)).astype(dtype) + dtype.type(0.5)) * dtype.type(2.0**-digits)
    return -np.log(-np.log(u))


def _upper_half(x: Tracer, y: Tracer) -> Tracer:
    """The upper 64 bits of a product of two uint64 (Knuth, TAOCP 2, 4.3.1), in digits of 32 bits."""
    shift, mask = np.uint64(32), np.uint64(0xFFFFFFFF)
    x1, x0, y1, y0 = x >> shift, x & mask, y >> shift, y & mask
    middle = x1 * y0 + ((x0 * y0) >> shift)
    other = x0 * y1 + (middle & mask)
    return x1 * y1 + (middle >> shift) + (other >> shift)


def _log_gamma(keys: Tracer, a: Any) -> Tracer:
    return _variate("log_gamma_variate", keys, a)


def _variate(op: str, keys: Tracer, *parameters: Any) -> Tracer:
    """Each element has a key of its own: a sampler takes as many words as it needs."""
    return wrap(emit(op, unwrap(keys), *(unwrap(_cast(p, "float64")) for p in parameters)))


def _counts(node: Tracer, dtype: Any) -> Tracer:
    """Counts in `dtype`; where they are beyond an integer dtype, its largest number."""
    d = np.dtype(dtype)
    return (np.minimum(node, np.iinfo(d).max) if d.kind in "iu" and d.itemsize < 8 else node).astype(d)


# -- parameters ------------------------------------------------------------------------------------------------------
def _is(parameter: Any, value: float) -> bool:
    return not is_traced(parameter) and np.ndim(parameter) == 0 and parameter == value


def _cast(parameter: Any, dtype: Any) -> Tracer:
    node = unwrap(parameter)
    if node.type.dtype.kind == "c":
        raise ScanTypeError("a parameter of a distribution is complex", here())
    return wrap(build.cast(node, dtype, here()))


def _whole(parameter: Any) -> Tracer:
    node: Node = unwrap(parameter)
    if node.type.dtype.kind not in "iub":
        raise ScanTypeError(f"a bound of random integers is {node.type.dtype}", here())
    return wrap(build.cast(node, "int64", here()))


def _shaped(value: Tracer, shape: tuple | None) -> Tracer:
    """The result, where parameters did not make it larger than asked for."""
    if shape is not None:
        wanted: Shape = shape_of(shape)
        if value.node.type.ndim != len(wanted) or value.node.type.shape != wanted and value.node.type.is_static:
            raise ShapeError(f"parameters of shape {tuple(value.node.type.shape)} do not broadcast to the shape "
                             f"{tuple(wanted)} of the draw", here())
    return value
