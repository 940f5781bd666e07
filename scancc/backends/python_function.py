"""Functions of one Python object as machine code, written with llvmlite and called by CPython as they are.

They are made in one process and for it, so that they may hold addresses of objects, which they keep alive.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir

from scancc.backends.guards import MISS
from scancc.backends.llvm.engine import loaded

TYPE = object.__basicsize__ - 8  # where an object's type is
ONE_ARGUMENT, MANY_ARGUMENTS = 0x8, 0x1  # METH_O; METH_VARARGS, a tuple of them

VOID, BIT, INT32, INT = ir.VoidType(), ir.IntType(1), ir.IntType(32), ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()


class Definition(ctypes.Structure):
    """PyMethodDef: what CPython makes a function from."""

    _fields_ = [("name", ctypes.c_char_p), ("address", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("text", ctypes.c_char_p)]  # fmt: skip


NEW_FUNCTION = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.POINTER(Definition), ctypes.py_object, ctypes.c_void_p)(
    ("PyCFunction_NewEx", ctypes.pythonapi)
)
IN_CAPSULE = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class PythonFunction:
    """A function under construction. Wherever a demand is not met it returns MISS."""

    def __init__(self) -> None:
        self._kept: list[Any] = []  # objects whose addresses the code holds
        self._module = ir.Module("call")
        self._function = ir.Function(self._module, ir.FunctionType(BYTES, [BYTES, BYTES]), "call")
        self._argument = self._function.args[1]
        self._builder = ir.IRBuilder(self._function.append_basic_block("entry"))
        self._miss = self._block("miss", lambda b: (self._python("Py_IncRef", VOID, self._address(MISS)),
                                                    b.ret(self._address(MISS))))  # fmt: skip

    def compile(self, arguments: int) -> None:
        """Make its machine code, of a function of one argument or of many."""
        code = loaded(str(self._module), ["call"])
        self._kept.append(code)
        self._definition = Definition(b"call", code.addresses["call"], arguments, None)

    def bound_to(self, value: Any) -> Callable[..., Any]:
        """As CPython calls it. `value` is its `self`, which has to keep alive what the function needs."""
        made: Callable[..., Any] = NEW_FUNCTION(self._definition, value, None)
        return made

    def function(self) -> Callable[[Any], Any]:
        """The function of one argument, whose `self` holds what it needs to live."""
        self.compile(ONE_ARGUMENT)
        return self.bound_to((self._definition, *self._kept))

    def _block(self, name: str, fill: Callable[[Any], Any]) -> Any:
        block = self._function.append_basic_block(name)
        with self._builder.goto_block(block):
            fill(self._builder)
        return block

    def _demand(self, *conditions: Any, to: Any = None) -> None:
        if conditions:
            after = self._function.append_basic_block("then")
            self._builder.cbranch(reduce(self._builder.and_, conditions), after, to or self._miss)
            self._builder.position_at_end(after)

    def _python(self, name: str, returned: Any, *given: Any) -> Any:
        """A call of a function of CPython's."""
        function = self._module.globals.get(name)
        if function is None:
            function = ir.Function(self._module, ir.FunctionType(returned, [g.type for g in given]), name)
        return self._builder.call(function, given)

    def _field(self, base: Any, offset: int, kind: Any) -> Any:
        """What lies in an object at an offset."""
        b = self._builder
        return b.load(b.bitcast(b.gep(base, [INT(offset)]), kind.as_pointer()))

    def _keep(self, value: Any) -> int:
        """The address of an object that lives as long as the code."""
        self._kept.append(value)
        return id(value)

    def _address(self, value: Any) -> Any:
        return self._pointer(self._keep(value))

    def _pointer(self, address: int) -> Any:
        return INT(address).inttoptr(BYTES)

    def _is(self, value: Any, kind: type) -> Any:
        """Whether an object is of this very type."""
        return self._equal(self._field(value, TYPE, INT), self._keep(kind))

    def _equal(self, x: Any, y: int) -> Any:
        return self._builder.icmp_signed("==", x, x.type(y))

    def _there(self, pointer: Any) -> Any:
        return self._builder.icmp_unsigned("!=", pointer, ir.Constant(BYTES, None))


def numpy_function(number: int) -> int:
    """The address of a function of NumPy's C interface, by its place in the table."""
    table = IN_CAPSULE(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[number])  # type: ignore[arg-type]
