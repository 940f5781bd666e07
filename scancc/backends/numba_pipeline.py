"""numba's compiler with what kernels need, and without what they do not: they are long, and in single-assignment form.

Every variable of a kernel has one type wherever it is assigned, so that renaming by assignment (SSA), whose time grows
with the square of a kernel's length, buys nothing: LLVM does it again. The same goes for the search of variables that
are assigned once, which is done here in one walk, and for finding the types of the same few operators again and again.
Together they halve the time of a first call of a kernel of a thousand lines.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from llvmlite.ir import Constant
from numba.core import analysis, cgutils, ir, lowering, typed_passes, types
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass

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
        return self.fnargs

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


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    _name = "scancc_kernel_lowering"

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


class LineCompiler(KernelCompiler):
    """The same machine code, with the lines of the source that its instructions come from."""

    def define_pipelines(self) -> Any:
        self.state.flags.debuginfo = True
        self.state.flags.dbg_directives_only = True  # nothing of variables, which would change the code
        self.state.flags.dbg_extend_lifetimes = False
        self.state.targetctx = self.state.targetctx.subtarget(enable_debuginfo=True)
        return super().define_pipelines()
