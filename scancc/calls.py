"""Functions of pytrees that run compiled when they are called from outside of any trace.

Loops in the style of `jax.lax` and random draws are ordinary traced code inside of a step or a compiled function;
called directly they become programs of their own, which are kept.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from scancc.driver import options_of
from scancc.frontend.pytrees import flatten, unflatten
from scancc.frontend.scope import current
from scancc.frontend.tracer import is_traced
from scancc.jit import JitFunction
from scancc.locks import lock

REMEMBERED = 256  # functions whose compiled form is kept, the latest used ones
_compiled: OrderedDict[tuple, JitFunction] = OrderedDict()
_lock = lock()


def compiled_call(run: Callable, name: str, key: Hashable, *trees: Any) -> Any:
    """`run(*trees)`, compiled where it is not part of a function being compiled already.

    `key` names what `run` does besides its arguments: equal keys share one program.
    """
    flat = [flatten(t) for t in trees]
    leaves = [x for part, _ in flat for x in part]
    if current() is not None or is_traced(*leaves):
        return run(*trees)
    structure = (key, tuple(tree for _, tree in flat))
    with _lock:
        found = _compiled.get(structure)
        if found is None:
            found = _compiled[structure] = _program(run, name, [tree for _, tree in flat], [len(p) for p, _ in flat])
            if len(_compiled) > REMEMBERED:
                _compiled.popitem(last=False)
        _compiled.move_to_end(structure)
    results = found(*leaves)
    return unflatten(found.tree, results)  # type: ignore[attr-defined]


def _program(run: Callable, name: str, trees: list[Any], counts: list[int]) -> JitFunction:
    def flat(*leaves: Any) -> tuple:
        rest = iter(leaves)
        given = [unflatten(t, [next(rest) for _ in range(n)]) for t, n in zip(trees, counts, strict=True)]
        results, compiled.tree = flatten(run(*given))  # type: ignore[attr-defined]
        return tuple(results)

    flat.__name__ = re.sub(r"\W", "", name) or "loop"
    compiled = JitFunction(flat, options_of())
    return compiled
