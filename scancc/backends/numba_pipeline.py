"""numba's compiler with what kernels need, and without what they do not: they are long, and in single-assignment form.

Every variable of a kernel has one type wherever it is assigned, so that renaming by assignment (SSA), whose time grows
with the square of a kernel's length, buys nothing: LLVM does it again. The same goes for the search of variables that
are assigned once, which is done here in one walk, and for finding the types of the same few operators again and again.
Elements of arrays are read and written by their address: numba takes an array apart, and counts a reference to it, at
every access, which LLVM then has to find out was in vain. Together they halve the time of a first call of a kernel of
a thousand lines.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from llvmlite.ir import Constant
from numba.core import analysis, cgutils, debuginfo, ir, lowering, typed_passes, types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.np.arrayobj import fix_integer_index, load_item, store_item

from scancc.backends.entry import add_entry

STACK = "scancc_stack"  # attribute of a kernel: the shapes of its arrays that lie on the stack, by parameter
LENGTHS = "scancc_lengths"  # and the lengths of arrays that are always the same
Lengths = Mapping[int, tuple[int | None, ...]]  # by parameter and axis
NUMBERS = (types.Number, types.Boolean, types.IntegerLiteral)


def remembering(typing_context: Any) -> Any:
    """The same typing context for one compilation, which resolves an operator on numbers once for each of their types.

    numba tries its templates for arrays, dates and user types at every addition anew.
    """
    known: dict[Any, Any] = {}

    class Remembering(type(typing_context)):  # type: ignore[misc]
        def resolve_function_type(self, function: Any, args: Any, kws: Any) -> Any:
            plain = not kws and isinstance(function, types.Function) and all(isinstance(a, NUMBERS) for a in args)
            if not plain:
                return super().resolve_function_type(function, args, kws)
            key = (function, tuple(args))
            if key not in known:
                known[key] = super().resolve_function_type(function, args, kws)
            return known[key]

    found = copy.copy(typing_context)
    found.__class__ = Remembering
    return found


class KernelLower(lowering.Lower):  # type: ignore[misc]
    def _find_singly_assigned_variable(self) -> None:
        """Variables that live in one block: they need no place on the stack."""
        assigned: Counter[str] = Counter()
        blocks: dict[str, set[int]] = defaultdict(set)
        for label, block in self.func_ir.blocks.items():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    assigned[statement.target.name] += 1
                for variable in statement.list_vars():
                    blocks[variable.name].add(label)
        on_stack = analysis.must_use_alloca(self.func_ir.blocks)
        self._given = {name: i for i, name in enumerate(self.func_ir.arg_names) if assigned[name] == 1}
        self._singly_assigned_vars = {
            name for name, n in assigned.items() if n == 1 and len(blocks[name]) == 1 and name not in on_stack
        }
        self._blk_local_varmap: dict[str, Any] = {}
        self._operators: dict[Any, Any] = {}  # code of an operator on numbers, by its signature

    def extract_function_arguments(self) -> Any:
        """Arrays have the lengths that the program knows, as constants."""
        given = list(super().extract_function_arguments())
        lengths: Lengths = getattr(self.func_ir.func_id.func, LENGTHS, {})
        for i, known in lengths.items():
            array = self.context.make_array(self.fndesc.argtypes[i])(self.context, self.builder, value=given[i])
            shape = cgutils.unpack_tuple(self.builder, array.shape)
            shape = [s if n is None else Constant(s.type, n) for s, n in zip(shape, known, strict=True)]
            array.shape = cgutils.pack_array(self.builder, shape)
            given[i] = array._getvalue()
        self.fnargs = tuple(given)
        self._places = {i: self._place(ty, given[i]) for i, ty in enumerate(self.fndesc.argtypes)
                        if isinstance(ty, types.Array) and ty.layout == "C"}  # fmt: skip
        return self.fnargs

    def _place(self, ty: types.Array, value: Any) -> tuple[Any, list[Any]]:
        """Where the elements of an array lie, and its lengths: taken apart once, before anything is run."""
        array = self.context.make_array(ty)(self.context, self.builder, value=value)
        return array.data, cgutils.unpack_tuple(self.builder, array.shape)

    def create_cpython_wrapper(self, release_gil: bool = False) -> None:
        """What `MachineCode.call` calls."""
        stack = getattr(self.func_ir.func_id.func, STACK, {})
        add_entry(self.context, self.library, self.fndesc, self.env, self.call_helper, release_gil, stack)

    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        signature = self.fndesc.calltypes[expr]
        if not all(isinstance(a, NUMBERS) for a in signature.args):
            return super().lower_binop(resty, expr, op)
        emit = self._operators.get((op, signature))
        if emit is None:
            function = self.context.typing_context.resolve_value_type(op)
            function.get_call_type(self.context.typing_context, signature.args, {})
            emit = self._operators[op, signature] = self.context.get_function(function, signature)
        operands = [
            self.context.cast(self.builder, self.loadvar(v.name), self.typeof(v.name), wanted)
            for v, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        return self.context.cast(self.builder, emit(self.builder, operands), signature.return_type, resty)

    def lower_call(self, resty: Any, expr: Any) -> Any:
        if isinstance(self.typeof(expr.func.name), types.NumberClass) and len(expr.args) == 1:  # at(t)
            (x,) = expr.args
            return self.context.cast(self.builder, self.loadvar(x.name), self.typeof(x.name), resty)
        return super().lower_call(resty, expr)

    def lower_expr(self, resty: Any, expr: Any) -> Any:
        if expr.op == "static_getitem" and expr.index_var is not None:
            address = self._address(expr.value.name, expr.index_var.name)
            if address is not None:
                return self._loaded(resty, expr.value.name, address)
        return super().lower_expr(resty, expr)

    def lower_getitem(self, resty: Any, expr: Any, value: Any, index: Any, signature: Any) -> Any:
        address = self._address(value.name, index.name)
        if address is None:
            return super().lower_getitem(resty, expr, value, index, signature)
        return self._loaded(resty, value.name, address)

    def lower_inst(self, inst: Any) -> Any:
        if isinstance(inst, (ir.SetItem, ir.StaticSetItem)):
            index = inst.index if isinstance(inst, ir.SetItem) else inst.index_var
            number = isinstance(self.typeof(inst.value.name), NUMBERS)
            address = self._address(inst.target.name, index.name) if number and index is not None else None
            if address is not None:
                ty = self.typeof(inst.target.name)
                value = self.loadvar(inst.value.name)
                value = self.context.cast(self.builder, value, self.typeof(inst.value.name), ty.dtype)
                store_item(self.context, self.builder, ty, value, address)
                return None
        return super().lower_inst(inst)

    def _loaded(self, resty: Any, name: str, address: Any) -> Any:
        ty = self.typeof(name)
        return self.context.cast(self.builder, load_item(self.context, self.builder, ty, address), ty.dtype, resty)

    def _address(self, name: str, index: str) -> Any:
        """Of an element of a parameter, by whole numbers for all of its axes; None for any other access."""
        place = self._places.get(self._given.get(name, -1))
        if place is None:
            return None
        ty, kind = self.typeof(name), self.typeof(index)
        kinds = tuple(kind) if isinstance(kind, types.BaseTuple) else (kind,)
        if len(kinds) != ty.ndim or not all(isinstance(k, types.Integer) for k in kinds):
            return None
        data, shape = place
        value = self.loadvar(index)
        values = cgutils.unpack_tuple(self.builder, value) if isinstance(kind, types.BaseTuple) else [value]
        at = [fix_integer_index(self.context, self.builder, k, v, n)
              for k, v, n in zip(kinds, values, shape, strict=True)]  # fmt: skip
        return cgutils.get_item_pointer2(self.context, self.builder, data, shape, (), ty.layout, at)

    def incref(self, typ: Any, val: Any) -> None:
        if not isinstance(typ, NUMBERS):
            super().incref(typ, val)

    def decref(self, typ: Any, val: Any) -> None:
        if not isinstance(typ, NUMBERS):
            super().decref(typ, val)


class KernelLibrary(JITCodeLibrary):  # type: ignore[misc]
    def _optimize_functions(self, module: Any) -> None:
        """Those that are defined here; numba sets up passes for every function that is only called, too."""
        module.data_layout = self._codegen._data_layout
        for function in module.functions:
            if not function.is_declaration:
                passes, builder = self._codegen._function_pass_manager()
                passes.run(function, builder)


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    _name = "scancc_kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()  # so that it can be stored
        return bool(super().run_pass(state))

    @property
    def lowering_class(self) -> type:
        return KernelLower


class KernelCompiler(Compiler):  # type: ignore[misc]
    """All parameters are distinct: the caller copies those that overlap."""

    def __init__(self, typing_context: Any, *args: Any) -> None:
        super().__init__(remembering(typing_context), *args)

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        self.state.flags.enable_ssa = False
        self.state.flags.no_rewrites = True
        pipelines = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (KernelLowering if p is typed_passes.NativeLowering else p, text) for p, text in pipeline.passes
            ]
        return pipelines


class Lines(debuginfo.DIBuilder):  # type: ignore[misc]
    def __init__(self, *args: Any, **kws: Any) -> None:
        super().__init__(*args, **kws)
        self._known: dict[tuple[int, int], Any] = {}

    def _di_location(self, line: int) -> Any:
        """Where a statement is; llvmlite, to find one that it has made, compares all that there are."""
        key = line, id(self.subprograms[-1])
        if key not in self._known:
            self._known[key] = super()._di_location(line)
        return self._known[key]


class LineCompiler(KernelCompiler):
    """The same machine code, with the lines of the source that its instructions come from."""

    def define_pipelines(self) -> Any:
        self.state.flags.debuginfo = True
        self.state.flags.dbg_directives_only = True  # nothing of variables, which would change the code
        self.state.flags.dbg_extend_lifetimes = False
        self.state.targetctx = self.state.targetctx.subtarget(enable_debuginfo=True, DIBuilder=Lines)
        return super().define_pipelines()
