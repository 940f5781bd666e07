"""Nested containers of arrays: dicts, lists, tuples, named tuples, dataclasses, None, registered classes, taken apart.

    flatten({"h": a, "c": (b, None)})  ->  [b, a], ("dict", ("c", "h"), (("tuple", 2, (LEAF, NONE)), LEAF))

Dict keys are sorted where they can be, so that equal dicts have equal structures. Anything else is a leaf. The idea,
and which containers take part, are those of JAX's pytrees.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from scancc.errors import ScanTypeError, ScanValueError

# Classes that the user made containers, with the functions that take them apart and put them together.
_REGISTERED: dict[type, tuple[Callable[[Any], tuple], Callable[[Any, tuple], Any]]] = {}


def register_pytree_node(cls: type, flatten: Callable[[Any], tuple], unflatten: Callable[[Any, tuple], Any]) -> type:
    """Make instances of `cls` containers of arrays wherever dicts and tuples are: as of JAX's function of that name.

    `flatten(x)` returns `(children, aux)`: a sequence of arrays or containers, and whatever else makes up `x`, compared
    with `==` and with a hash. `unflatten(aux, children)` makes the object again. Returns `cls`. Raises ValueError for a
    class that is registered already, TypeError for what is no class.
    """
    if not isinstance(cls, type):
        raise ScanTypeError(f"{cls!r} is no class", fix="pass the class whose objects are containers")
    if cls in _REGISTERED:
        raise ScanValueError(f"{cls.__name__} is registered already", rule="a class is taken apart in one way")
    _REGISTERED[cls] = flatten, unflatten
    return cls


LEAF = "leaf"
NONE = "none"
Tree = Any  # LEAF, NONE, or (kind, what is needed to build it again, subtrees)


def flatten(value: Any) -> tuple[list[Any], Tree]:
    """The leaves of a container, in order, and its structure (hashable, compared by value)."""
    if value is None:
        return [], NONE
    parts = _parts(value)
    if parts is None:
        return [value], LEAF
    kind, how, children = parts
    leaves: list[Any] = []
    trees: list[Tree] = []
    for _, child in children:
        inner, tree = flatten(child)
        leaves += inner
        trees.append(tree)
    return leaves, (kind, how, tuple(trees))


def unflatten(tree: Tree, leaves: Any) -> Any:
    """The container of structure `tree` with these leaves."""
    return _build(tree, iter(leaves))


def source_of(tree: Tree, leaves: Iterator[str], bind: Callable[[Any], str]) -> str:
    """The text of what `unflatten` makes of leaves with these texts; `bind` names an object in the text."""
    if tree == LEAF:
        return next(leaves)
    if tree == NONE:
        return "None"
    kind, how, trees = tree
    children = [source_of(t, leaves, bind) for t in trees]
    match kind:
        case "dict":
            return "{" + "".join(f"{bind(k)}: {c}, " for k, c in zip(how, children, strict=True)) + "}"
        case "list":
            return f"[{', '.join(children)}]"
        case "tuple":
            return f"({''.join(f'{c}, ' for c in children)})"
        case "named":
            return f"{bind(how[0])}({', '.join(children)})"
        case "registered":
            return f"{bind(_REGISTERED[how[0]][1])}({bind(how[1])}, ({''.join(f'{c}, ' for c in children)}))"
        case _:
            fields = (f"{f}={c}" for f, c in zip(how[1], children, strict=True))
            return f"{bind(how[0])}({', '.join(fields)})"


def paths(value: Any, prefix: str) -> list[str]:
    """How each leaf is reached, as a user would write it: carry['h'][0]."""
    if value is None:
        return []
    parts = _parts(value)
    if parts is None:
        return [prefix]
    return [p for text, child in parts[2] for p in paths(child, prefix + text)]


def describe(tree: Tree) -> str:
    """A structure in words: {'c': (leaf, None)}."""
    if tree in (LEAF, NONE):
        return "array" if tree == LEAF else "None"
    kind, how, trees = tree
    inner = [describe(t) for t in trees]
    match kind:
        case "dict":
            return "{" + ", ".join(f"{k!r}: {t}" for k, t in zip(how, inner, strict=True)) + "}"
        case "list":
            return "[" + ", ".join(inner) + "]"
        case "tuple":
            return "(" + ", ".join(inner) + ("," if len(inner) == 1 else "") + ")"
        case _:
            return f"{how[0].__name__}({', '.join(inner)})"


def _parts(value: Any) -> tuple[str, Any, list[tuple[str, Any]]] | None:
    if type(value) in _REGISTERED:
        children, aux = _REGISTERED[type(value)][0](value)
        return "registered", (type(value), aux), [(f"[{i}]", v) for i, v in enumerate(children)]
    if isinstance(value, dict):
        try:
            keys = sorted(value)
        except TypeError:
            keys = list(value)
        return "dict", tuple(keys), [(f"[{k!r}]", value[k]) for k in keys]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return "named", (type(value),), [(f".{f}", getattr(value, f)) for f in value._fields]
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return kind, len(value), [(f"[{i}]", v) for i, v in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = tuple(f.name for f in dataclasses.fields(value))
        return "dataclass", (type(value), fields), [(f".{f}", getattr(value, f)) for f in fields]
    return None


def _build(tree: Tree, leaves: Iterator[Any]) -> Any:
    if tree == LEAF:
        return next(leaves)
    if tree == NONE:
        return None
    kind, how, trees = tree
    children = [_build(t, leaves) for t in trees]
    match kind:
        case "dict":
            return dict(zip(how, children, strict=True))
        case "list":
            return children
        case "tuple":
            return tuple(children)
        case "named":
            return how[0](*children)
        case "registered":
            return _REGISTERED[how[0]][1](how[1], tuple(children))
        case _:
            return how[0](**dict(zip(how[1], children, strict=True)))
