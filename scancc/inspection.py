"""What `.lower(...)` returns can be looked at: every stage of its compilation as text."""

from __future__ import annotations

from scancc.backends.cpu import CpuProgram
from scancc.backends.program import Program
from scancc.errors import ScanValueError
from scancc.ir.graph import Graph
from scancc.ir.loop import show_kernel
from scancc.ir.printer import show
from scancc.passes.pipeline import Compilation, loops_of
from scancc.report.text import explain


class Inspection:
    """Mixin of compiled programs."""

    compiled: Program

    @property
    def compilation(self) -> Compilation:
        return self.compiled.compilation

    def ir(self, after: str | None = None) -> str:
        """The scan IR after all passes; `after` names a pass, or "trace" for what was traced.

        Raises ValueError for a pass that did not run.
        """
        return show(self._graph(after), self.compilation.name, comments=True)

    def _graph(self, after: str | None) -> Graph:
        made = self.compilation
        if after is None:
            return made.graph
        stages = {"trace": made.traced} | {p.name: p.graph for p in made.passes}
        if after not in stages:
            raise ScanValueError(f"no pass is named {after!r}", fix=f"passes are {', '.join(stages)}")
        return stages[after]

    def loop_ir(self, after: str | None = None) -> str:
        """The loop IR after all passes; `after` names a pass over the loops, or "lower" for what they begin with.

        Raises ValueError for a pass that did not run; of programs for a device only the last form can be shown.
        """
        if after is None:
            return self.compiled.loop_ir()
        made = self.compilation
        self._on_cpu()
        loops = loops_of(made.graph, made.plan, made.name, made.options, made.elements)
        stages = {name: show_kernel(lowered.kernel) for name, lowered in loops}
        if after not in stages:
            raise ScanValueError(f"no pass over the loops is named {after!r}", fix=f"passes are {', '.join(stages)}")
        return stages[after]

    def source(self) -> str:
        """The generated Python kernel. Comments name the line of the step function that a statement came from."""
        return self.compiled.source

    def llvm(self) -> str:
        """The LLVM IR of the kernel's module, optimised."""
        return self._on_cpu().code.llvm()

    def asm(self) -> str:
        """The machine code of the kernel, without the wrappers around it."""
        return self._on_cpu().code.asm()

    def ptx(self, cc: tuple[int, int] = (9, 0)) -> str:
        """The kernel for a device of compute capability `cc`; needs no device, but the extra 'cuda'.

        Raises ValueError for a program that was compiled for the CPU.
        """
        from scancc.backends.cuda.program import CudaProgram

        if not isinstance(self.compiled, CudaProgram):
            raise ScanValueError("this program was compiled for the CPU", fix="compile it with target='cuda'")
        return self.compiled.ptx(cc)

    def _on_cpu(self) -> CpuProgram:
        if not isinstance(self.compiled, CpuProgram):
            raise ScanValueError("this program was compiled for a device", fix="look at its .ptx()")
        return self.compiled

    def explain(self) -> str:
        """What was hoisted and fused, where every result is stored and in how many bytes, and what each pass took."""
        return explain(self.compilation)

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture of the step, storage, passes and the kernel. Nothing is run."""
        from scancc.report.explanation import explained
        from scancc.report.page import fragment

        return fragment(explained(self, self.compilation.name, code=False))
