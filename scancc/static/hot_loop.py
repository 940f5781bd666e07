"""The loop of a program's machine code that its time goes into.

Candidates are loops that run steps: their instructions come from lines of the generated source within a loop over
steps, or are those of a function that such lines call. Of these the one with the most work wins: arithmetic of an
iteration, counted by numbers computed, times the iterations of the loops around it and its own, taken to be 8 where the
code does not tell. So the body of a vectorised loop wins over what runs the rest one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scancc.static.assembly import Function, Instruction
from scancc.static.iterations import iterations
from scancc.static.loops import Loop, loops_of_program
from scancc.static.machine_model import is_float_arithmetic, is_vector_arithmetic, lanes_of
from scancc.static.symbols import callees

ITERATIONS = 8.0  # what a loop is taken to make
WORK = {"division": 4.0, "arithmetic": 1.0, "call": 20.0, "other": 0.1}
STEPS = re.compile(r"^(\s*)for .*# .*steps of ")


def step_lines(source: str) -> frozenset[int]:
    """Lines of the generated source that are within a loop over steps, that of the loop's head included."""
    found: set[int] = set()
    inside: int | None = None  # the indentation of the outermost loop over steps
    for number, line in enumerate(source.splitlines(), 1):
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        head = STEPS.match(line)
        if inside is None and head is not None:
            inside = indent
        if inside is not None:
            found.add(number)
    return frozenset(found)


def hot_loops(functions: list[Function], lines: frozenset[int]) -> tuple[Loop | None, Loop | None]:
    """The hot loop of a program whose first function is the kernel, and the hottest of those that run no steps.

    `lines` are those of `step_lines`. None where no loop runs steps, and where none of the others computes anything.
    """
    called = _called_from(functions, lines)
    steps: list[Loop] = []
    rest: list[Loop] = []
    for loop in loops_of_program(functions, _made):
        (steps if loop.function.name in called or _within(loop, lines) else rest).append(loop)
    rest = [loop for loop in rest if _computes(loop)]

    def hottest(loops: list[Loop]) -> Loop | None:
        return max(loops, key=lambda loop: _own_work(loop) * loop.runs, default=None)

    return hottest(steps), hottest(rest)


def _computes(loop: Loop) -> bool:
    """Whether a loop does more than fill and copy."""
    return any(i.is_call or is_float_arithmetic(i) or is_vector_arithmetic(i) for i in loop.instructions())


def loop_calls(functions: list[Function]) -> list[str]:
    """The symbols that are called within any loop of a program."""
    found = {name for loop in loops_of_program(functions, _made) for b, names in callees(loop.function).items()
             if b in loop.blocks for name in names}  # fmt: skip
    return sorted(found)


def _made(loop: Loop) -> float:
    return iterations(loop) or ITERATIONS


def around(hot: Loop, functions: list[Function]) -> list[Loop]:
    """A loop and all loops around it, those of callers included."""
    found = [hot]
    for loop in loops_of_program(functions, _made):
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


def _own_work(loop: Loop) -> float:
    """Work of an iteration that no loop within it does."""
    inner = {(id(i.function), b) for i in loop.inner for b in i.blocks}
    own = [b for b in loop.blocks if (id(loop.function), b) not in inner]
    return work(i for b in own for i in loop.function.blocks[b].instructions)


def work(instructions: Iterable[Instruction]) -> float:
    total = 0.0
    for i in instructions:
        if is_float_arithmetic(i) or is_vector_arithmetic(i):
            heavy = "div" in i.mnemonic or "sqrt" in i.mnemonic
            total += WORK["division" if heavy else "arithmetic"] * lanes_of(i)
        else:
            total += WORK["call" if i.is_call else "other"]
    return total
