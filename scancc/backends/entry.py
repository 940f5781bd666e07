"""What CPython calls: from the objects of a call to the kernel's arguments, and back.

In place of numba's wrapper, which takes a reference to every array through an object of its own, although the caller
holds the arrays until the kernel returns. Here an array is read from its header, whose layout is part of NumPy's C
interface. Scratch memory of a few kilobytes need not be an array of Python's at all: it lies on the stack.

The host's side of a call (`host.py`) passes arrays that are C-contiguous, aligned and native.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callwrapper import PyCallWrapper, _ArgManager, _GilManager
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import as_dtype

# Fields behind the head that all objects have, of PyArrayObject (`char *data; int nd; npy_intp *dimensions, *strides;
# PyObject *base; PyArray_Descr *descr; int flags`) and of PyArray_Descr (`PyTypeObject *typeobj; char kind, type,
# byteorder, _; int type_num`).
DATA, RANK, DIMENSIONS, STRIDES, DTYPE, FLAGS = (object.__basicsize__ + 8 * i for i in (0, 1, 2, 3, 5, 6))
NUMBER = object.__basicsize__ + 12
ALIGNMENT = 64  # of what lies on the stack: a cache line

Stack = Mapping[int, tuple[int, ...]]  # shapes of the arrays that lie on the stack, by parameter


def add_entry(
    context: Any, library: Any, fndesc: Any, env: Any, call_helper: Any, release_gil: bool, stack: Stack
) -> None:  # fmt: skip
    """Add the wrapper of a compiled function to its library."""
    module = context.create_module("wrapper")
    callee = ir.Function(
        module, context.call_conv.get_function_type(fndesc.restype, fndesc.argtypes), fndesc.llvm_func_name
    )
    Entry(context, module, callee, fndesc, env, call_helper, release_gil, stack).build()
    library.add_ir_module(module)


def numbers_of(dtype: np.dtype) -> list[int]:
    """NumPy's numbers of a dtype: `long` and `long long` may be the same."""
    return sorted({np.dtype(c).num for c in np.typecodes["AllInteger"] + dtype.char if np.dtype(c) == dtype})


class Entry(PyCallWrapper):  # type: ignore[misc]
    def __init__(self, *args: Any) -> None:
        *args, self.stack = args  # type: ignore[assignment]
        super().__init__(*args)

    def build_wrapper(self, api: Any, builder: Any, closure: Any, args: Any, kws: Any) -> None:
        argtypes = self.fndesc.argtypes
        failed = builder.append_basic_block("failed")
        with builder.goto_block(failed):
            builder.ret(api.get_null_object())
        env_manager = self.get_env(api, builder)
        numbers = _ArgManager(self.context, builder, api, env_manager, failed, len(argtypes))
        values: list[Any] = []
        given = 0
        for i, ty in enumerate(argtypes):
            if i in self.stack:
                values.append(self._on_stack(builder, ty, self.stack[i]))
                continue
            item = api.tuple_getitem(args, given)
            given += 1
            with cgutils.if_unlikely(builder, cgutils.is_null(builder, item)):
                builder.branch(failed)
            array = isinstance(ty, types.Array)
            values.append(self._array(api, builder, ty, item, failed) if array else numbers.add_arg(item, ty))
        after = _GilManager(builder, api, numbers) if self.release_gil else numbers
        status, result = self.context.call_conv.call_function(
            builder, self.func, self.fndesc.restype, argtypes, values, attrs=("noinline",)
        )
        after.emit_cleanup()
        with builder.if_then(status.is_ok, likely=True):
            builder.ret(api.from_native_return(self.fndesc.restype, result, env_manager))
        self.context.call_conv.raise_error(builder, api, status)
        builder.ret(api.get_null_object())

    def _array(self, api: Any, builder: Any, ty: types.Array, item: Any, failed: Any) -> Any:
        """The array of an ndarray, to which no reference is taken. Raises TypeError for another dtype or rank."""
        intp = self.context.get_value_type(types.intp)
        int32 = ir.IntType(32)

        def field(base: Any, offset: int, kind: ir.Type) -> Any:
            return builder.load(cgutils.pointer_add(builder, base, offset, kind.as_pointer()))

        number = field(field(item, DTYPE, cgutils.voidptr_t), NUMBER, int32)
        numbers = numbers_of(as_dtype(ty.dtype))
        fits = reduce(builder.or_, [builder.icmp_signed("==", number, int32(n)) for n in numbers])
        fits = builder.and_(fits, builder.icmp_signed("==", field(item, RANK, int32), int32(ty.ndim)))
        with builder.if_then(builder.not_(fits), likely=False):
            # An array that a step captured and that was given another dtype or rank since.
            api.err_set_string("PyExc_TypeError", f"an array is not {ty.dtype} with {ty.ndim} axes any more")
            builder.branch(failed)
        data = field(item, DATA, self.context.get_data_type(ty.dtype).as_pointer())
        shape, strides = (
            [builder.load(cgutils.gep_inbounds(builder, field(item, offset, intp.as_pointer()), axis))
             for axis in range(ty.ndim)] for offset in (DIMENSIONS, STRIDES)
        )  # fmt: skip
        return self._made(builder, ty, data, shape, strides)

    def _on_stack(self, builder: Any, ty: types.Array, shape: tuple[int, ...]) -> Any:
        intp = self.context.get_value_type(types.intp)
        element = self.context.get_data_type(ty.dtype)
        size = self.context.get_abi_sizeof(element)
        memory = cgutils.alloca_once(builder, ir.ArrayType(element, prod(shape)))
        memory.align = ALIGNMENT
        steps = [intp(size * prod(shape[axis + 1 :])) for axis in range(len(shape))]
        return self._made(builder, ty, builder.bitcast(memory, element.as_pointer()), [intp(n) for n in shape], steps)

    def _made(self, builder: Any, ty: types.Array, data: Any, shape: list[Any], strides: list[Any]) -> Any:
        array = make_array(ty)(self.context, builder)
        size = self.context.get_abi_sizeof(self.context.get_data_type(ty.dtype))
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()
