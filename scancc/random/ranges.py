"""Which parameters a distribution takes. Values that are known are looked at before anything is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.errors import ScanOverflowError, ScanTypeError, ScanValueError
from scancc.frontend.location import here
from scancc.frontend.tracer import is_traced

Check = Callable[[dict[str, Any]], None]


def known(value: Any) -> np.ndarray | None:
    """A real parameter as an array of the host, or None where it is traced, on a device or of another kind."""
    if value is None or is_traced(value) or hasattr(value, "__cuda_array_interface__"):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" or array.dtype == object else None


def demand(holds: Any, what: str, rule: str) -> None:
    """ValueError at the user's line unless all of `holds` is true."""
    if not np.all(holds):
        raise ScanValueError(what, here(), rule)


def not_negative(*names: str) -> Check:
    """Parameters that are 0 or more; a NaN makes NaNs, as NumPy has it."""

    def check(given: dict[str, Any]) -> None:
        for name in names:
            value = known(given[name])
            if value is not None:
                demand(~(value < 0), f"{name} is below 0", f"{name} has to be 0 or more")

    return check


def positive(*names: str) -> Check:
    """Parameters above 0."""

    def check(given: dict[str, Any]) -> None:
        for name in names:
            value = known(given[name])
            if value is not None:
                demand(~(value <= 0), f"{name} is not above 0", f"{name} has to be above 0")

    return check


def probability(given: dict[str, Any]) -> None:
    """`p` in [0, 1], not NaN."""
    p = known(given["p"])
    if p is not None:
        demand((p >= 0) & (p <= 1), "p is below 0, above 1 or NaN", "a probability lies in [0, 1]")


def finite_range(given: dict[str, Any]) -> None:
    """`low` and `high` that are finite in the dtype of the draw."""
    dtype = np.dtype(given["dtype"])
    for name in ("low", "high"):
        value = known(given[name])
        if value is not None and dtype.kind == "f":
            with np.errstate(over="ignore"):
                finite = np.isfinite(value.astype(dtype))
            if not finite.all():
                raise ScanOverflowError(f"{name} of a uniform draw is not finite as {dtype}", here(),
                                        "the range has to be finite")


def whole_range(given: dict[str, Any]) -> None:
    """[low, high) within the dtype, and not empty."""
    dtype, low, high = np.dtype(given["dtype"]), known(given["low"]), known(given["high"])
    if dtype.kind not in "iu":
        raise ScanTypeError(f"integers are of an integer dtype, not {dtype}", here())
    info = np.iinfo(dtype)
    # Exact, in Python's integers: bounds may have any integer dtype.
    if low is not None and low.dtype.kind != "f":
        demand(low.astype(object) >= info.min, f"low is out of bounds for {dtype}", f"the lowest is {info.min}")
    if high is not None and high.dtype.kind != "f":
        demand(high.astype(object) <= info.max + 1, f"high is out of bounds for {dtype}",
               f"high is excluded: the highest of {dtype} is {info.max}")
    if low is not None and high is not None and np.any(low >= high):
        raise ScanValueError(f"the range [{given['low']}, {given['high']}) of random integers is empty", here(),
                             fix="high is excluded: it has to be above low")  # fmt: skip


def poisson_mean(given: dict[str, Any]) -> None:
    """A mean that is 0 or more, and ten standard deviations within the dtype, as NumPy has it for int64."""
    dtype, mean = counts_dtype(given), known(given["mean"])
    if mean is None:
        return
    demand(mean >= 0, "the mean of a Poisson draw is below 0 or NaN", "a mean is 0 or more")
    top = float(np.iinfo(dtype).max if dtype.kind in "iu" else np.finfo(dtype).max)
    top = min(top, 2.0**62)
    demand(mean <= top - 10 * np.sqrt(top), f"the mean of a Poisson draw is too large for {dtype}",
           "draws have to fit the dtype, ten standard deviations above the mean")


def trials(given: dict[str, Any]) -> None:
    """`n` from 0 to the largest number of the dtype, and a probability `p`."""
    dtype, n = counts_dtype(given), known(given["n"])
    probability(given)
    if n is not None:
        top = np.iinfo(dtype).max if dtype.kind in "iu" else np.finfo(dtype).max
        demand(n >= 0, "n is below 0", "a number of trials is 0 or more")
        demand(n.astype(object) <= (int(top) if dtype.kind in "iu" else float(top)), f"n is too large for {dtype}",
               "the number of successes, up to n, has to fit the dtype")


def counts_dtype(given: dict[str, Any]) -> np.dtype:
    dtype = np.dtype(given["dtype"])
    if dtype.kind not in "iuf":
        raise ScanTypeError(f"random counts are integers or floats, not {dtype}", here())
    return dtype


def weights(given: dict[str, Any]) -> None:
    """Weights `p` of a choice: none negative or NaN, and their sum finite and above 0."""
    p = known(given["p"])
    if p is None or not p.size:
        return
    demand(p >= 0, "p has an element that is negative or NaN", "probabilities are 0 or more")
    with np.errstate(over="ignore"):
        total = p.sum(dtype=np.float64)
    demand(0 < total < np.inf, f"the elements of p sum to {total}", "the sum of probabilities is finite and above 0")
    shape = given["shape"]
    if not given["replace"] and not is_traced(*(shape if isinstance(shape, (tuple, list)) else (shape,))):
        count = int(np.prod(shape if isinstance(shape, (tuple, list)) else (shape,)))
        demand(np.count_nonzero(p) >= count, f"choice of {count} elements, but fewer have a probability above 0",
               "without replacement each element is chosen once at most")
