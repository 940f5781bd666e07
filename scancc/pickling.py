"""How compiled functions are copied and pickled: as Python's functions, by the name under which a module has them.

What was compiled stays behind: a process that reads one compiles it at its first call, or finds it in the disk cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce
from types import FunctionType
from typing import Any, Self

from scancc.errors import ScanTypeError
from scancc.frontend.location import of_function


class PickledByName:
    """Base of what wraps a function `fn`. `made_of` are the arguments of `__init__` that make another like it."""

    fn: Callable
    name: str

    def made_of(self) -> tuple:
        raise NotImplementedError

    def __reduce__(self) -> str | tuple:
        if _found(self) is self:
            return str(self.__qualname__)
        # A wrapper that has another name than its function, as in `fast = sc.jit(step)`. What is no plain function
        # says by itself whether it can be pickled.
        if not isinstance(self.fn, FunctionType) or _found(self.fn) is self.fn:
            return type(self), self.made_of()
        raise ScanTypeError(
            f"{self.name} cannot be pickled: module {self.fn.__module__} does not have it as {self.fn.__qualname__!r}",
            of_function(self.fn),
            rule="compiled functions are pickled by name, as Python's are; lambdas and local functions have none",
            fix="define the step or function with def at the top level of a module, decorated or not",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _found(x: Any) -> Any:
    """What the module of a function has under the function's name."""
    module = sys.modules.get(getattr(x, "__module__", None) or "")
    try:
        return reduce(getattr, x.__qualname__.split("."), module)
    except AttributeError:
        return None
