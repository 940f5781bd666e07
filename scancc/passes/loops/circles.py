"""States of a loop that depend on one another in a circle: what one step waits for of the step before."""

from __future__ import annotations

from collections.abc import Mapping

from scancc.ir.loop import Var


def circles(reads: Mapping[Var, set[Var]]) -> list[set[Var]]:
    """The circles, by the states that each state's next value is made of; a circle comes after those that it reads."""
    reach = {s: set(read) for s, read in reads.items()}
    for middle in reach:
        for s in reach:
            if middle in reach[s]:
                reach[s] |= reach[middle]
    found: list[set[Var]] = []
    for s in sorted(reach, key=lambda s: len(reach[s])):
        if s in reach[s] and not any(s in circle for circle in found):
            found.append({t for t in reach[s] if s in reach[t]})
    return found
