"""Loop IR as Python source for numba.cuda: the CPU's, but for how a kernel begins, ends and fails."""

from __future__ import annotations

from scancc.backends.cuda.toolkit import RUNTIME
from scancc.backends.source import SourcePrinter
from scancc.errors import UnsupportedError
from scancc.ir.loop import Alloc, Call, Expr, Grow, Print, Stmt, Var
from scancc.ir.walk import statements

STATUS = "status"  # of all threads: 0, or the code of a failure


class CudaPrinter(SourcePrinter):
    def print(self) -> str:
        for s in statements(self.kernel.body):
            self.check(s)
        text = super().print()
        head, body = text.split("):\n", 1)
        return f"{head}, {STATUS}):\n{body}"

    def check(self, s: Stmt) -> None:
        """What a device cannot do: allocate, print, and call what its run-time library lacks."""
        loc = getattr(s, "loc", None)
        if isinstance(s, (Alloc, Grow)):
            raise UnsupportedError(
                f"{s.buffer.name} has a length that is known in the loop only, which a device cannot allocate", loc,
                fix="compile this program for the CPU",
            )  # fmt: skip
        if isinstance(s, Print):
            raise UnsupportedError("sc.debug_print is not supported on a device", loc)
        if isinstance(s, Call):
            raise UnsupportedError(f"{s.function} is not there on a device yet", loc,
                                   fix="compile this program for the CPU")  # fmt: skip

    def block(self, block: list[Stmt], depth: int) -> None:
        if depth == 1 and not any(getattr(s, "threads", False) for s in block):
            self.lines.append("    if cuda.grid(1) == 0:  # one thread for all")
            depth = 2
        super().block(block, depth)

    def threads(self, pad: str, var: Var, stop: Expr, body: list[Stmt], note: str, depth: int) -> None:
        self.lines.append(f"{pad}{var.name} = cuda.grid(1)  # {note}")
        self.lines.append(f"{pad}if {var.name} < {self.expr(stop)}:")
        self.block(body, depth + 1)

    def leave(self, code: int) -> str:
        return f"{STATUS}[0] = {code}; return" if code else "return"

    def op(self, name: str, args: tuple[Expr, ...], dtype: object) -> str:
        text: str = super().op(name, args, dtype)  # type: ignore[arg-type]
        module, _, rest = text.removeprefix("np.").partition(".")
        function = rest.partition("(")[0]
        if module.isidentifier() and module in MODULES and function not in RUNTIME.get(module, ()):
            raise UnsupportedError(f"{name} of {args[-1].dtype} is not supported on a device yet", self.loc,
                                   fix="compile this program for the CPU")  # fmt: skip
        return text


MODULES = frozenset(
    "complexes counters integers polygamma reals revolve samplers scalar special transcendental".split()
)
