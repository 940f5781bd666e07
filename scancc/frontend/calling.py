"""Where the front end calls a function of the user's: there it is traced, and there its control flow is rewritten.

A function is traced as it stands. Where it asks for a traced value (its truth in `if`, an int in `range`, a float in
`math.exp`), what it traced is taken back and its rewritten form (`control_flow`) is traced. Functions that assign to
elements, or draw from NumPy's generators, mean something else as they stand: they are rewritten at once.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from scancc.errors import UnsupportedError
from scancc.frontend.regions import function_body
from scancc.frontend.scope import current

_asked: set[types.CodeType] = set()  # of functions that were rewritten once


def call(fn: Callable, *args: Any, **given: Any) -> Any:
    """`fn(*args)` as part of what is being traced, with Python's control flow; outside of any trace, `fn(*args)`."""
    from scancc.frontend.control_flow import convert  # which is made of what calls functions itself

    scope = current()
    if scope is None or not scope.root.control_flow or convert.is_foreign(fn):
        return fn(*args, **given)
    code = convert.code_of(fn)
    with function_body():
        if code in _asked or convert.means_otherwise(fn):
            try:
                rewritten = convert.converted(fn)
            except UnsupportedError:
                rewritten = fn  # it may still trace as it stands
            if rewritten is not fn:
                return rewritten(*args, **given)
        take_back = scope.mark()
        try:
            return fn(*args, **given)
        except Exception:
            # NumPy puts errors of its own in place of those that a value raises.
            if not scope.root.asked:
                raise
            rewritten = convert.converted(fn)
            if rewritten is fn:
                raise
        take_back()
    with function_body():
        _asked.add(code)
        return rewritten(*args, **given)
