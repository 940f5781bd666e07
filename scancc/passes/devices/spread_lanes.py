"""Puts the axis of lanes back into the memory of a kernel for one lane: every lane is a thread's.

    before   kernel f(x: f64[n], n, y_rows: f64[n])             for t in 0..n: store y_rows[t] = ... x[t]
    after    kernel f(x: f64[n, lanes], n, y_rows: f64[n, lanes], lanes)
             for lane in 0..lanes:  # a thread each                for t in 0..n: store y_rows[t, lane] = ... x[t, lane]

What the kernel allocates has the lanes last, so that neighbouring threads touch neighbouring elements, or first, where
a block of threads runs a lane; inputs have them where the caller put them, or not at all. The loop over the lanes is
the back end's to give to threads or blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scancc.batching.lanes import Lanes
from scancc.errors import UnsupportedError
from scancc.ir.loop import (
    INT64,
    OWN,
    THREAD,
    Alloc,
    Buffer,
    Call,
    Expr,
    For,
    Grow,
    Load,
    Place,
    Prefix,
    Print,
    Stmt,
    Var,
    const_int,
)
from scancc.ir.rewrite import Rewriter
from scancc.passes.lower import Lowered

LANE, LANES = Var("lane", INT64), Var("lanes", INT64)
ON_CPU = "compile this program for the CPU"


def spread_lanes(lowered: Lowered, lanes: Lanes, first: bool = False) -> Lowered:
    """The lowered program of one lane as that of all. Raises UnsupportedError for what a lane cannot do by itself."""
    spread = _Spread(lowered, lanes, first)
    kernel = lowered.kernel
    params = [spread.buffer(p) if isinstance(p, Buffer) else spread.numbers.get(p.name, p) for p in kernel.params]
    whose = "a block each" if kernel.team else "a thread each"
    body: list[Stmt] = [For(LANE, const_int(0), LANES, spread.block(kernel.body), whose, threads=True)]
    new = replace(kernel, params=[*params, LANES], body=body)
    known = next((name, axis) for name, axis in lanes.inputs.items() if axis is not None)
    lengths = [(LANES, *known)] + [(var, name, axis + (lanes.inputs[name] is not None and lanes.inputs[name] <= axis))  # type: ignore[operator]
               for var, name, axis in lowered.lengths]  # fmt: skip
    return replace(
        lowered, kernel=new, lengths=lengths,
        allocated=[spread.buffer(b) for b in lowered.allocated],
        results={label: (spread.buffer(b), lead) for label, (b, lead) in lowered.results.items()},
        executed={label: spread.buffer(b) for label, b in lowered.executed.items()},
        constants=dict(lowered.constants),
    )  # fmt: skip


@dataclass
class _Spread(Rewriter):
    lowered: Lowered
    lanes: Lanes
    first: bool
    made: dict[Buffer, Buffer] = field(default_factory=dict)
    axes: dict[Buffer, int] = field(default_factory=dict)
    numbers: dict[str, Buffer] = field(default_factory=dict)  # arrays of what is one number in a lane

    def __post_init__(self) -> None:
        inputs = iter(self.lowered.kernel.params)
        for node, p in zip(self.lanes.graph.inputs, inputs, strict=False):
            axis = self.lanes.inputs[node.attrs["name"]]
            if isinstance(p, Var):
                if axis is not None:
                    self.numbers[p.name] = Buffer(p.name, p.dtype, (LANES,), "input")
            elif axis is None:
                self.made[p] = p
            else:
                self._put(p, axis)
        for p in self.lowered.constants:
            self.made[p] = p

    def _put(self, b: Buffer, axis: int) -> None:
        self.axes[b] = axis
        self.made[b] = Buffer(b.name, b.dtype, (*b.shape[:axis], LANES, *b.shape[axis:]), b.role)

    def buffer(self, b: Buffer) -> Buffer:
        if b not in self.made:
            if b.role in OWN:
                self.made[b] = b
            else:
                self._put(b, 0 if self.first else len(b.shape))
        return self.made[b]

    def whole(self, buffer: Buffer) -> Buffer:
        return self.buffer(buffer)

    def access(self, buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        new, axis = self.buffer(buffer), self.axes.get(buffer)
        if buffer.role in OWN and not self.lowered.kernel.team:
            return new, (*index, THREAD)  # a column for each thread
        return new, index if axis is None else (*index[:axis], LANE, *index[axis:])

    def var(self, var: Var) -> Expr:
        return Load(self.numbers[var.name], (LANE,)) if var.name in self.numbers else var

    def statement(self, s: Stmt) -> Stmt:
        match s:
            case Call(function, args, results, loc):
                if any(isinstance(a, Place) and a.buffer in self.axes for a in args) or results:
                    raise UnsupportedError(f"{function} in a lane", loc, fix=ON_CPU)
                return s
            case Alloc(b) | Grow(b, _):
                raise UnsupportedError(f"{b.name}, whose length is known in the kernel only, in a lane", fix=ON_CPU)
            case Print():
                raise UnsupportedError("prints in a lane", s.loc, fix=ON_CPU)
            case Prefix():
                new = super().statement(s)
                assert isinstance(new, Prefix)
                return replace(new, lane=(LANE,))
            case _:
                return super().statement(s)
