"""What ends a loop: how far its counter moves, and how many iterations there are, where the code says so.

        xorl  %eax, %eax          starts at 0
    .LBB0_1:
        addq  $2, %rax            moves by 2
        cmpq  $64, %rax           ends at 64: 32 iterations
        jne   .LBB0_1
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scancc.static.addresses import at_start, stride
from scancc.static.assembly import Block, Immediate, Instruction, Register
from scancc.static.critical_path import Dependencies
from scancc.static.effects import FLAGS, effects_of
from scancc.static.loops import Loop


@dataclass(frozen=True, slots=True)
class Counter:
    """A register that decides whether a loop goes on: `step` an iteration up to `end`, None if the code names none."""

    register: str
    step: int
    end: int | None


def iterations(loop: Loop, needs: Dependencies) -> int | None:
    """The number of iterations when the loop is entered, or None where it is known at run time only."""
    counter = counter_of(loop, needs)
    if counter is None or counter.end is None:
        return None
    start = _start(loop, counter.register)
    if start is None and counter.end == 0:
        return None
    return max(1, abs(counter.end - (start or 0)) // abs(counter.step))


def counter_of(loop: Loop, needs: Dependencies) -> Counter | None:
    """The counter of the first of the loop's exits that depends on one."""
    for b in sorted(loop.blocks):
        block = loop.function.blocks[b]
        if any(s not in loop.blocks for s in block.successors):
            for register, end in _compared(block):
                form = needs.step.get(register)
                # The next iteration may begin with it in another register.
                known = [r for (kind, r, *_), _ in form.terms if kind == "in"] if form is not None else []
                step = stride(at_start(known[0]), needs.step) if len(known) == 1 else None
                if step:
                    return Counter(known[0], step, end)
    return None


def _compared(block: Block) -> Iterator[tuple[str, int | None]]:
    """Registers that the jump at the end of a block depends on, and the number that they are compared with."""
    if not block.instructions or not block.instructions[-1].is_jump:
        return
    for i in reversed(block.instructions[:-1]):
        if FLAGS in effects_of(i).writes:
            numbers = [o.value for o in i.operands if isinstance(o, Immediate)]
            compares = i.mnemonic.startswith("cmp")
            for o in i.operands if compares else i.operands[-1:]:
                if isinstance(o, Register):
                    yield o.name, (numbers[0] if numbers else None) if compares else 0
            return


def _start(loop: Loop, register: str) -> int | None:
    """The number in a register before the loop, if it was set just before."""
    blocks = loop.function.blocks
    for b, block in enumerate(blocks):
        if b in loop.blocks or loop.header not in block.successors:
            continue
        for i in reversed(block.instructions):
            if register in effects_of(i).writes:
                return _number(i)
    return None


def _number(i: Instruction) -> int | None:
    if effects_of(i).idiom:
        return 0
    source = i.operands[0] if i.operands else None
    return source.value if i.mnemonic.startswith("mov") and isinstance(source, Immediate) else None
