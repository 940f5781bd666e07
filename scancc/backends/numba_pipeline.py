"""numba's compiler with what kernels need, and without what they do not: they are long, and in single-assignment form.

Every variable of a kernel has one type wherever it is assigned, so that renaming by assignment (SSA), whose time grows
with the square of a kernel's length, buys nothing: LLVM does it again. The same goes for the search of variables that
are assigned once, which is done here in one walk. Both halve the time of a first call of a kernel of a thousand lines.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from numba.core import analysis, ir, lowering, typed_passes
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass


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


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    _name = "scancc_kernel_lowering"

    @property
    def lowering_class(self) -> type:
        return KernelLower


class KernelCompiler(Compiler):  # type: ignore[misc]
    """All parameters are distinct: the caller copies those that overlap."""

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
