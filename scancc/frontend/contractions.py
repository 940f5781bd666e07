"""Matrix products of traced values."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.errors import UnsupportedError
from scancc.frontend.location import here
from scancc.frontend.tracer import Tracer, emit, unwrap, wrap
from scancc.ir import build


def matmul(a: Any, b: Any) -> Tracer:
    """`a @ b` (and `np.dot`) for ranks 1 and 2; scalars multiply, as np.dot does."""
    x, y = unwrap(a), unwrap(b)
    if x.type.ndim == 0 or y.type.ndim == 0:
        return np.multiply(wrap(x), wrap(y))  # type: ignore[no-any-return, call-overload]
    if x.type.ndim > 2 or y.type.ndim > 2:
        raise UnsupportedError("matrix products of more than two axes are not supported in a step", here(),
                               fix="write the product as a sum over broadcast arrays")
    dtype = np.result_type(x.type.dtype, y.type.dtype)
    return wrap(emit("matmul", build.cast(x, dtype, here()), build.cast(y, dtype, here())))
