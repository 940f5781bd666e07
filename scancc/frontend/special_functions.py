"""Functions of scipy.special on traced values, made of ops and NumPy's functions; scipy is not imported for them.

Results are float32 for float32, and float64 for integers, as scipy gives them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scancc.frontend.axes import array, floating
from scancc.frontend.tracer import Tracer, emit, wrap

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _pair(a: Any, b: Any) -> tuple[Tracer, Tracer]:
    x, y = array(a), array(b)
    weak = [not isinstance(v, (int, float)) for v in (a, b)]
    dtypes = [v.dtype for v, has in zip((x, y), weak, strict=True) if has] or [x.dtype, y.dtype]
    dtype = np.result_type(*dtypes)
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    return x.astype(dtype), y.astype(dtype)


def _op(name: str) -> Callable[[Any], Any]:
    return lambda x: wrap(emit(name, floating(array(x)).node))


_gammaln, _erfc, _digamma = _op("gammaln"), _op("erfc"), _op("digamma")


def _number(x: Tracer, value: float) -> Any:
    return x.dtype.type(value)


def gammasgn(x: Any) -> Any:
    x = floating(array(x))
    below = np.where(np.floor(x) % 2 == 0, 1.0, -1.0)
    below = np.where(x == np.floor(x), np.nan, below)
    below = np.where(np.isnan(x), x, below)
    return np.where(x > 0, 1.0, np.where(x == 0, np.copysign(1, x), below)).astype(x.dtype)


def gamma(x: Any) -> Any:
    x = floating(array(x))
    return gammasgn(x) * np.exp(_gammaln(x))


def betaln(a: Any, b: Any) -> Any:
    x, y = _pair(a, b)
    found = _gammaln(x) + _gammaln(y) - _gammaln(x + y)
    found = np.where((x == 0) & (y >= 0) | (y == 0) & (x >= 0), np.inf, found)
    return np.where((x == np.inf) & (y > 0) | (y == np.inf) & (x > 0), -np.inf, found)


def beta(a: Any, b: Any) -> Any:
    x, y = _pair(a, b)
    return gammasgn(x) * gammasgn(y) * gammasgn(x + y) * np.exp(betaln(x, y))


# Wichura, The percentage points of the normal distribution, Applied Statistics 37 (1988), AS 241: highest power first.
CENTRE = ((2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
           1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
          (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
           5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0))  # fmt: skip
SIDE = ((7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
         3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
        (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
         6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0))  # fmt: skip
TAIL = ((2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
         2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
        (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
         1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0))  # fmt: skip


def _ratio(parts: Sequence[Sequence[float]], r: Any) -> Any:
    values = []
    for coefficients in parts:
        value = _number(r, coefficients[0]) + r * 0
        for c in coefficients[1:]:
            value = value * r + _number(r, c)
        values.append(value)
    return values[0] / values[1]


def _normal_quantile(off: Any, tail: Any) -> Any:
    """Of a probability 0.5 + off, of which `tail` is the distance from 0 or 1, whichever is nearer."""
    central = np.absolute(off) <= 0.425
    centre = off * _ratio(CENTRE, 0.180625 - np.where(central, off * off, 0))
    inside = ~central & (tail > 0)
    r = np.sqrt(-np.log(np.where(inside, tail, 0.05)))
    beyond = np.where(r <= 5, _ratio(SIDE, np.minimum(r, 5) - 1.6), _ratio(TAIL, np.maximum(r, 5) - 5))
    outside = np.where(tail == 0, np.inf, np.nan)
    far = np.copysign(1, off) * np.where(inside, beyond, outside)
    return np.where(central, centre, far).astype(off.dtype)


def ndtri(p: Any) -> Any:
    x = floating(array(p))
    return _normal_quantile(x - 0.5, np.where(x < 0.5, x, 1 - x))


def erfinv(y: Any) -> Any:
    x = floating(array(y))
    return _normal_quantile(x / 2, (1 - np.absolute(x)) / 2) * _number(x, math.sqrt(0.5))


def erfcinv(y: Any) -> Any:
    x = floating(array(y))
    return -ndtri(x / 2) * _number(x, math.sqrt(0.5))


FAR = -12.0  # below it the series of log_ndtr is as exact as its terms


def ndtr(x: Any) -> Any:
    x = floating(array(x))
    return 0.5 * _erfc(x * _number(x, -math.sqrt(0.5)))


def log_ndtr(x: Any) -> Any:
    x = floating(array(x))
    near = np.where(x < FAR, 0, x)
    upper = np.log1p(-ndtr(-np.maximum(near, 0)))
    lower = np.log(ndtr(np.minimum(near, 0)))
    far = np.where(x < FAR, x, FAR)
    square = 1 / (far * far)
    total, term = np.zeros_like(far), np.ones_like(far)
    for k in range(1, 9):
        term = -term * square * (2 * k - 1)
        total = total + term
    series = -far * far / 2 - np.log(-far) - _number(x, HALF_LOG_2PI) + np.log1p(total)
    return np.where(x < FAR, series, np.where(near > 0, upper, lower))


def log_expit(x: Any) -> Any:
    return -np.logaddexp(0, -floating(array(x)))


def logit(x: Any) -> Any:
    x = floating(array(x))
    return np.log(x) - np.log1p(-x)


def _times_log(log: Callable) -> Callable:
    def call(x: Any, y: Any) -> Any:
        a, b = _pair(x, y)
        nothing = (a == 0) & ~np.isnan(b)
        return np.where(nothing, 0, a * log(np.where(nothing, 1, b)))

    return call


xlogy, xlog1py = _times_log(np.log), _times_log(np.log1p)


def entr(x: Any) -> Any:
    x = floating(array(x))
    there = x > 0
    return np.where(there, -x * np.log(np.where(there, x, 1)), np.where(x == 0, 0, np.where(x < 0, -np.inf, x)))


def rel_entr(x: Any, y: Any) -> Any:
    a, b = _pair(x, y)
    there = (a > 0) & (b > 0)
    value = a * np.log(np.where(there, a, 1) / np.where(there, b, 1))
    rest = np.where((a == 0) & (b >= 0), 0, np.where(np.isnan(a) | np.isnan(b), np.nan, np.inf))
    return np.where(there, value, rest).astype(a.dtype)


def kl_div(x: Any, y: Any) -> Any:
    a, b = _pair(x, y)
    rest = np.where((a == 0) & (b >= 0), b, np.where(np.isnan(a) | np.isnan(b), np.nan, np.inf))
    return np.where((a > 0) & (b > 0), rel_entr(a, b) - a + b, rest).astype(a.dtype)


SPECIAL: dict[str, Callable] = {
    "gamma": gamma, "gammasgn": gammasgn, "betaln": betaln, "beta": beta, "psi": _digamma, "ndtr": ndtr, "ndtri": ndtri,
    "erfinv": erfinv, "erfcinv": erfcinv, "log_ndtr": log_ndtr, "log_expit": log_expit, "logit": logit, "xlogy": xlogy,
    "xlog1py": xlog1py, "entr": entr, "rel_entr": rel_entr, "kl_div": kl_div,
}  # fmt: skip
OPS_OF_SCIPY = ("erf", "erfc", "gammaln", "expit")  # and ops of the same name
