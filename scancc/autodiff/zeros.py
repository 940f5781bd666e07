"""Zero stays zero: what multiplies a derivative of exactly 0 adds nothing, be it infinite or NaN.

    d = where c d0 0;  d * p       is NaN where c is false and p is NaN
    zero_product d p               is 0 there

Most products need no such care, and stay products. It is known of a derivative how its zeros and infinities may come
about (`Flow`), and of a local derivative whether it may be infinite or NaN:

- `unbounded` ones may be at operands that are finite (1 / x, exp): they are always taken so, as derivatives may be 0
  by chance, as that of tanh at 1000 is;
- others are infinite or NaN only where an operand is. Then so is the value, and the derivative is of interest only if
  somebody chose another value: where the derivative has passed a choice of elements (`masked`); or, outside of steps,
  a function like tanh or 1 / x, whose value is finite and whose derivative is 0 there (`chance`);
- a local derivative of exactly 0 meets an infinite derivative only behind ops that have infinite derivatives at finite
  values, as sqrt has at 0 (`infinite`), and at choices themselves.

Numbers are finite, and what a step reads of the graph around as it is counts as finite: every step has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scancc.autodiff.arithmetic import call, constant, is_number, mul, where
from scancc.ir import build
from scancc.ir.graph import Node

VIEWS = frozenset({"broadcast_to", "reshape", "expect", "transpose", "flip"})


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of a derivative: whether elements of it may be zero by choice, or infinite at a finite value, or
    zero by chance, where a value is infinite."""

    masked: bool = False
    infinite: bool = False
    chance: bool = False

    def plus(self, other: Flow | None) -> Flow:
        """Of a sum."""
        if other is None:
            return self
        return Flow(self.masked and other.masked, self.infinite or other.infinite, self.chance and other.chance)

    def either(self, other: Flow) -> Flow:
        return Flow(self.masked or other.masked, self.infinite or other.infinite, self.chance or other.chance)

    def in_a_step(self) -> Flow:
        return Flow(self.masked, self.infinite)


ANY = Flow(True, True, True)
MOST_ROWS = 4096  # of an array whose rows are kept account of one by one
# Ops that choose elements: of the others the derivative is 0.
CHOICES = frozenset(
    "where maximum minimum fmax fmin index slice rows take put reduce_min reduce_max".split()
)
# Ops whose derivative may be infinite where their value is not.
STEEP = frozenset("sqrt cbrt power arcsin arccos arccosh".split())


def of_given(d: Node) -> Flow:
    """Of a derivative that comes from outside: a number has no zeros by choice."""
    while d.op in VIEWS:
        d = d.args[0]
    return Flow(masked=not (d.op == "const" and bool(np.all(d.attrs["value"] != 0))))
# Ops whose derivative may be 0 where an operand is infinite.
VANISHING = frozenset(
    "divide power exp exp2 expm1 sqrt cbrt log log2 log10 log1p tanh expit erf erfc arctan arctan2 arcsinh arccosh "
    "logaddexp reduce_logsumexp hypot".split()
)


@dataclass(slots=True)
class Parts:
    """Rows of a value along one axis that have received derivatives: once all have, none is 0 by choice of rows."""

    axis: int
    rows: set[int]
    flow: Flow  # of what they have received

    @staticmethod
    def read_by(node: Node, flow: Flow) -> Parts | None:
        """What an op reads of its operand; None where it reads otherwise than row by row, or of too many rows."""
        if node.op not in ("index", "slice") or not node.args[0].type.is_static:
            return None
        shape = node.args[0].type.shape
        if node.op == "index":
            axis, chosen = node.attrs["axis"], slice(node.attrs["position"], node.attrs["position"] + 1 or None)
        else:
            bounds = list(map(slice, *(node.attrs[k] for k in ("starts", "stops", "steps"))))
            cut = [a for a, b in enumerate(bounds) if b.indices(shape[a]) != (0, shape[a], 1)]  # type: ignore[arg-type]
            if len(cut) != 1:
                return None
            axis, chosen = cut[0], bounds[cut[0]]
        size = shape[axis]
        assert isinstance(size, int)
        return Parts(axis, set(range(*chosen.indices(size))), flow) if size <= MOST_ROWS else None

    def and_of(self, other: Parts | None) -> Parts:
        if other is None or other.axis != self.axis:
            return self
        return Parts(self.axis, self.rows | other.rows, self.flow.either(other.flow))


def behind(node: Node, flow: Flow) -> Flow:
    """Of the derivatives that the rule of an op makes of one."""
    steep = node.op in STEEP and not bounded_power(node)
    return flow.either(Flow(node.op in CHOICES, steep, node.op in VANISHING))


def bounded_power(node: Node) -> bool:
    """Powers of 1 and more have finite derivatives at finite operands."""
    if node.op != "power" or node.args[1].op != "const":
        return False
    exponents = np.real(node.args[1].attrs["value"])
    return bool(np.all((exponents >= 1) | (exponents == 0)))


def product(d: Node, partial: Node, flow: Flow, unbounded: bool = False, choosing: bool = False) -> Node:
    """What comes in times a local derivative; 0 where either is 0.

    `unbounded` says that the local derivative may be infinite or NaN at finite operands, `choosing` that it may be 0
    where what comes in is infinite or NaN.
    """
    if is_number(partial, 0):
        return constant(0, partial)
    zeros = (unbounded or flow.masked or flow.chance) and not _is_number(d) and not _is_finite(partial)
    infinities = (choosing or flow.infinite) and not _is_number(d) and not _is_finite(partial)
    if zeros and infinities:
        return build.make("either_zero_product", d, partial, loc=partial.loc or d.loc)
    if zeros or infinities:
        return build.make("zero_product", *((d, partial) if zeros else (partial, d)), loc=partial.loc or d.loc)
    return mul(d, partial)


def _is_number(x: Node) -> bool:
    """Known to be finite and not 0."""
    while x.op in VIEWS or x.op == "negative":
        x = x.args[0]
    return x.op == "const" and bool(np.all(np.isfinite(x.attrs["value"]) & (x.attrs["value"] != 0)))


def _is_finite(partial: Node) -> bool:
    """A number, or read as it is."""
    if _is_number(partial):
        return True
    while partial.op in VIEWS or partial.op == "negative":
        partial = partial.args[0]
    return partial.op == "read"


def met(d: Node, x: Node, letters: str, term: str, flow: Flow) -> Node:
    """The other factor of a contraction whose derivative is `d`: 0 where everything that it meets of `d` is 0.

    `letters` are the axes of `d`, and `term` those of `x`, as in the subscripts of einsum.
    """
    if not flow.masked or _is_finite(x):
        return x
    alive = call("not_equal", d, constant(0, d))
    others = tuple(a for a, c in enumerate(letters) if c not in term)
    if others:
        alive = call("reduce_any", alive, axes=others)
    left = [c for c in letters if c in term]
    order = sorted(range(len(left)), key=lambda a: term.index(left[a]))
    if order != list(range(len(left))):
        alive = call("transpose", alive, perm=tuple(order))
    shape = tuple(n if c in left else 1 for c, n in zip(term, x.type.shape, strict=True))
    return where(build.reshape(alive, shape), x, constant(0, x))


def unless_zero(d: Node, found: Node, flow: Flow) -> Node:
    """What a rule makes of a derivative as a whole: 0 where all of it is 0."""
    if not flow.masked:
        return found
    alive = call("not_equal", d, constant(0, d))
    if d.type.ndim:
        alive = call("reduce_any", alive, axes=tuple(range(d.type.ndim)))
    return where(alive, found, constant(0, found))
