"""What the random ops mean, in NumPy: the part of the reference interpreter that is about random numbers.

Blocks are computed word by word in the notation of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3" (SC 2011); the samplers draw for all elements at once and go on with those that were rejected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
ATTEMPTS = 512
U = np.uint64


def philox(width: int, counter: list[Array], key: list[Array]) -> list[Array]:
    """Philox 4xW-10: four words of `width` bits, kept in object arrays of Python integers, which never overflow."""
    m = {32: (0xD2511F53, 0xCD9E8D57), 64: (0xD2E7470EE14C6C93, 0xCA5A826395121157)}[width]
    w = {32: (0x9E3779B9, 0xBB67AE85), 64: (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)}[width]
    low = (1 << width) - 1
    r0, l0, r1, l1 = (c.astype(object) for c in counter)
    k0, k1 = (k.astype(object) for k in key)
    for _ in range(10):
        p, q = r0 * m[0], r1 * m[1]
        r0, l0, r1, l1 = (q >> width) ^ l0 ^ k0, q & low, (p >> width) ^ l1 ^ k1, p & low
        k0, k1 = (k0 + w[0]) & low, (k1 + w[1]) & low
    return [r0, l0, r1, l1]


def threefry(counter: list[Array], key: list[Array]) -> list[Array]:
    """Threefry 4x32-20, on uint32 arrays."""
    rotations = [[10, 11, 13, 23, 6, 17, 25, 18], [26, 21, 27, 5, 20, 11, 10, 20]]
    parity = np.uint32(0x1BD11BDA)
    schedule = [*key, key[0] ^ key[1] ^ key[2] ^ key[3] ^ parity]
    x = [c + k for c, k in zip(counter, key, strict=True)]
    for r in range(20):
        for j, (a, b) in enumerate([(0, 1), (2, 3)] if r % 2 == 0 else [(0, 3), (2, 1)]):
            turn = rotations[j][r % 8]
            x[a] = x[a] + x[b]
            x[b] = ((x[b] << np.uint32(turn)) | (x[b] >> np.uint32(32 - turn))) ^ x[a]
        if (r + 1) % 4 == 0:
            s = (r + 1) // 4
            x = [v + schedule[(s + i) % 5] for i, v in enumerate(x)]
            x[3] = x[3] + np.uint32(s)
    return x


def _halves(x: Array) -> list[Array]:
    return [x.astype(np.uint32), (x >> U(32)).astype(np.uint32)]


def _paired(words: list[Array]) -> list[Array]:
    low, high = (np.array([w.astype(U) for w in words[i::2]]) for i in (0, 1))
    return list(low | (high << U(32)))


def _philox4x32(key: Array, block: Array, stream: Array) -> list[Array]:
    return _paired(philox(32, [*_halves(block), *_halves(stream)], _halves(key)))


def _philox4x64(key: Array, block: Array, stream: Array) -> list[Array]:
    zero = np.zeros_like(key)
    return [w.astype(U) for w in philox(64, [block + U(1), zero, stream, zero], [key, zero])]


def _threefry4x32(key: Array, block: Array, stream: Array) -> list[Array]:
    zero = np.zeros(key.shape, np.uint32)
    return _paired(threefry([*_halves(block), *_halves(stream)], [*_halves(key), zero, zero]))


def _generator(blocks: Callable[..., list[Array]], words: int) -> Callable[[Any, Any, Any], Array]:
    """Word number `index` of a stream: of a block that holds several."""

    def word(key: Any, index: Any, stream: Any) -> Array:
        given = np.broadcast_arrays(*(np.asarray(v, U) for v in (key, index, stream)))
        flat = [v.ravel() for v in given]
        with np.errstate(over="ignore"):
            block = blocks(flat[0], flat[1] // U(words), flat[2])
        chosen: Array = np.choose((flat[1] % U(words)).astype(np.intp), block)
        return chosen.reshape(given[0].shape)

    return word


GENERATORS = {
    "philox4x32": _generator(_philox4x32, 2),
    "philox4x64": _generator(_philox4x64, 4),
    "threefry4x32": _generator(_threefry4x32, 2),
}


# -- variates by rejection ---------------------------------------------------------------------------------------------
def _fraction(key: Array, i: int) -> Array:
    """Uniform in [0, 1): word i under each key."""
    result: Array = (GENERATORS["philox4x32"](key, i, 0) >> U(11)) * 2.0**-53
    return result


def _positive(key: Array, i: int) -> Array:
    """Uniform in (0, 1]."""
    return _fraction(key, i) + 2.0**-53


def _accept_until_done(result: Array, open_: Array, attempt: Callable[[int, Array], tuple[Array, Array]]) -> Array:
    """Attempts 0, 1... for the elements that are open; `attempt(j, where)` gives values and which are accepted."""
    todo = np.flatnonzero(open_)
    for j in range(ATTEMPTS):
        if not todo.size:
            break
        value, accepted = attempt(j, todo)
        result[todo[accepted]] = value[accepted]
        todo = todo[~accepted]
    return result


def _elementwise(dtype: Any) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """A sampler of flat arrays as a function of arrays that broadcast."""

    def decorate(sampler: Callable[..., Array]) -> Callable[..., Array]:
        def call(key: Any, *parameters: Any) -> Array:
            keys, *others = np.broadcast_arrays(np.asarray(key, U), *parameters)
            with np.errstate(all="ignore"):
                flat = sampler(keys.ravel(), *(p.ravel().astype(np.float64) for p in others))
            return flat.reshape(keys.shape).astype(dtype)

        call.__doc__ = sampler.__doc__
        return call

    return decorate


@_elementwise(np.float64)
def log_gamma_variate(key: Array, a: Array) -> Array:
    """log of a gamma variate of shape `a`, scale 1 (Marsaglia and Tsang, TOMS 26, 2000); NaN for a < 0."""
    result = np.where(a == 0, -np.inf, np.where(a == np.inf, np.inf, np.nan))
    boost = np.where(a < 1, np.log(_positive(key, 0)) / a, 0)
    d = np.where(a < 1, a + 1, a) - 1 / 3
    c = 1 / (3 * np.sqrt(d))

    def attempt(j: int, i: Array) -> tuple[Array, Array]:
        j += 1
        x = np.sqrt(-2 * np.log(_positive(key[i], 4 * j))) * np.cos(2 * np.pi * _fraction(key[i], 4 * j + 1))
        v = (1 + c[i] * x) ** 3
        fits = np.log(_positive(key[i], 4 * j + 2)) < x**2 / 2 + d[i] - d[i] * v + d[i] * np.log(v)
        return np.log(d[i] * v) + boost[i], (v > 0) & fits

    return _accept_until_done(result, (a > 0) & np.isfinite(a), attempt)


def _saddle(k: Array, mean: Array) -> Array:
    """k log(k / mean) - k + mean (Loader, "Fast and accurate computation of binomial probabilities", 2000)."""
    d = (k - mean) / mean
    result: Array = np.where(k == 0, mean, mean * ((1 + d) * np.log1p(d) - d))
    return result


def _log_factorial(k: Array) -> Array:
    """log(k!) - k log(k) + k, by Stirling's series where it is exact."""
    from scipy.special import gammaln

    series = np.log(2 * np.pi * k) / 2 + 1 / (12 * k) - 1 / (360 * k**3) + 1 / (1260 * k**5) - 1 / (1680 * k**7)
    small = np.minimum(k, 10)
    result: Array = np.where(k == 0, 0, np.where(k < 10, gammaln(small + 1) - small * np.log(small) + small, series))
    return result


def _log_poisson(k: Array, mean: Array) -> Array:
    result: Array = -_saddle(k, mean) - _log_factorial(k)
    return result


def _log_binomial(k: Array, n: Array, p: Array) -> Array:
    saddles = _saddle(k, n * p) + _saddle(n - k, n * (1 - p))
    result: Array = _log_factorial(n) - _log_factorial(k) - _log_factorial(n - k) - saddles
    return result


@_elementwise(np.int64)
def poisson_variate(key: Array, mean: Array) -> Array:
    """A Poisson variate; -1 for a mean below 0 or beyond 2**62."""
    result = np.where(mean == 0, 0.0, -1.0)
    product, limit = np.ones_like(mean), np.exp(-mean)

    def multiply(k: int, i: Array) -> tuple[Array, Array]:
        """Knuth, TAOCP 2, 3.4.1."""
        product[i] *= _positive(key[i], k)
        return np.full(i.size, float(k)), product[i] <= limit[i]

    result = _accept_until_done(result, (mean > 0) & (mean < 10), multiply)
    b = 0.931 + 2.53 * np.sqrt(mean)
    a = 0.02483 * b - 0.059

    def ptrs(j: int, i: Array) -> tuple[Array, Array]:
        """Hormann, "The transformed rejection method for generating Poisson random variables", 1993."""
        m, u, v = mean[i], _fraction(key[i], 2 * j) - 0.5, _positive(key[i], 2 * j + 1)
        us = 0.5 - np.abs(u)
        k = np.floor((2 * a[i] / us + b[i]) * u + m + 0.43)
        quick = (us >= 0.07) & (v <= 0.9277 - 3.6224 / (b[i] - 2))
        left = np.log(v * (1.1239 + 1.1328 / (b[i] - 3.4)) / (a[i] / us**2 + b[i]))
        slow = (k >= 0) & ~((us < 0.013) & (v > us)) & (left <= _log_poisson(k, m))
        return k, (us > 0) & (quick | slow)

    return _accept_until_done(result, (mean >= 10) & (mean <= 2.0**62), ptrs)


@_elementwise(np.int64)
def binomial_variate(key: Array, n: Array, p: Array) -> Array:
    """A binomial variate; -1 where the count is negative or the probability outside of [0, 1]."""
    fine = (n >= 0) & (p >= 0) & (p <= 1)
    flipped = p > 0.5
    q = np.where(flipped, 1 - p, p)
    result = np.where(n * q == 0, 0.0, -1.0)
    waited = np.zeros_like(q)

    def wait(k: int, i: Array) -> tuple[Array, Array]:
        """Waiting times between successes (Devroye, Non-Uniform Random Variate Generation, X.4.3)."""
        waited[i] += np.floor(np.log(_positive(key[i], k)) / np.log1p(-q[i])) + 1
        return np.full(i.size, float(k)), waited[i] > n[i]

    result = _accept_until_done(result, fine & (n * q > 0) & (n * q < 10), wait)
    root = np.sqrt(n * q * (1 - q))
    b = 1.15 + 2.53 * root
    a = -0.0873 + 0.0248 * b + 0.01 * q
    mode = np.floor((n + 1) * q)

    def btrs(j: int, i: Array) -> tuple[Array, Array]:
        """Hormann, "The generation of binomial random variates", 1993."""
        u, v = _fraction(key[i], 2 * j) - 0.5, _positive(key[i], 2 * j + 1)
        us = 0.5 - np.abs(u)
        k = np.floor((2 * a[i] / us + b[i]) * u + n[i] * q[i] + 0.5)
        inside = (us > 0) & (k >= 0) & (k <= n[i])
        quick = (us >= 0.07) & (v <= 0.92 - 4.2 / b[i])
        left = np.log(v * (2.83 + 5.1 / b[i]) * root[i] / (a[i] / us**2 + b[i]))
        right = _log_binomial(k, n[i], q[i]) - _log_binomial(mode[i], n[i], q[i])
        return k, inside & (quick | (left <= right))

    result = _accept_until_done(result, fine & (n * q >= 10), btrs)
    return np.where(fine, np.where(flipped & (result >= 0), n - result, result), -1)
