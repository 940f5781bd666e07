"""How many cycles a loop takes from one step to the next, by the latencies of what its states wait for.

Like `static/critical_path.py`, but on the loop IR, before there are instructions: it compares two ways to write a
step. A product whose sum is its only reader is one multiply-add.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from scancc.ir.loop import Expr, Load, Op, Var
from scancc.ir.walk import made_of, subexpressions

LATENCY = 4.0  # cycles of a sum, a product, or both in one
LATENCIES = {"divide": 14.0, "sqrt": 18.0, "negative": 0.0}
LATENCIES |= dict.fromkeys("exp expm1 log log1p sin cos tanh erf expit power".split(), 40.0)
WHOLE = 1.0  # integers and conditions
LOAD = 5.0
STEPS = 12  # over which the longest cycle shows: the lengths of cycles up to 4 divide it
UNITS = 2.0  # multiply-adds that a core begins in a cycle


class Step:
    """What a step computes: definitions in their order, what becomes of each state, and what else is read.

    `same` tells what no step changes: it is computed before the loop.
    """

    def __init__(
        self, definitions: Mapping[Var, Expr], following: Mapping[Var, Expr], others: Iterable[Expr],
        same: Callable[[Expr], bool],
    ) -> None:  # fmt: skip
        self.definitions, self.following, self.same = definitions, following, same
        results = [*following.values(), *others]
        read = made_of(results, definitions)
        needed = [v for v in definitions if v in read]
        inside = {x for e in (*(definitions[v] for v in needed), *results) for x in subexpressions(e)}
        self.readers = Counter(e for x in inside if isinstance(x, Op) for e in set(map(self._made, x.args)))
        # A place for every expression, in an order of evaluation: cycles from the operands on, and their places.
        self.rows: list[tuple[float, tuple[int, ...]]] = []
        self.place: dict[Expr, int] = {}
        self.operations = 0  # on floats
        for s in following:
            self._add(s, 0.0, ())
        for v in needed:
            self.place[v] = self._placed(definitions[v])
        self.ends = {s: self._placed(e) for s, e in following.items()}
        for e in others:
            self._placed(e)

    def _made(self, e: Expr) -> Expr:
        """What a variable is a name of."""
        while isinstance(e, Var) and e in self.definitions:
            e = self.definitions[e]
        return e

    def _add(self, e: Expr, cycles: float, operands: tuple[int, ...]) -> int:
        self.place[e] = len(self.rows)
        self.rows.append((cycles, operands))
        return self.place[e]

    def _placed(self, e: Expr) -> int:
        if e in self.place:
            return self.place[e]
        if isinstance(e, Load):
            return self._add(e, LOAD, tuple(map(self._placed, e.index)))
        if not isinstance(e, Op) or self.same(e):
            return self._add(e, 0.0, ())
        operands = list(e.args)
        if e.dtype.kind == "f":
            self.operations += 1
            product = self._product(e)
            if product is not None:
                k, factors = product
                self.operations -= isinstance(e.args[k], Var)  # a product of its own so far
                operands[k : k + 1] = factors
        cycles = LATENCIES.get(e.name, LATENCY) if e.dtype.kind == "f" else WHOLE
        return self._add(e, cycles, tuple(map(self._placed, operands)))

    def _product(self, e: Op) -> tuple[int, tuple[Expr, ...]] | None:
        """Which argument of a sum is a product that becomes one instruction with it: of two, LLVM takes the first."""
        if e.name in ("add", "subtract"):
            for k, a in enumerate(e.args):
                made = self._made(a)
                if isinstance(made, Op) and made.name == "multiply" and self.readers[made] == 1:
                    return k, made.args
        return None

    def busy(self) -> float:
        """Cycles that the arithmetic takes if nothing waits."""
        return self.operations / UNITS

    def waits(self, states: set[Var]) -> tuple[float, dict[Expr, float]]:
        """Cycles a step for these states alone, and when in a step what depends on them is there."""
        late = {self.place[s] for s in states}
        rows: list[tuple[int, float, list[int]]] = []
        for k, (cycles, operands) in enumerate(self.rows):
            waiting = [i for i in operands if i in late]
            if waiting:
                late.add(k)
                rows.append((k, cycles, waiting))
        at = {self.place[s]: 0.0 for s in states}
        ends = [0.0]
        for _ in range(2 * STEPS):
            for k, cycles, waiting in rows:
                at[k] = max([at[i] for i in waiting]) + cycles
            times = {e: at[k] for e, k in self.place.items() if k in at} if len(ends) == 2 * STEPS else {}
            # A state that becomes something that waits for none of them has it at once.
            at = {self.place[s]: at.get(self.ends[s], 0.0) for s in states}
            ends.append(max(at.values()))
        return (ends[-1] - ends[STEPS]) / STEPS, times
