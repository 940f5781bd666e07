"""The functions that kernels call, as functions of their LLVM module.

Those in FUNCTIONS are written here, into the module that needs them. The others are compiled by numba once for a
processor, and kept on disk as bitcode that kernels link (`bitcode.py`): here they are declared, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir
from scancc_runtime import panels, products, recurrences, sums, vecmat
from scancc_runtime.code import INT, Array, Code, Int, declared, load_element, memory_type, scalar_type, store_element

Argument = tuple[np.dtype | None, Any]  # elements of this dtype from a pointer on, or an integer

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "products.vecmat": vecmat.vecmat, "products.matvec": products.matvec, "products.gemm": products.gemm,
    "products.large_gemm": products.large_gemm,
    "panels.pack": panels.pack, "panels.multiply": panels.multiply, "sums.total": sums.total,
    "recurrences.solve1": recurrences.solve1, "recurrences.solve2": recurrences.solve2,
    "recurrences.solve3": recurrences.solve3,
}  # fmt: skip
APART = ("products", "panels")  # modules whose functions never get two arrays that meet


class Library:
    def __init__(self, module: ir.Module) -> None:
        self.module = module
        self.linked: dict[str, tuple[str, tuple[str, ...]]] = {}  # by symbol: function of numba's, and its dtypes

    def call(self, builder: Any, name: str, args: Sequence[Argument]) -> Any:
        """A call for its effect; the number that it returns, if it does."""
        if name == "products.gemm" and _is_large(args):
            name = "products.large_gemm"
        if name in FUNCTIONS:
            return builder.call(self._written(name, args), [value for _, value in args if not _is_known(value)])
        dtypes = tuple("" if dtype is None else dtype.name for dtype, _ in args)
        self._call_linked(builder, name, dtypes, [value for _, value in args])
        return None

    def number(
        self, builder: Any, name: str, dtype: np.dtype, kinds: Sequence[np.dtype], args: Sequence[Any]
    ) -> Any:  # fmt: skip
        """A function of numbers. They go by way of memory, which is gone when the function is inlined."""
        places = []
        with builder.goto_entry_block():
            for kind in (dtype, *kinds):
                places.append(builder.alloca(memory_type(kind)))
        for kind, place, value in zip(kinds, places[1:], args, strict=True):
            store_element(builder, kind, place, value)
        self._call_linked(builder, name, tuple(k.name for k in (dtype, *kinds)), places)
        return load_element(builder, dtype, places[0])

    def _call_linked(self, builder: Any, name: str, dtypes: tuple[str, ...], args: Sequence[Any]) -> None:
        symbol = symbol_of(name, dtypes)
        self.linked[symbol] = (name, dtypes)
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in args])
        builder.call(declared(self.module, symbol, kind, "nounwind"), args)

    def _written(self, name: str, args: Sequence[Argument]) -> Any:
        """The function for lengths of which some are known: it has those in it, and is as short as they make it."""
        told = [str(v.constant) if _is_known(v) else "" if dtype is None else dtype.name for dtype, v in args]
        symbol = symbol_of(name, told)
        function = self.module.globals.get(symbol)
        if function is not None:
            return function
        dtypes = [dtype for dtype, _ in args]
        result = scalar_type(next(d for d in dtypes if d is not None)) if name == "sums.total" else ir.VoidType()
        open_ = [dtype for dtype, v in args if not _is_known(v)]
        kinds = [INT if d is None else memory_type(d).as_pointer() for d in open_]
        function = ir.Function(self.module, ir.FunctionType(result, kinds), symbol)
        function.linkage = "internal"
        for dtype, parameter in zip(open_, function.args, strict=True):
            if dtype is not None and name.startswith(APART):
                parameter.add_attribute("noalias")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        parameters = iter(function.args)
        given = []
        for dtype, value in args:
            value = value if _is_known(value) else next(parameters)
            given.append(Int(builder, value) if dtype is None else Array(builder, dtype, value))
        found = FUNCTIONS[name](Code(builder), *given)
        builder.ret_void() if found is None else builder.ret(found)
        return function


def _is_known(value: Any) -> bool:
    """Whether it is a number that is known when the kernel is written."""
    return isinstance(value, ir.Constant)


def _is_large(args: Sequence[Argument]) -> bool:
    """Whether the lengths of a product that are known make it large, whatever the others are."""
    lengths = [value.constant for _, value in args[6:9] if _is_known(value)]
    return bool(prod(lengths) > products.SMALL)


def symbol_of(name: str, dtypes: Sequence[str]) -> str:
    return ".".join(("scancc", name, *(d or "int" for d in dtypes)))
