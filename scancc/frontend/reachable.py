"""Finds what a function can read when it is traced: the places that `captures.py` looks at again.

From the function it follows globals that its code names, closure cells, defaults, the functions, methods and callable
objects among them, elements of lists, tuples and dicts, and those attributes of objects, classes and modules whose
names stand in the code. That is more than a trace reads, and never less, as long as names are written in the code:
what is found and did not matter costs a comparison. Functions of Python and NumPy, and builtins, are taken as fixed.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from enum import Enum
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from scancc.frontend.captures import MISSING, Captures, Read
from scancc.frontend.code_names import Names, is_machinery, names_in, package_of
from scancc.frontend.operators import ArrayOperators

# Nothing can be read of these that could change.
_CLOSED = (int, float, complex, bool, bytes, type(None), np.generic, np.dtype, np.ufunc, ArrayOperators, Enum,
           BuiltinFunctionType)  # fmt: skip
# Special methods that no trace calls, and what makes objects show all that they have.
_UNCALLED = frozenset({
    "__repr__", "__str__", "__format__", "__hash__", "__eq__", "__reduce__", "__reduce_ex__", "__getstate__",
    "__setstate__", "__del__", "__init_subclass__", "__class_getitem__", "__dir__", "__sizeof__",
})  # fmt: skip
_MAKING = frozenset({"__init__", "__new__", "__post_init__", "__setattr__"})
_WHOLE = frozenset({"vars", "__dict__", "asdict", "astuple", "fields", "dir"})


def captures_of(fn: Callable, *others: Any) -> Captures:
    """What `fn` can read now, and what can be read of `others`, which it is given as they are."""
    names, texts, known = frozenset[str](), frozenset[str](), -1
    while True:
        search = _Search(fn, others, names, texts)
        found = search.names | names, search.texts | texts
        if len(found[0]) + len(found[1]) == known:
            return Captures(search.reads, search.arrays, search.looks)
        names, texts = found
        known = len(names) + len(texts)


class _Search:
    """One walk with the names that are known so far; it finds further ones."""

    def __init__(self, fn: Callable, others: tuple, names: frozenset[str], texts: frozenset[str]) -> None:
        self.reads: list[Read] = []
        self.arrays: list[np.ndarray] = []
        self.looks = False
        self.names: set[str] = set(names)
        self.texts: set[str] = set(texts)
        self._asked = names | texts
        self._optional = texts
        self._whole = bool(_WHOLE & names)
        self._seen: dict[int, Any] = {}  # kept alive, so that ids stay their own
        self._places: set[tuple] = set()
        code = getattr(getattr(fn, "__func__", fn), "__code__", None)
        self._package = package_of(code.co_filename) if code is not None else None
        self._waiting: deque[Any] = deque([fn, *others])
        while self._waiting:
            self._visit(self._waiting.popleft())

    def _read(self, kind: str, holder: Any, key: Any, value: Any) -> None:
        place = (kind, id(holder), key)
        if place not in self._places:
            self._places.add(place)
            if not isinstance(value, CellType) and not self._is_fixed(value):
                self.reads.append(Read(kind, holder, key, value))
        self._waiting.append(value)

    def _visit(self, value: Any) -> None:
        if isinstance(value, str):
            if value.isidentifier():
                self.texts.add(value)  # perhaps the name of an attribute
            return
        if value is MISSING or isinstance(value, _CLOSED) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        match value:
            case np.ndarray():
                if value.dtype.kind in "biufcV":
                    self.arrays.append(value)
            case FunctionType():
                self._function(value)
            case MethodType():
                self._waiting += [value.__func__, value.__self__]
            case functools.partial():
                self._waiting += [value.func, value.args, value.keywords]
            case staticmethod() | classmethod():
                self._waiting.append(value.__func__)
            case property():
                self._waiting.append(value.fget)
            case functools.cached_property():
                self._waiting.append(value.func)
            case ModuleType():
                self._module(value)
            case type():
                self._class(value)
            case ContextVar():
                self._read("context", value, None, value.get(MISSING))
            case tuple() | frozenset():
                self._waiting += value
            case list() | deque():
                self._read("elements", value, None, tuple(value))
            case set():
                self._read("members", value, None, frozenset(value))
            case _:
                if isinstance(value, dict):
                    self._read("elements", value, None, tuple(value))
                    for k, v in list(value.items()):
                        self._read("item", value, k, v)
                self._object(value)

    # -- functions -----------------------------------------------------------------------------------------------
    def _function(self, fn: FunctionType) -> None:
        code = fn.__code__
        cells = list(zip(code.co_freevars, fn.__closure__ or (), strict=True))
        if self._is_foreign(code.co_filename):
            # What it is made of does not change; functions of the user may be among it.
            self._waiting += [c.cell_contents for _, c in cells if _filled(c)]
            self._waiting.append(getattr(fn, "__wrapped__", MISSING))
            return
        names = names_in(code)
        self._note(names)
        for name in sorted(names.globals):
            found = fn.__globals__.get(name, MISSING)
            if found is not MISSING or name not in _BUILTINS:
                self._read("item", fn.__globals__, name, found)
        for name in names.modules:
            self._waiting.append(sys.modules.get(name, MISSING))
        for name, cell in cells:
            if _filled(cell) and name != "__class__":
                self._read("cell", cell, name, cell.cell_contents)
        if fn.__defaults__ is not None:
            self._read("attribute", fn, "__defaults__", fn.__defaults__)
        if fn.__kwdefaults__ is not None:
            self._read("attribute", fn, "__kwdefaults__", fn.__kwdefaults__)
        if hasattr(fn, "__wrapped__"):
            self._waiting.append(fn.__wrapped__)
        self._attributes(fn.__dict__)

    def _note(self, names: Names) -> None:
        self.names |= names.attributes
        self.texts |= names.texts
        if _WHOLE & names.globals:
            self.names |= _WHOLE
        self.looks = self.looks or names.looks

    def _is_foreign(self, filename: str) -> bool:
        package = package_of(filename)
        return is_machinery(filename) or package is not None and package != self._package

    def _is_fixed(self, value: Any) -> bool:
        return isinstance(value, ModuleType) and self._is_fixed_module(value)

    def _is_fixed_module(self, module: ModuleType) -> bool:
        name = module.__name__.split(".")[0]
        return name in ("numpy", "scancc") or name in sys.stdlib_module_names and name != "__main__"

    # -- what has attributes -------------------------------------------------------------------------------------
    def _module(self, module: ModuleType) -> None:
        filename = getattr(module, "__file__", None) or ""
        if not self._is_fixed_module(module) and not self._is_foreign(filename):
            self._attributes(vars(module))

    def _attributes(self, holder: dict[str, Any], others: Iterable[str] = ()) -> None:
        """Those of the dict of an object or module that the code names."""
        every = holder if self._whole else (n for n in self._asked if n in holder)
        for name in sorted(n for n in {*every, *others} if isinstance(n, str)):
            self._read("item", holder, name, holder.get(name, MISSING))

    def _class(self, cls: type) -> None:
        for c in cls.__mro__:
            if self._is_foreign_class(c):
                continue
            for name, value in list(vars(c).items()):
                special = name.startswith("__")
                if special and isinstance(value, FunctionType) and name in _MAKING:
                    self._waiting.append(value)
                elif special and isinstance(value, FunctionType) and name not in _UNCALLED:
                    self._read("class", c, name, value)
                elif not special and name in self._asked:
                    self._read("class", c, name, value)

    def _is_foreign_class(self, cls: type) -> bool:
        module = sys.modules.get(cls.__module__)
        if cls.__module__ == "__main__" or module is None:
            return False
        filename = getattr(module, "__file__", None)
        return self._is_fixed_module(module) or bool(filename) and self._is_foreign(str(filename))

    def _object(self, value: Any) -> None:
        cls = type(value)
        if cls.__module__.split(".")[0] == "scancc":
            own = getattr(value, "__dict__", {})
            self._waiting += [v for v in own.values() if callable(v)]  # what it is made of
            if "rules" in own:  # of a function with derivatives of the user's own, which may be given anew
                self._read("item", own, "rules", own["rules"])
            return
        if isinstance(value, threading.local):
            self._class(cls)
            for name in sorted(n for n in self._asked if hasattr(value, n) and not hasattr(cls, n)):
                self._read("attribute", value, name, getattr(value, name))
            return
        own = _dict_of(value)
        if self._is_foreign_class(cls):
            if isinstance(own, dict):
                self._attributes(own)
            return
        self._class(cls)
        inherited = [n for n in self._asked if not n.startswith("__") and _of_class(cls, n)]
        fields = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        if isinstance(own, dict):
            self._attributes(own, [*inherited, *self._optional, *(n for n in fields if n in own)])
        for c in cls.__mro__:
            slots = vars(c).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if name in self._asked or name in fields or self._whole:
                    self._read("attribute", value, name, getattr(value, name, MISSING))


def _dict_of(value: Any) -> Any:
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None


def _of_class(cls: type, name: str) -> bool:
    """Whether a class has a plain value under a name, which an attribute of the object would hide."""
    found = next((vars(c)[name] for c in cls.__mro__ if name in vars(c)), MISSING)
    return found is not MISSING and not hasattr(type(found), "__set__")


def _filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


_BUILTINS = vars(sys.modules["builtins"])
