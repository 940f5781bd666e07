"""What CPython calls: from the objects of a call to the words of a kernel's arguments. One function for all kernels.

    entry(x, y0, a, n_x, y)  ->  words: where x, y0 and y have their elements; the numbers a and n_x
                                 kernel(words), without the interpreter's lock
                             ->  the kernel's code

An array is read from its header, whose layout is part of NumPy's C interface, without taking a reference: the caller
holds the arrays until the kernel returns. They are C-contiguous, aligned and native: the host's side of a call
(`host.py`) sees to it. A number is Python's own or one of NumPy's, of the very dtype.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from scancc_runtime.code import BYTE, BYTES, INT, INT32

from scancc.backends.llvm.interrupts import around
from scancc.backends.python_function import MANY_ARGUMENTS, PythonFunction
from scancc.ir.loop import Buffer, Var
from scancc.ir.types import in_memory

# Fields behind the head that all objects have, of PyArrayObject (`char *data; int nd; npy_intp *dimensions, *strides;
# PyObject *base; PyArray_Descr *descr; int flags`) and of PyArray_Descr (`PyTypeObject *typeobj; char kind, type,
# byteorder, _; int type_num`).
DATA, RANK, DIMENSIONS, STRIDES, DTYPE, FLAGS = (object.__basicsize__ + 8 * i for i in (0, 1, 2, 3, 5, 6))
NUMBER = object.__basicsize__ + 12
VALUE = object.__basicsize__  # where the value of a float, a complex number or a scalar of NumPy is
COUNT, ITEMS = object.__basicsize__, tuple.__basicsize__  # where the length of a tuple is, and its first item
TEXT = bytes.__basicsize__ - 1  # where the bytes of a bytes object are

# A description is the kernel's address, the numbers of words and of parameters, and these numbers of each parameter:
# axes, or -1 for a number; both numbers of the dtype; bytes of an element.
HEAD, ROW = 3, 4


class Description(bytes):
    """What the entry knows of a kernel. It keeps alive what the kernel needs."""

    kept: Any


def numbers_of(dtype: np.dtype) -> list[int]:
    """NumPy's numbers of a dtype: `long` and `long long` may be the same."""
    return sorted({np.dtype(c).num for c in np.typecodes["AllInteger"] + dtype.char if np.dtype(c) == dtype})


def entry_of(address: int, params: Sequence[Buffer | Var], returned: bool, kept: Any) -> Callable[..., int]:
    """The kernel, in its form of words, as CPython calls it; with `returned` it takes one more array, of words."""
    rows: list[int] = []
    words = 0
    for p in params:
        dtype = in_memory(p.dtype)
        numbers = numbers_of(dtype)
        array = isinstance(p, Buffer)
        rows += [len(p.shape) if isinstance(p, Buffer) else -1, numbers[0], numbers[-1], dtype.itemsize]
        words += 1 + (not array and dtype.itemsize > 8)
    if returned:
        number = np.dtype(np.int64).num
        rows += [1, number, number, 8]
        words += 1
    description = Description(struct.pack(f"{HEAD + len(rows)}q", address, words, len(rows) // ROW, *rows))
    description.kept = kept
    return _entry().bound_to(description)


def _entry() -> PythonFunction:
    global _made
    if _made is None:
        made = _Entry()
        made.compile(MANY_ARGUMENTS)
        _made = made
    return _made


_made: PythonFunction | None = None


class _Entry(PythonFunction):
    def __init__(self) -> None:
        super().__init__()
        b = self._builder
        self._text = b.bitcast(b.gep(self._function.args[0], [INT(TEXT)]), INT.as_pointer())
        given = self._field(self._argument, COUNT, INT)
        words = b.alloca(INT, self._described(INT(1)))
        wrong = self._block("wrong", self._raise)
        wrong_number = self._block("number", lambda b: b.ret(ir.Constant(BYTES, None)))
        self._demand(b.icmp_signed("==", given, self._described(INT(2))), to=wrong)
        head, body, array, number, ready = (
            self._function.append_basic_block(n) for n in ("head", "body", "array", "number", "ready")
        )
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        i, word = b.phi(INT), b.phi(INT)
        i.add_incoming(INT(0), before)
        word.add_incoming(INT(0), before)
        b.cbranch(b.icmp_signed("<", i, given), body, ready)

        b.position_at_end(body)
        item = b.load(b.bitcast(b.gep(self._argument, [b.add(INT(ITEMS), b.mul(i, INT(8)))]), BYTES.as_pointer()))
        row = b.add(INT(HEAD), b.mul(i, INT(ROW)))
        axes, first, second, size = (self._described(b.add(row, INT(k))) for k in range(ROW))
        place = b.gep(words, [word])
        following = b.add(i, INT(1))
        b.cbranch(b.icmp_signed(">=", axes, INT(0)), array, number)

        b.position_at_end(array)
        # An array that a step captured may have been given another dtype or rank since.
        kind = b.sext(self._field(self._field(item, DTYPE, BYTES), NUMBER, INT32), INT)
        fits = b.or_(b.icmp_signed("==", kind, first), b.icmp_signed("==", kind, second))
        fits = b.and_(fits, b.icmp_signed("==", b.sext(self._field(item, RANK, INT32), INT), axes))
        self._demand(fits, to=wrong)
        b.store(self._field(item, DATA, INT), place)
        i.add_incoming(following, b.block)
        word.add_incoming(b.add(word, INT(1)), b.block)
        b.branch(head)

        b.position_at_end(number)
        self._number(item, place, size, wrong_number)
        i.add_incoming(following, b.block)
        wide = b.icmp_signed(">", size, INT(8))
        word.add_incoming(b.add(word, b.select(wide, INT(2), INT(1))), b.block)
        b.branch(head)

        b.position_at_end(ready)
        thread = self._python("PyEval_SaveThread", BYTES)
        kernel = b.inttoptr(self._described(INT(0)), ir.FunctionType(INT, [INT.as_pointer()]).as_pointer())
        code, where_left = around(self._function, b, thread, lambda: b.call(kernel, [words]))
        where_left(lambda b: b.ret(ir.Constant(BYTES, None)))
        self._python("PyEval_RestoreThread", ir.VoidType(), thread)
        b.ret(self._python("PyLong_FromLongLong", BYTES, code))

    def _described(self, place: Any) -> Any:
        return self._builder.load(self._builder.gep(self._text, [place]))

    def _number(self, item: Any, place: Any, size: Any, wrong: Any) -> None:
        """The value of an int, a bool, a float, a scalar of NumPy or an array without axes."""
        b = self._builder
        own, truth, other, whole, done = (
            self._function.append_basic_block(n) for n in ("int", "bool", "other", "whole", "done")
        )
        b.cbranch(self._is(item, int), own, truth)
        b.position_at_end(own)
        value = self._python("PyLong_AsLongLong", INT, item)
        failed = b.and_(self._equal(value, -1), self._there(self._python("PyErr_Occurred", BYTES)))
        self._demand(b.not_(failed), to=wrong)
        own = b.block
        b.branch(whole)
        b.position_at_end(truth)
        holds = b.zext(self._equal(b.ptrtoint(item, INT), self._keep(True)), INT)
        b.cbranch(self._is(item, bool), whole, other)
        b.position_at_end(whole)
        both = b.phi(INT)
        both.add_incoming(value, own)
        both.add_incoming(holds, truth)
        b.store(both, place)
        b.branch(done)
        b.position_at_end(other)
        inside = b.gep(item, [INT(VALUE)])
        memory = b.select(self._is(item, np.ndarray), self._field(item, DATA, BYTES), inside)
        self._copy(memory, b.bitcast(place, BYTES), size)
        b.branch(done)
        b.position_at_end(done)

    def _copy(self, source: Any, target: Any, size: Any) -> None:
        b = self._builder
        before = b.block
        body, after = (self._function.append_basic_block(n) for n in ("copy", "end"))
        b.branch(body)
        b.position_at_end(body)
        k = b.phi(INT)
        k.add_incoming(INT(0), before)
        b.store(b.load(b.gep(source, [k])), b.gep(target, [k]))
        following = b.add(k, INT(1))
        k.add_incoming(following, body)
        b.cbranch(b.icmp_signed("<", following, size), body, after)
        b.position_at_end(after)

    def _raise(self, b: Any) -> None:
        text = b"an array has not the dtype and the axes any more that the program was compiled for\0"
        data = ir.GlobalVariable(self._module, ir.ArrayType(BYTE, len(text)), "text")
        data.initializer, data.global_constant = ir.Constant(data.type.pointee, bytearray(text)), True
        self._python("PyErr_SetString", ir.VoidType(), self._address(TypeError), b.bitcast(data, BYTES))
        b.ret(ir.Constant(BYTES, None))
