"""The derivatives of log gamma against mpmath and SciPy."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.special
from scancc_runtime import polygamma

X = np.concatenate([np.linspace(0.01, 30, 300), np.geomspace(1e-8, 1e12, 60), -np.linspace(0.1, 9.9, 50) - 0.013])


@pytest.mark.parametrize(("function", "order"), [(polygamma.digamma, 0), (polygamma.trigamma, 1)])
def test_against_mpmath(function, order):
    for x in X:
        want = float(mpmath.psi(order, mpmath.mpf(float(x))))
        # Near its zeros digamma is a difference of larger numbers.
        assert np.isclose(function(x), want, rtol=4e-14, atol=4e-15 if order == 0 else 0), x
        single = np.float32(x)
        assert np.isclose(function(single), float(mpmath.psi(order, mpmath.mpf(float(single)))), rtol=1e-6, atol=1e-6)


def test_special_values():
    for x in (0.0, -0.0, -1.0, -2.0, np.inf, -np.inf, np.nan):
        assert np.array_equal(polygamma.digamma(x), scipy.special.digamma(x), equal_nan=True), x
    for x in (0.0, -1.0, np.inf, np.nan):
        assert np.array_equal(polygamma.trigamma(x), scipy.special.polygamma(1, x), equal_nan=True), x
