"""Names that a kernel does not have yet, for transformations of the loop IR."""

from __future__ import annotations

from scancc.ir.loop import INT64, Declare, Expr, For, Kernel, Let, Var
from scancc.ir.walk import statements


class Fresh:
    """Hands out names; the kernel's and those handed out before are taken."""

    def __init__(self, kernel: Kernel) -> None:
        self.taken = {p.name for p in kernel.params}
        self.taken |= {s.var.name for s in statements(kernel.body) if isinstance(s, (Let, Declare, For))}
        self._numbers: dict[str, int] = {}  # by base: the last number tried, since names are never given back

    def name(self, base: str) -> str:
        name, n = base, self._numbers.get(base, 1)
        while name in self.taken:
            n += 1
            name = f"{base}{n}"
        self._numbers[base] = n
        self.taken.add(name)
        return name

    def var(self, base: str, like: Expr | None = None) -> Var:
        """A variable of the dtype of `like`, or an index."""
        return Var(self.name(base), INT64 if like is None else like.dtype)
