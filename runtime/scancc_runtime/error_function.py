"""erf: its Taylor series up to 1, and 1 - exp(-x*x) g(x) beyond.

g(x) = exp(x*x) erfc(x) is smooth: a polynomial of degree 15 in 1 / (x + 3), fitted on 0.98 <= x <= 6.05 at Chebyshev
nodes with 60 digits, keeps erfc to 4e-18. Where erfc is small its relative error does not matter: it is subtracted
from 1. Both work in double precision, float32 is rounded once at the end.
"""

from __future__ import annotations

import math

from scancc_runtime.emitter import Emitter, Value
from scancc_runtime.exponentials import exp

MIDDLE, SCALE = 0.18087675948804796, 14.208678500986194  # of 1 / (x + 3)
TAIL = [
    0.2086983282215253, 0.15690642786990922, 0.05122736448961098, 0.013281468352442753, 0.002623670121745012,
    0.0003551170103047881, 2.111285450444713e-05, -2.6861384691230918e-06, -6.164866514987291e-07,
    5.697766679758959e-09, 1.2976947980816692e-08, 2.889825517436511e-10, -3.0209075643002627e-10,
    -6.6521424513635904e-12, 7.266176122370031e-12, -2.204458116517196e-14,
]  # fmt: skip
# 2/sqrt(pi) in two parts: its rounding alone would cost half an ulp.
FACTOR, FACTOR_LOW = 1.1283791670955126, 1.533545961316588e-17
SERIES = [(-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(1, 20)]


def erf(e: Emitter, x: Value, bits: int) -> Value:
    size = e.absolute(x)
    # x * 2/sqrt(pi) * (1 + series), with the leading product kept to twice the precision.
    z = x * x
    lead, error = e.two_product(x, e.c(FACTOR))
    error = e.fma(x, FACTOR_LOW, error)
    near = lead + e.fma(lead, z * e.polynomial(z, SERIES[: 19 if bits == 64 else 11]), error)
    # Products with subnormal numbers have no exact error.
    near = e.select(size < 2.0**-500, x * FACTOR, near)
    far = e.clamp(size, 1.0, 6.0)
    u = (1.0 / (far + 3.0) - MIDDLE) * SCALE
    tail = 1.0 - exp(e, -(far * far)) * e.polynomial(u, TAIL)
    return e.select(size >= 1.0, e.copysign(e.select(size >= 6.0, 1.0, tail), x), near)
