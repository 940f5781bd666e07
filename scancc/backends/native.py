"""A whole call as machine code: what `guards.py` and `host.py` write in Python, for programs that need no more.

    inputs -> tests -> lengths -> results and scratch -> kernel -> results, or MISS

It is made for one program of one process, so that it may hold addresses: of types and dtypes, of the kernel, of what
the program captured. Like a guard it takes only what needs no conversion, and answers MISS to everything else. That
goes for lengths beyond 64 bits, memory that is not there, and kernels that fail, too: the call is made again the
general way, where the errors are. Kernels that print are not called from here, so nobody sees that they ran twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from scancc_runtime.code import memory_type

from scancc.backends.entry import COUNT, DATA, DIMENSIONS, DTYPE, FLAGS, ITEMS, RANK, VALUE
from scancc.backends.guards import Leaf, number_types
from scancc.backends.llvm.interrupts import around
from scancc.backends.llvm.kernel import ALIGNMENT
from scancc.backends.machine_code import MachineCode
from scancc.backends.python_function import BIT, BYTES, INT, INT32, VOID, PythonFunction, numpy_function
from scancc.ir.graph import Graph, Node
from scancc.ir.loop import Buffer, Const, Expr, Op, Var
from scancc.ir.types import in_memory
from scancc.passes.lower import Lowered

CARRAY = 0x1 | 0x100 | 0x400  # flags of an array that is C-contiguous, aligned and writable
EMPTY, ZEROS = 184, 183  # PyArray_Empty and PyArray_Zeros in the table of NumPy's C interface
ARITHMETIC = {"add": "sadd_with_overflow", "subtract": "ssub_with_overflow", "multiply": "smul_with_overflow"}
BETWEEN = {
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
    "minimum": "<", "maximum": ">",
}  # fmt: skip
LARGEST = np.iinfo(np.int64).max

Length = Any  # an int where it is known, otherwise a value of the code


class NotNative(Exception):
    """A call of the program needs more than is done here."""


def native_call(
    code: MachineCode, graph: Graph, lowered: Lowered, captured: Sequence[np.ndarray],
    constants: Mapping[Buffer, np.ndarray], leaves: Sequence[Leaf],
) -> Callable[[tuple], Any] | None:  # fmt: skip
    """A function of the tuple of inputs, but for the last ones, which were captured; None if there is none.

    It returns the tuple of the buffers that hold results, each once, or the only one as it is; scalars have no axes.
    `leaves` says of the inputs that are given which numbers they may be.
    """
    if lowered.kernel.returned or lowered.executed or not lowered.results or not code.pure:
        return None
    try:
        return NativeCall(code, graph, lowered, captured, constants, leaves).function()
    except NotNative:
        return None


def result_buffers(lowered: Lowered) -> list[Buffer]:
    return list(dict.fromkeys(buffer for buffer, _ in lowered.results.values()))


class NativeCall(PythonFunction):
    def __init__(
        self, code: MachineCode, graph: Graph, lowered: Lowered, captured: Sequence[np.ndarray],
        constants: Mapping[Buffer, np.ndarray], leaves: Sequence[Leaf],
    ) -> None:  # fmt: skip
        super().__init__()
        self._code, self._lowered = code, lowered
        self._kept.append(code)
        # What is to be undone where the call goes no further; each object that is made adds one to it.
        self._undo = self._block("undo", lambda b: (self._python("PyErr_Clear", VOID), b.branch(self._miss)))
        self._types = {p.name: memory_type(in_memory(p.dtype)) for p in lowered.kernel.params}
        self._values: dict[str, list[Any]] = {}  # of the kernel's parameters: an address, or the parts of a number
        self._known: dict[str, Length] = {}  # integers that lengths are computed from
        self._objects: dict[Buffer | None, Any] = {}  # arrays that the call makes; None: scratch memory
        axes = [len(x.shape) for x in lowered.allocated]
        self._shape = self._builder.alloca(INT, max([1, *axes]))  # of an array that is being made

        self._inputs(graph, captured, leaves)
        for buffer, value in constants.items():
            self._kept.append(value)
            self._array(buffer.name, self._pointer(value.ctypes.data))
        self._buffers(graph)
        self._call()

    # -- inputs --------------------------------------------------------------------------------------------------

    def _inputs(self, graph: Graph, captured: Sequence[np.ndarray], leaves: Sequence[Leaf]) -> None:
        arguments, given = self._argument, len(graph.inputs) - len(captured)
        self._demand(self._equal(self._field(arguments, COUNT, INT), given))
        lengths = {(name, axis): var.name for var, name, axis in self._lowered.lengths}
        for i, (node, param) in enumerate(zip(graph.inputs, self._lowered.kernel.params, strict=False)):
            if i < given:
                value = self._field(arguments, ITEMS + 8 * i, BYTES)
            else:
                # The user may have changed it in place since: its elements, but also its flags, shape and dtype.
                value = self._address(captured[i - given])
            if node.type.ndim or i >= given:
                self._input_array(param.name, node, value, lengths)
            else:
                self._number(param.name, node.type.dtype, value, leaves[i])

    def _input_array(self, name: str, node: Node, value: Any, lengths: Mapping[tuple[str, int], str]) -> None:
        b, shape = self._builder, node.type.shape
        self._demand(self._is(value, np.ndarray))
        # The one object that NumPy has for a dtype is of native byte order; others are taken the general way.
        same = self._equal(self._field(value, DTYPE, INT), self._keep(np.dtype(node.type.dtype.type)))
        rank = self._equal(self._field(value, RANK, INT32), len(shape))
        flags = self._equal(b.and_(self._field(value, FLAGS, INT32), INT32(CARRAY)), CARRAY)
        self._demand(same, rank, flags)
        memory = self._field(value, DATA, BYTES)
        if not shape:
            self._is_number(name, node.type.dtype, memory)
            return
        there = self._field(value, DIMENSIONS, BYTES)
        read = [self._field(there, 8 * axis, INT) for axis in range(len(shape))]
        self._demand(*[self._equal(n, d) for n, d in zip(read, shape, strict=True) if isinstance(d, int)])
        for axis, n in enumerate(read):
            variable = lengths.get((node.attrs["name"], axis))
            if variable is not None:
                self._values[variable], self._known[variable] = [n], n
        self._array(name, memory)

    def _number(self, name: str, dtype: np.dtype, value: Any, leaf: Leaf) -> None:
        """A number of one of the types that are taken for the dtype, from where its object has it."""
        b, kinds, count = self._builder, number_types(leaf, dtype), leaf.count
        stored = [self._is(value, kind) for kind in kinds if kind not in (int, bool)]
        memory = b.gep(value, [INT(VALUE)])
        if int in kinds or bool in kinds:
            # Python's own have their value elsewhere.
            place = b.alloca(self._types[name])
            filled = b.bitcast(place, BYTES)
            own, other, found = (self._function.append_basic_block(n) for n in ("own", "other", "found"))
            b.cbranch(self._is(value, int if int in kinds else bool), own, other)
            b.position_at_end(own)
            if int in kinds:
                integer = self._python("PyLong_AsLongLong", INT, value)
                with b.if_then(self._equal(integer, -1), likely=False):  # the number, or an error
                    self._demand(self._equal(b.ptrtoint(self._python("PyErr_Occurred", BYTES), INT), 0), to=self._undo)
                if count:
                    self._demand(b.icmp_signed(">=", integer, INT(0)))
                b.store(integer, place)
            else:
                b.store(b.zext(self._equal(b.ptrtoint(value, INT), self._keep(True)), place.type.pointee), place)
            own = b.block
            b.branch(found)
            b.position_at_end(other)
            self._demand(reduce(b.or_, stored, BIT(0)))
            other = b.block
            b.branch(found)
            b.position_at_end(found)
            chosen = b.phi(BYTES)
            chosen.add_incoming(filled, own)
            chosen.add_incoming(memory, other)
            memory = chosen
        else:
            self._demand(reduce(b.or_, stored))
        self._is_number(name, dtype, memory)

    def _is_number(self, name: str, dtype: np.dtype, memory: Any) -> None:
        """A parameter of the kernel that lies in memory."""
        b = self._builder
        place = b.bitcast(memory, self._types[name].as_pointer())
        if dtype.kind == "c":
            self._values[name] = [b.load(b.gep(place, [INT32(0), INT32(part)])) for part in (0, 1)]
            return
        value = b.load(place)
        self._values[name] = [value]
        if dtype.kind in "bi":
            wider = b.zext if dtype.kind == "b" else b.sext
            self._known[name] = wider(value, INT) if dtype.itemsize < 8 else value

    # -- lengths -------------------------------------------------------------------------------------------------

    def _length(self, e: Expr) -> Length:
        """An integer; whatever leaves 64 bits is a MISS."""
        b = self._builder
        match e:
            case Const(value, dtype) if dtype.kind in "ib":
                return int(value)
            case Var(name, _):
                if name not in self._known:
                    if name not in self._lowered.definitions:
                        raise NotNative
                    self._known[name] = self._length(self._lowered.definitions[name])
                return self._known[name]
            case Op("cast", (x,), dtype) if dtype == np.int64 and x.dtype.kind in "ib":
                return self._length(x)
            case Op("where", (condition, x, y), _):
                return b.select(self._equal(_int(self._length(condition)), 0), *map(_int, map(self._length, (y, x))))
            case Op(name, (x, y), dtype) if name in ARITHMETIC and dtype == np.int64:
                return self._checked(name, self._length(x), self._length(y))
            case Op(name, (x, y), dtype) if name in BETWEEN and x.dtype.kind in "ib" and y.dtype.kind in "ib":
                one, two = _int(self._length(x)), _int(self._length(y))
                found = b.icmp_signed(BETWEEN[name], one, two)
                return b.select(found, one, two) if name in ("minimum", "maximum") else b.zext(found, INT)
            case Op("floor_divide" | "remainder" as name, (x, y), dtype) if dtype == np.int64:
                one, two = _int(self._length(x)), _int(self._length(y))
                self._demand(b.icmp_signed(">", two, INT(0)))
                rest = b.srem(one, two)
                below = b.icmp_signed("<", rest, INT(0))
                if name == "remainder":
                    return b.select(below, b.add(rest, two), rest)
                return b.sub(b.sdiv(one, two), b.zext(below, INT))
            case _:
                raise NotNative

    def _checked(self, operator: str, x: Length, y: Length) -> Length:
        if isinstance(x, int) and isinstance(y, int):
            known = int(getattr(np, operator)(x, y, dtype=object))
            if abs(known) > LARGEST:
                raise NotNative
            return known
        b = self._builder
        both = getattr(b, ARITHMETIC[operator])(_int(x), _int(y))
        self._demand(b.not_(b.extract_value(both, 1)))
        return b.extract_value(both, 0)

    def _rows(self, d: Expr) -> Length:
        """A length of a buffer; counts that are computed may be negative."""
        n, b = self._length(d), self._builder
        return max(n, 0) if isinstance(n, int) else b.select(b.icmp_signed(">", n, INT(0)), n, INT(0))

    # -- memory --------------------------------------------------------------------------------------------------

    def _buffers(self, graph: Graph) -> None:
        """Arrays for results, and one for all scratch memory that does not lie on the stack; zeros come from NumPy.

        A cache line lies between two of scratch memory: a loop may go through a hundred of them at once, and arrays of
        4 kB next to one another would share the few lines of one set of the cache.
        """
        b, lowered = self._builder, self._lowered
        returned = set(result_buffers(lowered))
        scalars = {lowered.results[k][0] for k, n in graph.results.items() if k in lowered.results and not n.type.ndim}
        own = self._code.stack  # memory that the kernel has on its stack
        shapes = {x: [self._rows(d) for d in x.shape] for x in lowered.allocated if x.name not in own}
        total: Length = 0
        places: dict[Buffer, Length] = {}
        for buffer, shape in shapes.items():
            if buffer not in returned and buffer.role != "zeros":
                places[buffer] = total
                size: Length = in_memory(buffer.dtype).itemsize
                for n in shape:
                    size = self._checked("multiply", size, n)
                up = _int(self._checked("add", size, 2 * ALIGNMENT - 1))
                total = self._checked("add", total, b.and_(up, INT(-ALIGNMENT)))
        for buffer, shape in shapes.items():
            if buffer not in places:
                axes = [] if buffer in scalars and len(shape) == 1 else shape
                array = self._new(buffer, axes, buffer.dtype, ZEROS if buffer.role == "zeros" else EMPTY)
                self._array(buffer.name, self._field(array, DATA, BYTES))
        if places:
            memory = self._field(self._new(None, [total], np.dtype(np.uint8), EMPTY), DATA, BYTES)
            for buffer, place in places.items():
                self._array(buffer.name, b.gep(memory, [_int(place)]))

    def _new(self, buffer: Buffer | None, shape: Sequence[Length], dtype: np.dtype, maker: int) -> Any:
        """A new array; MISS where there is no memory for it."""
        b = self._builder
        for axis, n in enumerate(shape):
            b.store(_int(n), b.gep(self._shape, [INT(axis)]))
        kind = self._address(dtype)
        self._python("Py_IncRef", VOID, kind)  # the maker takes the reference
        ty = ir.FunctionType(BYTES, [INT32, INT.as_pointer(), BYTES, INT32])
        function = b.inttoptr(INT(numpy_function(maker)), ty.as_pointer())
        array = b.call(function, [INT32(len(shape)), self._shape, kind, INT32(0)])
        self._demand(self._there(array), to=self._undo)
        before = self._undo
        self._undo = self._block("undo", lambda b: (self._python("Py_DecRef", VOID, array), b.branch(before)))
        self._objects[buffer] = array
        return array

    def _array(self, name: str, memory: Any) -> None:
        self._values[name] = [self._builder.bitcast(memory, self._types[name].as_pointer())]

    # -- the kernel ----------------------------------------------------------------------------------------------

    def _call(self) -> None:
        b = self._builder
        params = [p for p in self._lowered.kernel.params if p.name not in self._code.stack]
        values = [v for p in params for v in self._values[p.name]]
        kernel = self._code.address  # made here, where it was not before
        ty = ir.FunctionType(INT, [v.type for v in values])
        thread = self._python("PyEval_SaveThread", BYTES)
        code, where_left = around(
            self._function, b, thread, lambda: b.call(b.inttoptr(INT(kernel), ty.as_pointer()), values)
        )
        where_left(self._give_up)
        self._python("PyEval_RestoreThread", VOID, thread)
        self._demand(self._equal(code, 0), to=self._undo)
        results = [self._objects[buffer] for buffer in result_buffers(self._lowered)]
        answer = results[0]
        if len(results) > 1:
            answer = self._python("PyTuple_New", BYTES, INT(len(results)))
            self._demand(self._there(answer), to=self._undo)
            for i, array in enumerate(results):
                b.store(array, b.bitcast(b.gep(answer, [INT(ITEMS + 8 * i)]), BYTES.as_pointer()))
        for array in self._objects.values():
            if not any(array is r for r in results):
                self._python("Py_DecRef", VOID, array)
        b.ret(answer)

    def _give_up(self, b: Any) -> None:
        """The kernel was left, and an error is set."""
        for array in self._objects.values():
            self._python("Py_DecRef", VOID, array)
        b.ret(ir.Constant(BYTES, None))


def _int(n: Length) -> Any:
    return INT(n) if isinstance(n, int) else n
