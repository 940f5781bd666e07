"""Natural loops of a function, and of a program whose functions call one another.

A loop is the set of blocks from which its latches, the jumps back to its header, can be reached without passing the
header (Aho, Lam, Sethi, Ullman, "Compilers", 9.6). A loop of a function that another loop calls lies within that loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from scancc.static.assembly import Block, Function, Instruction
from scancc.static.symbols import callees

DEEPEST = 16  # calls within calls: functions that call one another in circles end there


@dataclass(eq=False)
class Loop:
    """`blocks` are numbers within the function; `runs` are the iterations of a call of the program, as far as the code
    tells: those of the loops around it, also of callers, times its own."""

    function: Function
    header: int
    blocks: frozenset[int]
    latches: tuple[int, ...]
    runs: float = 0.0
    inner: list[Loop] = field(default_factory=list)

    def ordered(self) -> list[int]:
        """Its blocks so that each comes after those that jump to it, but for jumps back."""
        order: list[int] = []
        seen: set[int] = set()
        stack: list[tuple[int, Iterator[int]]] = [(self.header, iter(self._next(self.header)))]
        seen.add(self.header)
        while stack:
            block, rest = stack[-1]
            following = next((s for s in rest if s not in seen), None)
            if following is None:
                order.append(block)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(self._next(following))))
        return order[::-1]

    def _next(self, block: int) -> list[int]:
        return [s for s in self.function.blocks[block].successors if s in self.blocks and s != self.header]

    def body(self) -> list[Block]:
        """Its blocks as they stand in the text."""
        return [self.function.blocks[k] for k in sorted(self.blocks)]

    def instructions(self) -> Iterator[Instruction]:
        for block in self.body():
            yield from block.instructions


def loops_of(function: Function) -> list[Loop]:
    """The loops of one function, the outer ones first."""
    dominators = _dominators(function)
    before: dict[int, list[int]] = {k: [] for k in range(len(function.blocks))}
    for k, block in enumerate(function.blocks):
        for s in block.successors:
            before[s].append(k)
    latches: dict[int, list[int]] = {}
    for k, block in enumerate(function.blocks):
        for s in block.successors:
            if s in dominators.get(k, ()):
                latches.setdefault(s, []).append(k)
    found = []
    for header, ends in latches.items():
        blocks, pending = {header}, list(ends)
        while pending:
            b = pending.pop()
            if b not in blocks:
                blocks.add(b)
                pending += [p for p in before[b] if p in dominators]
        found.append(Loop(function, header, frozenset(blocks), tuple(ends)))
    found.sort(key=lambda loop: -len(loop.blocks))
    for k, loop in enumerate(found):
        around = [outer for outer in found[:k] if loop.blocks < outer.blocks]
        if around:
            min(around, key=lambda outer: len(outer.blocks)).inner.append(loop)
    return found


def _dominators(function: Function) -> dict[int, set[int]]:
    """The blocks on every way from the entry to a block, for blocks that can be reached."""
    order: list[int] = []
    seen, stack = {0}, [(0, iter(function.blocks[0].successors))]
    while stack:
        block, rest = stack[-1]
        following = next((s for s in rest if s not in seen), None)
        if following is None:
            order.append(block)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(function.blocks[following].successors)))
    order.reverse()
    before: dict[int, list[int]] = {k: [] for k in order}
    for k in order:
        for s in function.blocks[k].successors:
            before[s].append(k)
    found: dict[int, set[int]] = {k: set(order) for k in order} | {0: {0}}
    changed = True
    while changed:
        changed = False
        for k in order[1:]:
            new = set.intersection(*(found[p] for p in before[k])) | {k}
            if new != found[k]:
                found[k], changed = new, True
    return found


def loops_of_program(functions: list[Function], iterations: Callable[[Loop], float]) -> list[Loop]:
    """The loops of all functions that the first one reaches; `iterations` tells how many one makes when entered."""
    by_name = {f.name: f for f in functions}
    loops = {f.name: loops_of(f) for f in functions}
    calls = {f.name: callees(f) for f in functions}
    entered: dict[str, float] = {functions[0].name: 1.0} if functions else {}
    pending = [(name, 0) for name in entered]
    known: dict[str, dict[Loop, float]] = {}
    while pending:
        name, depth = pending.pop()
        own = loops[name]
        if name not in known:
            known[name] = {loop: iterations(loop) for loop in own}
        made = known[name]
        for loop in own:
            loop.runs = entered[name] * math.prod(made[outer] for outer in own if loop.blocks <= outer.blocks)
        for block, called in calls[name].items():
            outside = [loop for loop in own if block in loop.blocks]
            runs = entered[name] * math.prod(made[loop] for loop in outside)
            for callee in called:
                if callee not in by_name or callee == name:
                    continue
                if runs > entered.get(callee, 0.0) and depth < DEEPEST:
                    entered[callee] = runs
                    pending.append((callee, depth + 1))
                for loop in outside:
                    loop.inner += [i for i in loops[callee] if i not in loop.inner]
    return [loop for name in entered for loop in loops[name]]
