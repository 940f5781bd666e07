"""The text of `.asm()` (AT&T syntax, x86-64) as functions of basic blocks of instructions.

    f:                              function f
        xorl  %eax, %eax              block 0 -> 1
    .LBB0_1:
        addq  (%rdi,%rax,8), %rcx     block 1 -> 1, 2
        incq  %rax
        cmpq  %rsi, %rax
        jne   .LBB0_1
        retq                          block 2

Registers go by the name of the whole register: `%eax` and `%al` are "rax", `%xmm3` and `%zmm3` are "v3".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

LABEL = re.compile(r"^([\w.$@]+):")
MEMORY = re.compile(r"^(?:%[defgs]s:)?([^()%]*)\(([^)]*)\)$")
DECORATION = re.compile(r"\s*\{([^}]*)\}")
VECTOR = re.compile(r"^([xyz])mm(\d+)$")
BITS = {"x": 128, "y": 256, "z": 512}
NUMBERED = re.compile(r"^(r\d+)[bwd]?$")
OLD = {"ax": "rax", "bx": "rbx", "cx": "rcx", "dx": "rdx", "si": "rsi", "di": "rdi", "bp": "rbp", "sp": "rsp"}
PLACE = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)")
ENDS = ("jmp", "ret", "ud2", "hlt", "int3")


@dataclass(frozen=True, slots=True)
class Register:
    name: str
    bits: int


@dataclass(frozen=True, slots=True)
class Memory:
    """`symbol + offset + base + index * scale`; parts that are not there are None or zero."""

    base: str | None
    index: str | None
    scale: int
    offset: int
    symbol: str
    broadcast: bool = False  # one element, for all lanes


@dataclass(frozen=True, slots=True)
class Immediate:
    text: str

    @property
    def value(self) -> int | None:
        """None for the address of a symbol."""
        try:
            return int(self.text, 0)
        except ValueError:
            return None


Operand = Register | Memory | Immediate


@dataclass(frozen=True, eq=False)
class Instruction:
    """`operands` in the order of AT&T: the destination comes last."""

    mnemonic: str
    operands: tuple[Operand, ...]
    text: str
    mask: str | None = None  # the register of a mask
    zeroing: bool = False  # lanes that are masked out become zero
    indirect: bool = False  # a jump or a call to where the operand says
    line: int = 0  # of the generated source, where the text says it

    @property
    def is_jump(self) -> bool:
        return self.mnemonic.startswith("j")

    @property
    def is_call(self) -> bool:
        return self.mnemonic.startswith("call")

    @property
    def target(self) -> str | None:
        """The label that a direct jump or call goes to."""
        if (self.is_jump or self.is_call) and not self.indirect and len(self.operands) == 1:
            place = self.operands[0]
            return place.symbol if isinstance(place, Memory) else None
        return None

    @cached_property
    def memory(self) -> Memory | None:
        return next((o for o in self.operands if isinstance(o, Memory)), None)

    @cached_property
    def vector_bits(self) -> int:
        """Width of the widest vector register among the operands; 0 without one."""
        widths = [o.bits for o in self.operands if isinstance(o, Register) and o.name[0] == "v"]
        return max(widths, default=0)


@dataclass(eq=False, slots=True)
class Block:
    label: str
    instructions: list[Instruction] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Function:
    """`blocks` in the order of the text; block 0 is the entry, `successors` are numbers of blocks."""

    name: str
    blocks: list[Block]

    @cached_property
    def frame_pointer(self) -> bool:
        """Whether %rbp points into the frame; otherwise it is a register like any other."""
        return any(i.mnemonic == "movq" and i.operands == (Register("rsp", 64), Register("rbp", 64))
                   for i in self.blocks[0].instructions)  # fmt: skip


def parse(text: str) -> list[Function]:
    """The functions of an assembly text. Lines are those of `.loc` directives; all are taken to be of one file."""
    functions: list[Function] = []
    place = 0
    for line in text.splitlines():
        said = PLACE.match(line)
        place = int(said.group(2)) if said is not None else place
        line = line.split("#", 1)[0].rstrip() if not line.startswith("#") else ""
        label = LABEL.match(line)
        if label is not None:
            name = label.group(1)
            if not name.startswith((".L", "L")):
                place = 0
                functions.append(Function(name, [Block(name)]))
            elif functions and "BB" in name:
                functions[-1].blocks.append(Block(name))
            continue
        line = line.strip()
        if not line or line.startswith(".") or not functions:
            continue
        block = functions[-1].blocks[-1]
        if block.instructions and block.instructions[-1].is_jump:
            block = Block("")
            functions[-1].blocks.append(block)
        block.instructions.append(parse_instruction(line, place))
    for function in functions:
        _connect(function)
    return functions


def shown(blocks: list[Block]) -> list[str]:
    """Lines of text of these blocks."""
    lines: list[str] = []
    for block in blocks:
        lines += [f"{block.label}:"] * bool(block.label) + [f"\t{i.text}" for i in block.instructions]
    return lines


def _connect(function: Function) -> None:
    """Fill in the successors. A block without label begins after a conditional jump."""
    at = {b.label: k for k, b in enumerate(function.blocks) if b.label}
    for k, block in enumerate(function.blocks):
        last = block.instructions[-1] if block.instructions else None
        if last is not None and last.target in at:
            block.successors.append(at[last.target])
        if (last is None or not last.mnemonic.startswith(ENDS)) and k + 1 < len(function.blocks):
            block.successors.append(k + 1)


def parse_instruction(line: str, place: int = 0) -> Instruction:
    """One instruction. Prefixes such as `rep` and `lock` become part of the mnemonic."""
    mnemonic, _, rest = re.sub(r"\s+", " ", line).partition(" ")
    while mnemonic in ("rep", "repe", "repne", "lock", "notrack", "data16"):
        inner, _, rest = rest.partition(" ")
        mnemonic = f"{mnemonic}_{inner}"
    mask, zeroing, indirect = None, False, rest.startswith("*")
    operands: list[Operand] = []
    for part in _split(rest.removeprefix("*")):
        marks = DECORATION.findall(part)
        mask = next((m[1:] for m in marks if m.startswith("%k")), mask)
        zeroing = zeroing or "z" in marks
        bare = DECORATION.sub("", part).strip()
        if bare:
            operands.append(_operand(bare, any(m.startswith("1to") for m in marks)))
    return Instruction(mnemonic, tuple(operands), line, mask, zeroing, indirect, place)


def _split(text: str) -> list[str]:
    """Operands: commas inside of parentheses separate none."""
    parts, depth, start = [], 0, 0
    for k, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[start:k])
            start = k + 1
    return [p.strip() for p in (*parts, text[start:]) if p.strip()]


def _operand(text: str, broadcast: bool) -> Operand:
    if text.startswith("%") and ":" not in text:
        return register(text[1:])
    if text.startswith("$"):
        return Immediate(text[1:])
    found = MEMORY.match(text)
    if found is None:
        return Memory(None, None, 1, 0, text, broadcast)
    offset, inside = found.groups()
    base, index, scale = ([p.strip().removeprefix("%") or None for p in inside.split(",")] + [None, None])[:3]
    try:
        number, symbol = int(offset or "0", 0), ""
    except ValueError:
        number, symbol = 0, offset
    names = [register(r).name if r else None for r in (base, index)]
    return Memory(names[0], names[1], int(scale or 1), number, symbol, broadcast)


def register(name: str) -> Register:
    """A register by any of its names."""
    vector = VECTOR.match(name)
    if vector is not None:
        return Register(f"v{vector.group(2)}", BITS[vector.group(1)])
    if name[0] == "k" and name[1:].isdigit():
        return Register(name, 64)
    if NUMBERED.match(name):
        return Register(NUMBERED.sub(r"\1", name), {"b": 8, "w": 16, "d": 32}.get(name[-1], 64))
    stem = name.lstrip("er") if len(name) > 2 and name[0] in "er" else name
    bits = {"r": 64, "e": 32}.get(name[0], 16) if len(name) > 2 else 16
    if stem in OLD:
        return Register(OLD[stem], bits)
    if len(stem) >= 2 and stem[:-1] + "x" in OLD and stem[-1] in "lh":  # al, ah
        return Register(OLD[stem[:-1] + "x"], 8)
    if stem[:-1] in OLD and stem[-1] == "l":  # sil, dil, bpl, spl
        return Register(OLD[stem[:-1]], 8)
    return Register(name, 64)
