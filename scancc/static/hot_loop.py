"""The loop of a program's machine code that its time goes into.

Candidates are loops that run steps: their instructions come from lines of the generated source within a loop over
steps, or are those of a function that such lines call. Loops made of the same lines are versions of one loop, such as
the body of a vectorised loop and what runs the rest one by one: the one that does most in an iteration stands for all.
Of these the one with the most cycles wins: those of an iteration, by the longest chain or by the ports, times the
iterations of the loop and of the loops around it. Where the code does not tell how many these are, all loops are taken
to go along the same number of bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scancc.static.assembly import Function, Instruction
from scancc.static.critical_path import Dependencies, critical_path, dependencies
from scancc.static.effects import effects_of
from scancc.static.iterations import counter_of, iterations
from scancc.static.loops import Loop, loops_of_program
from scancc.static.machine_model import CALL, is_float_arithmetic, is_vector_arithmetic, lanes_of, throughput
from scancc.static.symbols import callees

BYTES = 512  # that a loop goes along when it is entered, if the code does not tell
ELEMENT = 8
WORK = {"division": 4.0, "arithmetic": 1.0, "call": 20.0, "other": 0.1}
STEPS = re.compile(r"^(\s*)for .*# .*steps of ")
REST = re.compile(r"^(\s*)for .*# steps of (.+)$")  # where it comes after a loop of groups
GROUPS = re.compile(r"^(\s*)for .*# \d+ steps of (.+) at a time$")
TOGETHER = re.compile(r"^(\s*)for .*# all (\d+) rows$")  # the note of `skew_rows`


def step_lines(source: str) -> frozenset[int]:
    """Lines of the generated source that are within a loop over steps, that of the loop's head included."""
    lines = source.splitlines()
    found: set[int] = set()
    for number, line in enumerate(lines, 1):
        if number not in found and STEPS.match(line) is not None:
            found.update(_block(lines, number))
    return frozenset(found)


def rows_at_once(source: str, loop: Loop) -> int:
    """How many rows of a nested recurrence an iteration takes a step of; 1 for a loop that is not of several rows."""
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        head = TOGETHER.match(line)
        if head is not None and _within(loop, frozenset(_block(lines, number))):
            return int(head.group(2))
    return 1


def rest_lines(source: str) -> frozenset[int]:
    """Lines of the loops over the few steps that are left where others run in groups; they are never the hot ones."""
    found: set[int] = set()
    groups: set[tuple[str, str]] = set()  # by indentation and name; the next loop of that name has what they leave
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        if (head := GROUPS.match(line)) is not None:
            groups.add((head.group(1), head.group(2)))
        elif (head := REST.match(line)) is not None and (head.group(1), head.group(2)) in groups:
            groups.remove((head.group(1), head.group(2)))
            found.update(_block(lines, number))
    return frozenset(found)


def _block(lines: list[str], head: int) -> range:
    """The numbers of the lines of a loop, its head included."""
    indent = len(lines[head - 1]) - len(lines[head - 1].lstrip())
    end = next((n for n, text in enumerate(lines[head:], head + 1)
                if text.strip() and len(text) - len(text.lstrip()) <= indent), len(lines) + 1)  # fmt: skip
    return range(head, end)


def loops_within(functions: list[Function]) -> list[Loop]:
    """All loops of a program whose first function is the kernel."""
    return loops_of_program(functions, _made)


def hot_loops(
    functions: list[Function], loops: list[Loop], lines: frozenset[int], left: frozenset[int] = frozenset()
) -> tuple[Loop | None, Loop | None]:
    """The hot loop of a program whose first function is the kernel, and the hottest of those that run no steps.

    `lines` are those of `step_lines`, `left` those of `rest_lines`. None where no loop runs steps, and where none
    of the others computes anything.
    """
    called = _called_from(functions, lines)
    steps: list[Loop] = []
    rest: list[Loop] = []
    for loop in loops:
        if _within(loop, left):
            continue
        (steps if loop.function.name in called or _within(loop, lines) else rest).append(loop)
    return _hottest(steps), _hottest([loop for loop in rest if _computes(loop)])


def _hottest(loops: list[Loop]) -> Loop | None:
    versions: list[tuple[tuple, frozenset[int], Loop]] = []
    for loop in loops:
        outer = min((o for o in loops if o.function is loop.function and loop.blocks < o.blocks),
                    key=lambda o: len(o.blocks), default=None)  # fmt: skip
        lines = frozenset(i.line for i in _own(loop) if i.line)
        place = (loop.function.name, outer.header if outer is not None else None, bool(loop.inner))
        at = next((k for k, (where, known, _) in enumerate(versions) if where == place and _same(lines, known)), None)
        if at is None:
            versions.append((place, lines, loop))
        elif work(_own(loop)) > work(_own(versions[at][2])):
            versions[at] = (place, lines | versions[at][1], loop)
    return max((loop for _, _, loop in versions), key=lambda loop: _cycles(loop) * loop.runs, default=None)


def _same(lines: frozenset[int], others: frozenset[int]) -> bool:
    """Whether loops are versions of one: all lines of one are the other's, which may have that of its head, too."""
    smaller, larger = sorted((lines, others), key=len)
    return smaller <= larger and bool(smaller) == bool(larger)


def _cycles(loop: Loop) -> float:
    """Cycles of an iteration, without those of the loops within it."""
    own = [(i, effects_of(i)) for i in _own(loop)]
    least = throughput(own) + CALL * sum(i.is_call for i, _ in own)
    return least if loop.inner else max(least, critical_path(dependencies(loop)))


def _computes(loop: Loop) -> bool:
    """Whether a loop does more than fill and copy."""
    return any(i.is_call or is_float_arithmetic(i) or is_vector_arithmetic(i) for i in loop.instructions())


def loop_calls(loops: Iterable[Loop]) -> list[str]:
    """The symbols that are called within any of these loops."""
    calls: dict[str, dict[int, list[str]]] = {}
    found: set[str] = set()
    for loop in loops:
        if loop.function.name not in calls:
            calls[loop.function.name] = callees(loop.function)
        found.update(name for b, names in calls[loop.function.name].items() if b in loop.blocks for name in names)
    return sorted(found)


def _made(loop: Loop) -> float:
    """Iterations of a loop when it is entered."""
    needs = dependencies(loop)
    return iterations(loop, needs) or BYTES / _advance(loop, needs)


def _advance(loop: Loop, needs: Dependencies) -> int:
    """Bytes that an iteration goes along its arrays; where that is not known, the elements that it counts."""
    moved = needs.strides()
    if moved:
        return min(moved)
    counter = counter_of(loop, needs)
    return ELEMENT * abs(counter.step) if counter is not None else ELEMENT


def around(hot: Loop, loops: list[Loop]) -> list[Loop]:
    """A loop and those of a program's loops that are around it, those of callers included."""
    found = [hot]
    for loop in loops:
        pending, inside = list(loop.inner), []
        while pending:
            inner = pending.pop()
            inside.append((inner.function.name, inner.header))
            pending += inner.inner
        if (hot.function.name, hot.header) in inside:
            found.append(loop)
    return found


def _within(loop: Loop, lines: frozenset[int]) -> bool:
    """Whether most of a loop's instructions come from these lines."""
    known = [i.line in lines for i in loop.instructions() if i.line]
    return 2 * sum(known) > len(known)


def _called_from(functions: list[Function], lines: frozenset[int]) -> set[str]:
    """Functions that are called from these lines, directly or by others that are."""
    calls = {f.name: callees(f) for f in functions}
    found: set[str] = set()
    pending: list[str] = []
    kernel = functions[0]
    for block, names in calls[kernel.name].items():
        if any(i.is_call and i.line in lines for i in kernel.blocks[block].instructions):
            pending += names
    while pending:
        name = pending.pop()
        if name in calls and name not in found:
            found.add(name)
            pending += [n for names in calls[name].values() for n in names]
    return found


def _own(loop: Loop) -> list[Instruction]:
    """The instructions of a loop that are in none within it."""
    inner = {(id(i.function), b) for i in loop.inner for b in i.blocks}
    own = [b for b in sorted(loop.blocks) if (id(loop.function), b) not in inner]
    return [i for b in own for i in loop.function.blocks[b].instructions]


def work(instructions: Iterable[Instruction]) -> float:
    total = 0.0
    for i in instructions:
        if is_float_arithmetic(i) or is_vector_arithmetic(i):
            heavy = "div" in i.mnemonic or "sqrt" in i.mnemonic
            total += WORK["division" if heavy else "arithmetic"] * lanes_of(i)
        else:
            total += WORK["call" if i.is_call else "other"]
    return total
