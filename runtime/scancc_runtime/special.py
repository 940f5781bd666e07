"""erf and erfc of complex numbers, by way of the Faddeeva function w(z) = exp(-z**2) erfc(-iz).

w is the modified trapezoidal rule of Al Azah and Chandler-Wilde ("Computation of the complex error function using
modified trapezoidal rules", SIAM J. Numer. Anal. 59, 2021): twelve terms, relative error of a few 1e-15 in the
first quadrant; symmetries give the other three. Computed in double precision for complex64 too.
"""

from __future__ import annotations

import math

from scancc_runtime.compiled import njit
from scancc_runtime.complexes import exp
from scancc_runtime.intrinsics import like

FLAGS = {"error_model": "numpy"}
TERMS = 11
STEP = math.sqrt(math.pi / (TERMS + 1))
SERIES_RADIUS = 1.0
ASYMPTOTIC = 1e8  # w(z) is i / (sqrt(pi) z) to the last bit from here on
FAR = 1e150  # infinities are brought in to it: the square is infinite still


@njit(**FLAGS)
def _faddeeva(x, y):  # type: ignore[no-untyped-def]
    """w(x + iy) for x, y >= 0."""
    z = complex(x, y)
    if max(x, y) > ASYMPTOTIC:
        return complex(0.0, 1.0 / math.sqrt(math.pi)) / z
    square = z * z
    fraction = x / STEP - math.floor(x / STEP)
    near_axis = y < max(x, math.pi / STEP)
    # Poles of the rule lie on the axis half-way between the nodes that are chosen here, away from x.
    midpoint = not near_axis or 0.25 <= fraction <= 0.75
    shift = 0.5 if not near_axis or not midpoint else 0.0
    total = complex(0.0, 0.0)
    for k in range(TERMS + 1):
        t = (k + shift) * STEP
        if t > 0:
            total += math.exp(-t * t) / (square - t * t)
    total *= complex(0.0, 2.0 * STEP / math.pi) * z
    if shift == 0:
        total += complex(0.0, STEP / math.pi) / z
    if near_axis:
        sign = 1.0 if shift == 0.5 else -1.0
        wave = exp(complex(2.0 * math.pi * y / STEP, -2.0 * math.pi * x / STEP))
        total += 2.0 * exp(-square) / (1.0 + sign * wave)
    return total


@njit(**FLAGS)
def _series(z):  # type: ignore[no-untyped-def]
    """erf near 0 by its Maclaurin series."""
    square, term, total = z * z, z, z
    for n in range(1, 24):
        term = term * square * (-1.0 / n)
        total += term / (2 * n + 1)
    return total * (2.0 / math.sqrt(math.pi))


@njit(**FLAGS)
def _erfc_right(x, y):  # type: ignore[no-untyped-def]
    """erfc(x + iy) for x, y >= 0: exp(-z**2) w(iz), with w(-y + ix) the conjugate of w(y + ix)."""
    if math.isnan(x) or math.isnan(y):
        return complex(math.nan, math.nan)
    x, y = min(x, FAR), min(y, FAR)
    decay = (y - x) * (y + x)
    if decay < -800.0:
        return complex(0.0, 0.0)
    size = math.exp(0.5 * decay)  # in two factors: the whole may overflow where the product does not
    value = exp(complex(0.0, -2.0 * x * y)) * _faddeeva(y, x).conjugate()
    return complex(value.real * size * size, value.imag * size * size)


@njit(**FLAGS)
def erfc(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if y == 0:
        return like(z, complex(math.erfc(x), -y))
    if math.hypot(x, y) < SERIES_RADIUS:
        near = _series(complex(x, y))
        return like(z, complex(1.0 - near.real, -near.imag))
    right = _erfc_right(abs(x), abs(y))
    return like(z, complex(right.real if x >= 0 else 2.0 - right.real, right.imag if y >= 0 else -right.imag))


@njit(**FLAGS)
def erf(z):  # type: ignore[no-untyped-def]
    x, y = float(z.real), float(z.imag)
    if y == 0:
        return like(z, complex(math.erf(x), y))
    if math.hypot(x, y) < SERIES_RADIUS:
        return like(z, _series(complex(x, y)))
    right = _erfc_right(abs(x), abs(y))
    real = 0.0 if x == 0 else 1.0 - right.real
    return like(z, complex(real if x > 0 else -real, -right.imag if y >= 0 else right.imag))
