"""Python's `if`, `while`, `for ... in range(...)`, `and`, `or`, `not` and `a if c else b` on traced values.

A step is traced as it stands. Only where it asks a traced value for its truth, its source is rewritten so that control
flow becomes calls (`convert`), and traced again: what the calls do with traced values is in `flow`. Anything that does
not need this never sees it. The idea of rewriting the source is that of AutoGraph (Moldovan et al., MLSys 2019).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from scancc.errors import TracedValueError
from scancc.frontend.control_flow.convert import converted

T = TypeVar("T")


def trace_with_control_flow(trace: Callable[[Callable], T], fn: Callable, wanted: bool) -> T:
    """`trace(fn)`, or where `fn` asks for the truth of a traced value, `trace` of its rewritten form.

    Raises the error of the first attempt where there is no source to rewrite, or `wanted` is off.
    """
    try:
        return trace(fn)
    except TracedValueError as error:
        if not wanted or not error.asks_truth:
            raise
        rewritten: Any = converted(fn)
        if rewritten is fn:
            raise
    return trace(rewritten)


__all__ = ["trace_with_control_flow"]
