"""A whole call as machine code: what `guards.py` and `host.py` write in Python, for programs that need no more.

    inputs -> tests -> lengths -> results and scratch -> kernel -> results, or MISS

It is made for one program of one process, so that it may hold addresses: of types and dtypes, of the kernel, of what
the program captured. Like a guard it takes only what needs no conversion, and answers MISS to everything else. That
goes for lengths beyond 64 bits, memory that is not there, and kernels that fail, too: the call is made again the
general way, where the errors are. Kernels that print are not called from here, so nobody sees that they ran twice.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.compiler_lock import global_compiler_lock

from scancc.backends.entry import (
    ALIGNMENT, DATA, DIMENSIONS, DTYPE, FLAGS, RANK, array_at, array_on_stack, field,
)  # fmt: skip
from scancc.backends.guards import MISS, NUMBERS
from scancc.backends.machine_code import MachineCode
from scancc.ir.graph import Graph, Node
from scancc.ir.loop import Buffer, Const, Expr, Op, Var
from scancc.ir.types import in_memory
from scancc.passes.lower import Lowered

HEAD = object.__basicsize__
TYPE = HEAD - 8  # where an object's type is
VALUE = HEAD  # where the value of a float, a complex number or a scalar of NumPy is
COUNT, ITEMS = HEAD, tuple.__basicsize__  # where the length of a tuple is, and its first item
CARRAY = 0x1 | 0x100 | 0x400  # flags of an array that is C-contiguous, aligned and writable
EMPTY, ZEROS = 184, 183  # PyArray_Empty and PyArray_Zeros in the table of NumPy's C interface
ONE_ARGUMENT = 0x8  # METH_O

BYTES, INT, INT32 = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
COMPARISONS = {
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
    "minimum": "<", "maximum": ">",
}  # fmt: skip
ARITHMETIC = {"add": "sadd", "subtract": "ssub", "multiply": "smul"}


class Definition(ctypes.Structure):
    """PyMethodDef: what a function of CPython is made from."""

    _fields_ = [("name", ctypes.c_char_p), ("address", ctypes.c_void_p), ("flags", ctypes.c_int),
                ("text", ctypes.c_char_p)]  # fmt: skip


class NotNative(Exception):
    """A call of the program needs more than is done here."""


def native_call(
    code: MachineCode, graph: Graph, lowered: Lowered, stacked: Mapping[str, tuple[int, ...]],
    captured: Sequence[np.ndarray], constants: Mapping[Buffer, np.ndarray], counts: Sequence[bool],
) -> Callable[[tuple], Any] | None:  # fmt: skip
    """A function of the tuple of inputs, but for the last ones, which were captured; None if there is none.

    It returns the tuple of the buffers that hold results, each once, or the only one as it is; scalars have no axes.
    `counts` says of the inputs given whether they are numbers of steps. The other arguments are those of `host_function`.
    """
    if lowered.kernel.returned or lowered.executed or not lowered.results or not code.pure:
        return None
    try:
        with global_compiler_lock:  # numba's
            return NativeCall(code, graph, lowered, stacked, captured, constants, counts).function()
    except NotNative:
        return None


def result_buffers(lowered: Lowered) -> list[Buffer]:
    return list(dict.fromkeys(buffer for buffer, _ in lowered.results.values()))


class NativeCall:
    def __init__(
        self, code: MachineCode, graph: Graph, lowered: Lowered, stacked: Mapping[str, tuple[int, ...]],
        captured: Sequence[np.ndarray], constants: Mapping[Buffer, np.ndarray], counts: Sequence[bool],
    ) -> None:  # fmt: skip
        self._code, self._lowered = code, lowered
        self._kept: list[Any] = [code, MISS]  # whose addresses the code holds
        self._context = code.compiled.target_context
        module = self._context.create_module("call")
        self._function = ir.Function(module, ir.FunctionType(BYTES, [BYTES, BYTES]), f"call.{id(self)}")
        self._builder = ir.IRBuilder(self._function.append_basic_block("entry"))
        self._api = self._context.get_python_api(self._builder)
        self._miss = self._function.append_basic_block("miss")
        self._undo = self._function.append_basic_block("undo")
        self._types = {p.name: ty for p, ty in zip(lowered.kernel.params, code.signature, strict=True)}
        self._values: dict[str, Any] = {}  # of the kernel's parameters
        self._known: dict[str, Any] = {}  # integers that lengths are computed from
        self._objects: dict[Buffer, Any] = {}  # arrays that the call makes, by what they are for
        self._made: dict[Any, Any] = {}  # all objects that it makes, by where they are noted for the undoing

        self._inputs(graph, captured, counts)
        for buffer, value in constants.items():
            memory = INT(value.ctypes.data).inttoptr(BYTES)
            self._kept.append(value)
            self._array(buffer.name, memory, [INT(n) for n in value.shape])
        self._buffers(graph, stacked)
        self._call()
        with self._builder.goto_block(self._undo):
            for place in self._made:
                self._api.decref(self._builder.load(place))
            self._api.err_clear()
            self._builder.branch(self._miss)
        with self._builder.goto_block(self._miss):
            miss = self._address(MISS)
            self._api.incref(miss)
            self._builder.ret(miss)
        self._library = self._context.codegen().create_library("call")
        self._library.add_ir_module(module)
        self._library.finalize()

    def function(self) -> Callable[[tuple], Any]:
        """As CPython calls it. Its `self` holds what it needs to live."""
        address = self._library.get_pointer_to_function(self._function.name)
        definition = Definition(b"call", address, ONE_ARGUMENT, None)
        make = ctypes.pythonapi.PyCFunction_NewEx
        make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(Definition), ctypes.py_object, ctypes.c_void_p]
        made: Callable[[tuple], Any] = make(definition, (definition, self._library, *self._kept), None)
        return made

    # -- inputs --------------------------------------------------------------------------------------------------

    def _inputs(self, graph: Graph, captured: Sequence[np.ndarray], counts: Sequence[bool]) -> None:
        arguments, given = self._function.args[1], len(graph.inputs) - len(captured)
        self._demand(self._equal(field(self._builder, arguments, COUNT, INT), given))
        lengths = {(name, axis): var.name for var, name, axis in self._lowered.lengths}
        for i, (node, param) in enumerate(zip(graph.inputs, self._lowered.kernel.params, strict=False)):
            if i < given:
                value = field(self._builder, arguments, ITEMS + 8 * i, BYTES)
            else:
                # The user may have changed it in place since: its elements, but also its flags, shape and dtype.
                value = self._address(captured[i - given])
            if node.type.ndim or i >= given:
                self._input_array(param.name, node, value, lengths)
            else:
                self._number(param.name, node.type.dtype, value, counts[i])

    def _input_array(self, name: str, node: Node, value: Any, lengths: Mapping[tuple[str, int], str]) -> None:
        b, shape = self._builder, node.type.shape
        self._demand(self._is(value, np.ndarray))
        # The one object that NumPy has for a dtype is of native byte order; others are taken the general way.
        same = self._equal(field(b, value, DTYPE, INT), self._keep(np.dtype(node.type.dtype.type)))
        rank = b.icmp_signed("==", field(b, value, RANK, INT32), INT32(len(shape)))
        flags = b.and_(field(b, value, FLAGS, INT32), INT32(CARRAY))
        self._demand(reduce(b.and_, (same, rank, b.icmp_signed("==", flags, INT32(CARRAY)))))
        memory = field(b, value, DATA, BYTES)
        if not shape:
            self._scalar(name, memory)
            return
        there = field(b, value, DIMENSIONS, INT.as_pointer())
        read = [b.load(cgutils.gep_inbounds(b, there, axis)) for axis in range(len(shape))]
        fixed = [self._equal(n, d) for n, d in zip(read, shape, strict=True) if isinstance(d, int)]
        if fixed:
            self._demand(reduce(b.and_, fixed))
        for axis, n in enumerate(read):
            variable = lengths.get((node.attrs["name"], axis))
            if variable is not None:
                self._values[variable] = self._known[variable] = n
        self._array(name, memory, read)

    def _number(self, name: str, dtype: np.dtype, value: Any, count: bool) -> None:
        b = self._builder
        kinds = [int] if count else NUMBERS[dtype]
        done = self._function.append_basic_block("number")
        kept = cgutils.alloca_once(b, self._context.get_value_type(self._types[name]))
        if int in kinds:
            with b.if_then(self._is(value, int)):
                integer = self._api.long_as_longlong(value)
                # -1 may be the number or an error.
                with b.if_then(self._equal(integer, -1), likely=False):
                    self._demand(cgutils.is_null(b, self._api.err_occurred()), self._undo)
                if count:
                    self._demand(self._not_negative(integer))
                b.store(integer, kept)
                b.branch(done)
        if bool in kinds:
            with b.if_then(self._is(value, bool)):
                b.store(self._equal(b.ptrtoint(value, INT), self._keep(True)), kept)
                b.branch(done)
        stored = [self._is(value, kind) for kind in kinds if kind not in (int, bool)]
        self._demand(reduce(b.or_, stored) if stored else ir.Constant(ir.IntType(1), 0))
        ty = self._types[name]
        memory = cgutils.pointer_add(b, value, VALUE, self._context.get_data_type(ty).as_pointer())
        b.store(self._context.unpack_value(b, ty, memory), kept)
        b.branch(done)
        b.position_at_end(done)
        self._is_number(name, b.load(kept))

    def _scalar(self, name: str, memory: Any) -> None:
        """The element of an array without axes."""
        ty = self._types[name]
        memory = self._builder.bitcast(memory, self._context.get_data_type(ty).as_pointer())
        self._is_number(name, self._context.unpack_value(self._builder, ty, memory))

    def _is_number(self, name: str, value: Any) -> None:
        self._values[name] = value
        ty = self._types[name]
        if isinstance(ty, types.Boolean):
            self._known[name] = self._builder.zext(value, INT)
        elif isinstance(ty, types.Integer) and ty.signed:
            self._known[name] = self._builder.sext(value, INT) if ty.bitwidth < 64 else value

    # -- lengths -------------------------------------------------------------------------------------------------

    def _length(self, e: Expr) -> Any:
        """An integer; whatever leaves 64 bits is a MISS."""
        b = self._builder
        match e:
            case Const(value, dtype) if dtype.kind in "iub":
                return INT(int(value))
            case Var(name, _):
                if name not in self._known:
                    if name not in self._lowered.definitions:
                        raise NotNative
                    self._known[name] = self._length(self._lowered.definitions[name])
                return self._known[name]
            case Op("cast", (x,), dtype) if dtype == np.int64 and x.dtype.kind in "ib":
                return self._length(x)
            case Op("where", (condition, x, y), _):
                return b.select(self._equal(self._length(condition), 0), self._length(y), self._length(x))
            case Op(name, (x, y), _) if name in COMPARISONS:
                one, two = self._length(x), self._length(y)
                found = b.icmp_signed(COMPARISONS[name], one, two)
                return b.select(found, one, two) if name in ("minimum", "maximum") else b.zext(found, INT)
            case Op(name, (x, y), dtype) if name in ARITHMETIC and dtype == np.int64:
                return self._checked(ARITHMETIC[name], self._length(x), self._length(y))
            case Op("floor_divide" | "remainder" as name, (x, y), dtype) if dtype == np.int64:
                one, two = self._length(x), self._length(y)
                self._demand(b.icmp_signed(">", two, INT(0)))
                rest = b.srem(one, two)
                below = b.icmp_signed("<", rest, INT(0))
                if name == "remainder":
                    return b.select(below, b.add(rest, two), rest)
                return b.sub(b.sdiv(one, two), b.zext(below, INT))
            case _:
                raise NotNative

    def _checked(self, operator: str, x: Any, y: Any) -> Any:
        b = self._builder
        both = getattr(b, f"{operator}_with_overflow")(x, y)
        self._demand(b.not_(b.extract_value(both, 1)))
        return b.extract_value(both, 0)

    def _rows(self, d: Expr) -> Any:
        """A length of a buffer; counts that are computed may be negative."""
        n = self._length(d)
        return n if isinstance(d, Const) else self._builder.select(self._not_negative(n), n, INT(0))

    # -- memory --------------------------------------------------------------------------------------------------

    def _buffers(self, graph: Graph, stacked: Mapping[str, tuple[int, ...]]) -> None:
        """Arrays for results; one for all scratch memory that does not lie on the stack; zeros come from NumPy."""
        b, lowered = self._builder, self._lowered
        returned = set(result_buffers(lowered))
        scalars = {lowered.results[k][0] for k, n in graph.results.items() if k in lowered.results and not n.type.ndim}
        shapes = {x: [self._rows(d) for d in x.shape] for x in lowered.allocated if x.name not in stacked}
        total, places = INT(0), {}
        for buffer, shape in shapes.items():
            if buffer not in returned and buffer.role != "zeros":
                places[buffer] = total
                size = reduce(lambda x, y: self._checked("smul", x, y), shape, INT(in_memory(buffer.dtype).itemsize))
                size = b.and_(self._checked("sadd", size, INT(ALIGNMENT - 1)), INT(-ALIGNMENT))
                total = self._checked("sadd", total, size)
        for name, fixed in stacked.items():
            self._values[name] = array_on_stack(self._context, b, self._types[name], fixed)
        for buffer, shape in shapes.items():
            if buffer not in places:
                axes = [] if buffer in scalars and len(shape) == 1 else shape
                array = self._new(axes, buffer.dtype, ZEROS if buffer.role == "zeros" else EMPTY)
                self._objects[buffer] = array
                self._array(buffer.name, field(b, array, DATA, BYTES), shape)
        if places:
            memory = field(b, self._new([total], np.dtype(np.uint8), EMPTY), DATA, BYTES)
            for buffer, place in places.items():
                self._array(buffer.name, b.gep(memory, [place]), shapes[buffer])

    def _new(self, shape: Sequence[Any], dtype: np.dtype, maker: int) -> Any:
        """A new array; MISS where there is no memory for it."""
        b, n = self._builder, len(shape)
        lengths = cgutils.alloca_once(b, INT, max(1, n))
        for axis, length in enumerate(shape):
            b.store(length, b.gep(lengths, [INT(axis)]))
        ty = ir.FunctionType(BYTES, [INT32, INT.as_pointer(), BYTES, INT32])
        kind = self._address(dtype)
        self._api.incref(kind)  # the maker takes the reference
        made = b.call(b.inttoptr(INT(_numpy_function(maker)), ty.as_pointer()), [INT32(n), lengths, kind, INT32(0)])
        place = cgutils.alloca_once(b, BYTES)
        b.store(made, place)
        self._made[place] = made
        self._demand(cgutils.is_not_null(b, made), self._undo)
        return made

    def _array(self, name: str, memory: Any, shape: Sequence[Any]) -> None:
        self._values[name] = array_at(self._context, self._builder, self._types[name], memory, shape)

    # -- the kernel ----------------------------------------------------------------------------------------------

    def _call(self) -> None:
        b, convention, fndesc = self._builder, self._context.call_conv, self._code.compiled.fndesc
        address = self._code.compiled.library.get_pointer_to_function(fndesc.llvm_func_name)
        ty = convention.get_function_type(fndesc.restype, fndesc.argtypes)
        values = [self._values[p.name] for p in self._lowered.kernel.params]
        kernel = b.inttoptr(INT(address), ty.as_pointer())
        thread = self._api.save_thread()
        status, failure = convention.call_function(b, kernel, fndesc.restype, fndesc.argtypes, values)
        self._api.restore_thread(thread)
        self._demand(b.and_(status.is_ok, self._equal(failure, 0)), self._undo)
        results = [self._objects[buffer] for buffer in result_buffers(self._lowered)]
        answer = results[0]
        if len(results) > 1:
            answer = self._api.tuple_new(len(results))
            self._demand(cgutils.is_not_null(b, answer), self._undo)
            for i, array in enumerate(results):
                b.store(array, cgutils.pointer_add(b, answer, ITEMS + 8 * i, BYTES.as_pointer()))
        for array in self._made.values():
            if array not in results:
                self._api.decref(array)
        b.ret(answer)

    # -- small things --------------------------------------------------------------------------------------------

    def _demand(self, condition: Any, otherwise: Any = None) -> None:
        with self._builder.if_then(self._builder.not_(condition), likely=False):
            self._builder.branch(otherwise or self._miss)

    def _keep(self, value: Any) -> int:
        """The address of an object that lives as long as the code."""
        self._kept.append(value)
        return id(value)

    def _address(self, value: Any) -> Any:
        return INT(self._keep(value)).inttoptr(BYTES)

    def _is(self, value: Any, kind: type) -> Any:
        """Whether an object is of this very type."""
        return self._equal(field(self._builder, value, TYPE, INT), self._keep(kind))

    def _equal(self, x: Any, y: int) -> Any:
        return self._builder.icmp_signed("==", x, INT(y))

    def _not_negative(self, x: Any) -> Any:
        return self._builder.icmp_signed(">=", x, INT(0))


def _numpy_function(number: int) -> int:
    """The address of a function of NumPy's C interface, by its place in the table."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(np._core._multiarray_umath._ARRAY_API, None)  # type: ignore[attr-defined]
    return int(ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))[number])  # type: ignore[arg-type]
