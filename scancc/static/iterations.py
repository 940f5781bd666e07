"""How many iterations a loop makes when it is entered, where its code says so.

        xorl  %eax, %eax          starts at 0
    .LBB0_1:
        addq  $2, %rax            moves by 2
        cmpq  $64, %rax           ends at 64: 32 iterations
        jne   .LBB0_1
"""

from __future__ import annotations

from scancc.static.addresses import at_start, stride
from scancc.static.assembly import Block, Immediate, Instruction, Register
from scancc.static.critical_path import dependencies
from scancc.static.effects import FLAGS, effects_of
from scancc.static.loops import Loop


def iterations(loop: Loop) -> int | None:
    """The number of iterations, or None where it is known at run time only."""
    last = [loop.function.blocks[b] for b in loop.latches]
    if len(last) != 1 or not last[0].instructions or not last[0].instructions[-1].is_jump:
        return None
    counted = _counter(last[0])
    if counted is None:
        return None
    register, end = counted
    moves = stride(at_start(register), dependencies(loop).step)
    start = _start(loop, register)
    if not moves or (start is None and end == 0):
        return None
    return max(1, abs(end - (start or 0)) // abs(moves))


def _counter(block: Block) -> tuple[str, int] | None:
    """The register that decides whether a loop goes on, and the number at which it ends."""
    for i in reversed(block.instructions[:-1]):
        if FLAGS in effects_of(i).writes:
            *sources, target = i.operands or (Immediate("0"),)
            if not isinstance(target, Register):
                return None
            if not i.mnemonic.startswith(("cmp", "test")):
                return target.name, 0
            value = sources[0].value if sources and isinstance(sources[0], Immediate) else None
            return (target.name, value) if value is not None and i.mnemonic.startswith("cmp") else None
    return None


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
