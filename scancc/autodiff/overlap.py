"""Rows of a sequence that several steps read: what each sends there is added up on the way back.

    before   sequence x taps [0, 1], or x[:-1] and x[1:]        d_0 of step t belongs to row t, d_1 to row t + 1
    after    s_back carry d_0 taps [-1] = 0                     { d_x = d_1 + d_0[-1] }: of row t + 1

The steps run last first, so a row is complete at the first step that reads it, by its last tap: the others have sent
their share at the reversed steps before. Apart, each share would be an array as long as the sequence, among zeros, and
all of them would be read again to be added. That costs nothing where rows are short; shares that are products are
better made for all steps at once, after the loop.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from math import prod

from scancc.autodiff.arithmetic import fresh, integer_minimum, integer_sub, pad, rows_there, total
from scancc.ir import build
from scancc.ir.graph import Carry, Node, topological
from scancc.ir.names import fresh_name
from scancc.ir.ops import OPS

LEAST = 64  # elements of a row


@dataclass(frozen=True, slots=True)
class Rows:
    """Row i of an operand is row i + `first` of `base`, counted from its end where it is `flipped`."""

    base: Node
    flipped: bool = False
    first: int = 0


def rows_of(x: Node, whole: Container[Node]) -> Rows:
    """What an operand is a part of: no further than the nodes of `whole`."""
    flipped, first = False, 0
    while x not in whole:
        if x.op == "flip" and x.attrs["axes"] == (0,):
            flipped = not flipped
        elif x.op == "slice" and (skipped := _skipped(x, flipped)) is not None:
            first += skipped
        else:
            break
        (x,) = x.args
    return Rows(x, flipped, first)


def _skipped(x: Node, at_the_end: bool) -> int | None:
    """Rows that a slice leaves out at one end; None where it does more than leave out rows at the ends."""
    starts, stops, steps = (x.attrs[name] for name in ("starts", "stops", "steps"))
    if any(s not in (None, 1) for s in steps) or any(b is not None for b in (*starts[1:], *stops[1:])):
        return None
    start, stop = starts[0] or 0, stops[0] or 0
    if not isinstance(start, int) or not isinstance(stop, int) or start < 0 or stop > 0:
        return None
    return -stop if at_the_end else start


@dataclass
class Share:
    """What one tap of a sequence sends: `d`, to row t of `rows` at step t."""

    operand: str
    tap: int
    d: Node
    rows: Rows
    carry: str = ""

    @property
    def place(self) -> int:
        return self.rows.first


@dataclass
class Overlap:
    """Shares of rows of one base; their sum is the output `name` of the loop back."""

    shares: list[Share]
    name: str = ""

    @property
    def base(self) -> Node:
        return self.shares[0].rows.base

    @property
    def last(self) -> int:
        return max(s.place for s in self.shares)

    @property
    def first(self) -> int:
        return min(s.place for s in self.shares)

    def delay(self, s: Share) -> int:
        """Reversed steps after which the row is complete."""
        return self.last - s.place

    def delays(self) -> dict[str, int]:
        return {s.carry: self.delay(s) for s in self.shares if self.delay(s)}

    def within(self, taken: set[str]) -> dict[Carry, Node]:
        """The carries of shares that wait, and what they start from: nothing is sent to rows beyond the last step's."""
        self.name = fresh_name(f"d_{self.shares[0].operand}", taken)
        starts: dict[Carry, Node] = {}
        for s in self.shares:
            if k := self.delay(s):
                s.carry = fresh_name(f"d_{s.operand}_{k}", taken)
                row = s.d.type
                starts[Carry(s.carry, (-k,))] = build.zeros(row if k == 1 else row.with_shape((k, *row.shape)))
        return starts

    def results(self) -> dict[str, Node]:
        """Of a step of the loop back."""
        terms = [s.d if not self.delay(s) else build.make("tap", type=s.d.type, name=s.carry, offset=-self.delay(s))
                 for s in sorted(self.shares, key=self.delay)]  # fmt: skip
        complete = total(terms)
        assert complete is not None
        return {s.carry: s.d for s in self.shares if s.carry} | {self.name: complete}

    def of_base(self, complete: Node, left: dict[str, Node], skipped: Node, made: Node) -> Node:
        """The derivative with respect to the base, from the rows that were complete, first row first, and from what is
        left in the carries, of rows that no step completed. `skipped` steps were not reversed, `made` were."""
        base = self.base
        span = self.last - self.first
        parts = [pad(left[s.carry], 0, build.integer(s.place - self.first), build.integer(0))
                 for s in self.shares if s.carry]  # fmt: skip
        before = rows_there(base, skipped, self.first)
        found = complete
        after = integer_sub(integer_sub(build.dim_of(base, 0), before), made)
        incomplete = total(parts)
        if incomplete is not None:
            # Of a base that is shorter than the taps reach only some are there.
            there = integer_minimum(integer_sub(build.dim_of(base, 0), before), build.integer(span))
            incomplete = build.rows(incomplete, build.integer(0), build.dim_from(there, fresh("incomplete")))
            found = build.concatenate([incomplete, complete], 0, None, fresh("complete"))
            after = integer_sub(after, there)
        whole = pad(found, 0, before, after)
        return build.make("flip", whole, axes=(0,)) if self.shares[0].rows.flipped else whole


def overlaps(shares: Iterable[Share], needed: Iterable[Node]) -> tuple[list[Overlap], list[Share]]:
    """Shares that are better added up within the loop back, which makes the nodes `needed` anyhow; and the others."""
    groups: dict[tuple[Node, bool], list[Share]] = {}
    for share in shares:
        groups.setdefault((share.rows.base, share.rows.flipped), []).append(share)
    there = set(topological(needed))
    together: list[Overlap] = []
    apart: list[Share] = []
    for group in groups.values():
        if len(group) > 1 and all(_worth_it(s.d, there) for s in group):
            together.append(Overlap(group))
        else:
            apart += group
    return together, apart


def _worth_it(d: Node, there: set[Node]) -> bool:
    if not d.type.is_static or prod(d.type.shape) < LEAST:  # type: ignore[arg-type]
        return False
    return all(n in there or OPS[n.op].kind in ("leaf", "elementwise", "view") for n in topological([d]))
