"""Functions of pytrees that run compiled when they are called from outside of any trace.

Loops in the style of `jax.lax`, derivatives, `vmap` and random draws are ordinary traced code inside of a step or a
compiled function; called directly they become programs of their own, which are kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import Any

from scancc.driver import options_of
from scancc.frontend.pytrees import Tree, flatten, unflatten
from scancc.frontend.scope import current
from scancc.frontend.tracer import is_traced
from scancc.jit import PLAIN, JitFunction
from scancc.locks import lock

REMEMBERED = 256  # functions whose compiled form is kept, the latest used ones
_compiled: OrderedDict[tuple, JitFunction] = OrderedDict()
_lock = lock()


class CompiledCall:
    """`run`, compiled where it is not part of a function being compiled already; for containers of each structure.

    `key` names what `run` does besides its arguments: equal keys share their programs. Functions among it are told
    apart by what they are, not by `==`; what they close over is looked at in each call.
    """

    def __init__(self, run: Callable, name: str, key: tuple) -> None:
        self.run, self.name = run, re.sub(r"\W", "", name) or "loop"
        self.key = tuple(map(identity, key))
        self._flat: dict[int, JitFunction] = {}  # for so many arrays or numbers, by position

    def __call__(self, *args: Any, **given: Any) -> Any:
        flat = not given and PLAIN.issuperset(map(type, args))
        if flat and len(args) in self._flat:
            return self._flat[len(args)](*args)
        leaves, tree = flatten((args, given))
        if current() is not None or is_traced(*leaves):
            return self.run(*args, **given)
        found = self._of(tree)
        if flat:
            self._flat[len(args)] = found
        return found(*leaves)

    def _of(self, tree: Tree) -> JitFunction:
        structure = self.key, tree
        with _lock:
            found = _compiled.get(structure)
            if found is None:
                found = _compiled[structure] = JitFunction(self._of_leaves(tree), options_of())
                if len(_compiled) > REMEMBERED:
                    _compiled.popitem(last=False)
            _compiled.move_to_end(structure)
        return found

    def _of_leaves(self, tree: Tree) -> Callable:
        run = self.run

        def flat(*leaves: Any) -> Any:
            args, given = unflatten(tree, leaves)
            return run(*args, **given)

        flat.__name__ = self.name
        return flat


def identity(part: Any) -> Any:
    """A part of a key: functions by which they are, numbers by type and value.

    What is compiled keeps its function alive, so that an id stays its own as long as the key is in use.
    """
    if isinstance(part, tuple):
        return tuple(map(identity, part))
    if isinstance(part, (list, dict)):
        return type(part), identity(tuple(part.items() if isinstance(part, dict) else part))
    if isinstance(part, MethodType):
        return "method", id(part.__self__), id(part.__func__)
    if callable(part) and not isinstance(part, type):
        call = getattr(part, "compiled_call", None)
        return call.key if isinstance(call, CompiledCall) else ("function", id(part))
    return (type(part), part)


def compiled_call(run: Callable, name: str, key: tuple, *args: Any, **given: Any) -> Any:
    """`run(*args, **given)`, as a `CompiledCall` that is made for one call."""
    return CompiledCall(run, name, key)(*args, **given)
