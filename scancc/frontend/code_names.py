"""What a code object names: globals, attributes and texts, its nested functions included.

    def f(x): return x * rate + getattr(model, "bias")      globals: rate, getattr, model      texts: bias
"""

from __future__ import annotations

import dis
import os
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

import numpy as np

import scancc

OUR_OWN = tuple(os.path.join(os.path.dirname(m.__file__ or ""), "") for m in (scancc, np))
_PATHS = sysconfig.get_paths()
INSTALLED = tuple({_PATHS[k] + os.sep for k in ("purelib", "platlib")})
PYTHON = tuple({_PATHS[k] + os.sep for k in ("stdlib", "platstdlib")})

# Builtins, and methods of arrays, through which Python itself looks at the numbers of an array.
LOOKS = frozenset({
    "all", "any", "bool", "complex", "float", "int", "iter", "list", "max", "min", "next", "range", "round", "sorted",
    "str", "sum", "tuple",
})  # fmt: skip
METHODS_THAT_LOOK = frozenset({"item", "tobytes", "tolist"})


@dataclass(frozen=True)
class Names:
    """`looks`: whether the code can branch on, or take apart, what it has read."""

    globals: frozenset[str]
    attributes: frozenset[str]
    texts: frozenset[str]
    modules: frozenset[str]
    looks: bool


@lru_cache(maxsize=4096)
def names_in(code: CodeType) -> Names:
    found: dict[str, set[str]] = {"globals": set(), "attributes": set(), "texts": set(), "modules": set()}
    looks = False
    for i in dis.get_instructions(code):
        if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found["globals"].add(i.argval)
        elif i.opname in ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM", "LOAD_SUPER_ATTR"):
            found["attributes"].add(i.argval)
        elif i.opname == "IMPORT_NAME":
            found["modules"].add(i.argval)
        looks = looks or "JUMP" in i.opname and "IF" in i.opname or i.opname == "MATCH_SEQUENCE"
    for value in code.co_consts:
        if isinstance(value, str) and value.isidentifier():
            found["texts"].add(value)
        elif isinstance(value, tuple):
            found["texts"] |= {v for v in value if isinstance(v, str) and v.isidentifier()}
        elif isinstance(value, CodeType):
            inner = names_in(value)
            for kind, known in found.items():
                known |= getattr(inner, kind)
            looks = looks or inner.looks
    looks = looks or bool(LOOKS & found["globals"] or METHODS_THAT_LOOK & found["attributes"])
    return Names(*(frozenset(found[k]) for k in ("globals", "attributes", "texts", "modules")), looks)


def is_machinery(filename: str) -> bool:
    """Whether a file is part of Python, NumPy or this package: what its functions read does not change."""
    if filename.startswith(OUR_OWN) or filename.startswith("<frozen") or filename.startswith("<scancc"):
        return True
    return filename.startswith(PYTHON) and not filename.startswith(INSTALLED)


def package_of(filename: str) -> str | None:
    """The installed package that a file belongs to, if any."""
    for folder in INSTALLED:
        if filename.startswith(folder):
            return filename[len(folder) :].split(os.sep)[0]
    return None
