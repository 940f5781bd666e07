"""Where to keep the next state of a loop that is to be reversed with few states kept.

Let C(s + r, s) be the number of steps that can be reversed with s states when none is made again more than r times.
With r the least for which that is n steps or more, a split is optimal when the part before it can be reversed with the
s states and r - 1 repetitions, and the part after it with s - 1 states and r.

A. Griewank, A. Walther: "Algorithm 799: revolve" (ACM TOMS 26, 2000).
"""

from __future__ import annotations

from scancc_runtime.compiled import njit


@njit
def split(steps, states):  # type: ignore[no-untyped-def]
    """Steps to go forward from the newest of `states` states that are left, of `steps` to be reversed after it."""
    if states <= 1 or steps <= 1:
        return steps - 1
    repeats, fewer, reach = 0, 1, 1  # C(s + r - 1, s), C(s + r, s)
    while reach < steps:
        repeats += 1
        fewer, reach = reach, reach * (states + repeats) // repeats
    return min(fewer, steps - fewer * states // (states + repeats - 1))
