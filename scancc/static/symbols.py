"""Who calls whom: the targets of calls, also through registers, and the names that symbols have in their source."""

from __future__ import annotations

import re

from scancc.static.assembly import Function, Immediate, Instruction, Memory, Register

PREFIX = re.compile(r"(\d+)")
ESCAPE = re.compile(r"_([0-9a-f]{2})")
ALLOCATORS = re.compile(
    r"NRT_(Allocate|Reallocate|MemInfo_(new|alloc|varsize|realloc))|numba_(alloc|unicode_alloc)|(m|c|re)alloc$|scancc\.host\.(re)?allocate$"
    r"|posix_memalign$|aligned_alloc$|_Zn[wa]m|Py\w*_(New|Malloc|Alloc)"
)
UNKNOWN = "?"  # a call to where only the run tells


def callees(function: Function) -> dict[int, list[str]]:
    """The symbols that each block calls."""
    found: dict[int, list[str]] = {}
    labels = {b.label for b in function.blocks}
    for k, block in enumerate(function.blocks):
        for n, i in enumerate(block.instructions):
            called = called_by(function, labels, k, n, i)
            if called is not None:
                found.setdefault(k, []).append(called)
    return found


def called_by(function: Function, labels: set[str], block: int, position: int, i: Instruction) -> str | None:
    """The symbol that an instruction calls, or jumps to as its last act; None if it does not call.

    `labels` are those of the function's blocks: jumps to them stay within it.
    """
    if not i.is_call and not (i.mnemonic.startswith("jmp") and i.target is not None and i.target not in labels):
        return None
    if i.target is not None:
        return i.target.partition("@")[0]
    place = i.operands[0]
    return _address(function, block, position, place if isinstance(place, (Register, Memory)) else None, 4)


def _address(function: Function, block: int, position: int, place: Register | Memory | None, depth: int) -> str:
    """The symbol whose address lies in a register or a stack slot: what the last write before put there."""
    if place is None or not depth:
        return UNKNOWN
    for k in range(block, -1, -1):
        instructions = function.blocks[k].instructions
        for n in reversed(range(position if k == block else len(instructions))):
            i = instructions[n]
            if not i.operands or not i.mnemonic.startswith(("mov", "lea", "vmovs", "xor", "pop")):
                continue
            target = i.operands[-1]
            same = target.name == place.name if isinstance(target, Register) and isinstance(place, Register) else (
                target == place)  # fmt: skip
            if not same:
                continue
            source = i.operands[0]
            if isinstance(source, Immediate):
                return source.text if source.value is None else UNKNOWN
            if isinstance(source, Memory) and source.symbol:
                return source.symbol.partition("@")[0]
            return _address(function, k, n, source, depth - 1)
    return UNKNOWN


def readable(symbol: str) -> str:
    """`exp` of `exp`, and `scancc_runtime.recurrences.solver.solve` of numba's mangled name for it."""
    if not symbol.startswith("_ZN"):
        return symbol
    parts, rest = [], symbol[3:]
    while (length := PREFIX.match(rest)) is not None:
        start = length.end()
        end = start + int(length.group(1))
        name = ESCAPE.sub(lambda m: chr(int(m.group(1), 16)), rest[start:end])
        parts += [p for p in name.split(".") if p and p != "<locals>"]
        rest = rest[end:]
    return ".".join(parts) or symbol


def is_allocator(symbol: str) -> bool:
    return bool(ALLOCATORS.match(readable(symbol)))
