"""Random variates that take an unknown number of uniform ones: by rejection, from a key of their own for each.

`key` is a random uint64; attempt j uses the words of Philox 4x32-10 under it. Every loop has an end: after ATTEMPTS,
which no draw reaches but with a probability far below 1e-100, the result is that of parameters out of range.
"""

from __future__ import annotations

import math

import numpy as np

from scancc_runtime.compiled import njit
from scancc_runtime.intrinsics import philox4x32

ATTEMPTS = 512
UNIT = 2.0**-53
HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


@njit(inline="never")
def _word(key, i):  # type: ignore[no-untyped-def]
    return philox4x32(key, np.uint64(i), np.uint64(0))


@njit
def _open(key, i):  # type: ignore[no-untyped-def]
    """Uniform in (0, 1]."""
    return (np.float64(_word(key, i) >> np.uint64(11)) + 1.0) * UNIT


@njit
def _half_open(key, i):  # type: ignore[no-untyped-def]
    """Uniform in [0, 1)."""
    return np.float64(_word(key, i) >> np.uint64(11)) * UNIT


@njit(error_model="numpy")
def log_gamma_variate(key, a):  # type: ignore[no-untyped-def]
    """The logarithm of a gamma variate of shape `a` and scale 1: it does not underflow for small shapes. NaN for a < 0.

    Marsaglia and Tsang, "A simple method for generating gamma variables" (TOMS 26, 2000), with their boost below 1.
    """
    if not a > 0.0:
        return -math.inf if a == 0.0 else math.nan
    if math.isinf(a):
        return math.inf
    boost = 0.0
    if a < 1.0:
        boost = math.log(_open(key, 0)) / a
        a += 1.0
    d = a - 1.0 / 3.0
    c = 1.0 / (3.0 * math.sqrt(d))
    for j in range(1, ATTEMPTS):
        x = math.sqrt(-2.0 * math.log(_open(key, 4 * j))) * math.cos(2.0 * math.pi * _half_open(key, 4 * j + 1))
        v = 1.0 + c * x
        if v > 0.0:
            log_v = 3.0 * math.log(v)
            if math.log(_open(key, 4 * j + 2)) < 0.5 * x * x + d - d * (v * v * v) + d * log_v:
                return math.log(d) + log_v + boost
    return math.nan


# Probabilities by Loader's saddle-point form ("Fast and accurate computation of binomial probabilities", 2000): the
# usual one takes differences of numbers so large that none of their digits is left.
@njit(error_model="numpy")
def _stirling(k):  # type: ignore[no-untyped-def]
    """log(k!) without Stirling's approximation to it, for k >= 1."""
    if k < 10.0:
        return math.lgamma(k + 1.0) - (k + 0.5) * math.log(k) + k - HALF_LOG_TWO_PI
    square = k * k
    return (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / 1680.0 / square) / square) / square) / k


@njit(error_model="numpy")
def _deviance(k, mean):  # type: ignore[no-untyped-def]
    """k log(k / mean) + mean - k for k >= 1."""
    d = (k - mean) / mean
    return mean * ((1.0 + d) * math.log1p(d) - d)


@njit(error_model="numpy")
def _log_poisson(k, mean):  # type: ignore[no-untyped-def]
    if k == 0.0:
        return -mean
    return -_stirling(k) - _deviance(k, mean) - 0.5 * math.log(k) - HALF_LOG_TWO_PI


@njit(error_model="numpy")
def _log_binomial(k, n, p):  # type: ignore[no-untyped-def]
    if k == 0.0:
        return n * math.log1p(-p)
    if k == n:
        return n * math.log(p)
    rest = n - k
    probable = -_deviance(k, n * p) - _deviance(rest, n * (1.0 - p))
    return probable + _stirling(n) - _stirling(k) - _stirling(rest) + 0.5 * math.log(n / k / rest) - HALF_LOG_TWO_PI


@njit(error_model="numpy")
def poisson_variate(key, mean):  # type: ignore[no-untyped-def]
    """A Poisson variate; -1 for a mean below 0 or beyond 2**62.

    Small means by multiplication (Knuth, TAOCP 2, 3.4.1), means from 10 on by the transformed rejection PTRS
    (Hormann, "The transformed rejection method for generating Poisson random variables", 1993).
    """
    if not (mean >= 0.0 and mean <= 2.0**62):
        return np.int64(-1)
    if mean < 10.0:
        limit, product = math.exp(-mean), 1.0
        for k in range(ATTEMPTS):
            product *= _open(key, k)
            if product <= limit:
                return np.int64(k) if mean > 0.0 else np.int64(0)
        return np.int64(-1)
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2.0)
    for j in range(ATTEMPTS):
        u, v = _half_open(key, 2 * j) - 0.5, _open(key, 2 * j + 1)
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= squeeze:
            return np.int64(k)
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= _log_poisson(k, mean):
            return np.int64(k)
    return np.int64(-1)


@njit(error_model="numpy")
def binomial_variate(key, count, p):  # type: ignore[no-untyped-def]
    """A binomial variate of `count` (an integer in float64) trials; -1 for a count or probability out of range.

    Where fewer than 10 successes are expected by waiting times (Devroye, Non-Uniform Random Variate Generation, X.4.3),
    else by the transformed rejection BTRS (Hormann, "The generation of binomial random variates", 1993).
    """
    if not (count >= 0.0 and p >= 0.0 and p <= 1.0):
        return np.int64(-1)
    q = 1.0 - p if p > 0.5 else p  # of the rarer outcome
    k = _rarer(key, count, q)
    return np.int64(count - k if p > 0.5 and k >= 0.0 else k)


@njit(error_model="numpy")
def _rarer(key, n, p):  # type: ignore[no-untyped-def]
    if n * p == 0.0:
        return 0.0
    if n * p < 10.0:
        log_q, waited = math.log1p(-p), 0.0
        for k in range(ATTEMPTS):
            waited += math.floor(math.log(_open(key, k)) / log_q) + 1.0
            if waited > n:
                return np.float64(k)
        return -1.0
    root = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * root
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    squeeze = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * root
    at_mode = _log_binomial(math.floor((n + 1.0) * p), n, p)
    for j in range(ATTEMPTS):
        u, v = _half_open(key, 2 * j) - 0.5, _open(key, 2 * j + 1)
        us = 0.5 - abs(u)
        if us == 0.0:
            continue
        k = math.floor((2.0 * a / us + b) * u + c)
        if k < 0.0 or k > n:
            continue
        if us >= 0.07 and v <= squeeze:
            return k
        if math.log(v * alpha / (a / (us * us) + b)) <= _log_binomial(k, n, p) - at_mode:
            return k
    return -1.0
