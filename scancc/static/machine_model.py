"""Latencies and ports of a generic x86-64 core, by families of instructions.

The numbers are those of uops.info for Ice Lake and its successors, rounded where these differ, and agree with Zen 4
within a cycle for what loops over steps are made of; Agner Fog's "Instruction tables" say the same in another layout.
They are for comparing two versions of a program, and for telling which of them waits: not for predicting seconds.

    ports       fp 2 (the multiply-add units), div 1 (within one of them, busy for as long as it divides), shuffle 1,
                vector 3 (integer and bitwise; 2 at 512 bits, where two of them join), scalar 4, load 2, store 1, jump 1
    issue       6 instructions a cycle; a load within an instruction, and a compare with its jump, count as one
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from scancc.static.assembly import Instruction, Register
from scancc.static.effects import Effects

LOAD = 5.0  # from the address to the value; 7 in vector registers, of which no chain between iterations is made
FORWARD = 5.0  # from a value that is stored to the same value loaded again
CALL = 20.0  # at least: a call and a short function
ISSUE = 6
UNITS = {"fp": 2, "div": 1, "shuffle": 1, "vector": 3, "wide vector": 2, "scalar": 4, "load": 2, "store": 1, "jump": 1}


@dataclass(frozen=True, slots=True)
class Cost:
    """`latency` in cycles from operands to result; `port` and the cycles that it is `busy`."""

    latency: float
    port: str
    busy: float = 1.0


FREE = Cost(0, "none")
SCALAR = Cost(1, "scalar")  # what no family has: integer arithmetic
CROSSING = Cost(3, "vector")  # moves between vector or mask registers and the others
MERGING = Cost(1, "shuffle")  # one lane of a vector replaced

# The first family whose pattern a mnemonic without the v of AVX begins with. Divisions are in DIVISIONS.
FAMILIES: tuple[tuple[str, Cost], ...] = (
    (r"fn?m(add|sub)|fmaddsub|fmsubadd", Cost(4, "fp")),
    (r"(add|sub|mul|addsub)[sp][sd]", Cost(4, "fp")),
    (r"(min|max)[sp][sd]", Cost(4, "fp")),
    (r"u?comis", Cost(3, "fp")),
    (r"cmp\w*[sp][sd]$", Cost(4, "fp")),
    (r"(round|rndscale)", Cost(8, "fp", 2)),
    (r"(scalef|getexp|getmant|reduce|range|fixupimm)[sp][sd]", Cost(4, "fp")),
    (r"cvtt?s[sd]2u?si|cvtu?si2s[sd]", Cost(7, "fp", 1.5)),
    (r"cvt", Cost(5, "fp", 1.5)),
    (r"(rcp|rsqrt)", Cost(4, "fp")),
    (r"h(add|sub)p|phadd", Cost(6, "shuffle", 2)),
    (r"dpp[sd]", Cost(14, "fp", 2)),
    (r"pmullq", Cost(15, "fp", 3)),
    (r"pmulld", Cost(10, "fp", 2)),
    (r"pmul|pmadd|pdp", Cost(5, "fp")),
    (r"(gather|pgather)", Cost(20, "load", 4)),
    (r"(scatter|pscatter)", Cost(20, "store", 8)),
    (r"(compress|expand|pcompress|pexpand)", Cost(4, "shuffle", 2)),
    (r"(unpck|shufp|pshuf|movddup|movs[hl]dup|movhlps|movlhps|movhp|movlp|punpck|palignr|pack|pslldq|psrldq|permil)",
     Cost(1, "shuffle")),
    (r"(perm|pperm|extract[fi]|insert[fi]|p?broadcast|shuf[fi]|pmov[sz]x|align[qd])", Cost(3, "shuffle")),
    (r"(pextr|pinsr|extractps|insertps)", Cost(3, "shuffle", 2)),
    (r"p?blendv", Cost(2, "vector", 2)),
    (r"p?movmsk|k(mov[bwdq]?|ortest|test)", Cost(3, "vector")),
    (r"k", Cost(1, "vector")),
    (r"ptest|testp", Cost(4, "vector", 2)),
    (r"(and|andn|or|xor)p[sd]|p(and|or|xor|add|sub|min|max|abs|cmp|sll|srl|sra|sign|avg|ternlog|rol|ror|lzcnt)|p?blend",
     Cost(1, "vector")),
    (r"mov[sz][bwl]", SCALAR),
    (r"(mov|lddqu)", FREE),  # between registers of one kind: by renaming
    (r"(imul|mul)", Cost(3, "scalar")),
    (r"i?div[bwl]?$", Cost(12, "scalar", 6)),
    (r"i?divq", Cost(18, "scalar", 10)),
    (r"(popcnt|lzcnt|tzcnt|bsf|bsr|pdep|pext)", Cost(3, "scalar")),
    (r"(j|ret)", Cost(1, "jump")),
    (r"call", Cost(CALL, "jump", 2)),
    (r"(nop|prefetch|endbr|zeroupper)", FREE),
    (r"(rep_|lock_|xchg)", Cost(20, "scalar", 20)),
)  # fmt: skip

# Divisions and square roots: latency, and cycles that the divider is busy, by the width of the vector.
DIVISIONS: dict[str, dict[int, Cost]] = {
    "divsd": {128: Cost(14, "div", 4)},
    "divss": {128: Cost(11, "div", 3)},
    "divpd": {128: Cost(14, "div", 4), 256: Cost(15, "div", 8), 512: Cost(23, "div", 16)},
    "divps": {128: Cost(11, "div", 3), 256: Cost(11, "div", 5), 512: Cost(17, "div", 10)},
    "sqrtsd": {128: Cost(18, "div", 6)},
    "sqrtss": {128: Cost(12, "div", 3)},
    "sqrtpd": {128: Cost(18, "div", 6), 256: Cost(19, "div", 12), 512: Cost(31, "div", 24)},
    "sqrtps": {128: Cost(12, "div", 3), 256: Cost(12, "div", 6), 512: Cost(19, "div", 12)},
}
FLOATS = re.compile(
    r"(fn?m(add|sub)|fmaddsub|fmsubadd|h?add|h?sub|mul|div|sqrt|min|max|addsub|round|rndscale|scalef|dp)\w*[sp][sd]$"
)
INTEGERS = re.compile(r"p(h?add|h?sub|mul|madd|dp|min|max|abs|sll|srl|sra|avg)")
MOVES = re.compile(r"v?(mov(?!h|l|ddup|s[hl]dup|msk)|p?broadcast|k?mov)")  # those that load do nothing else
SINGLES = re.compile(r"[sp]s$")


def is_float_arithmetic(i: Instruction) -> bool:
    return bool(FLOATS.match(i.mnemonic.removeprefix("v")))


def is_vector_arithmetic(i: Instruction) -> bool:
    """Arithmetic on vectors of integers."""
    return bool(i.vector_bits) and bool(INTEGERS.match(i.mnemonic.removeprefix("v")))


def is_scalar_float(i: Instruction) -> bool:
    return i.mnemonic.endswith(("sd", "ss"))


def lanes_of(i: Instruction) -> int:
    """Numbers that an arithmetic instruction computes."""
    if not i.vector_bits or is_scalar_float(i):
        return 1
    return i.vector_bits // (32 if SINGLES.search(i.mnemonic) else 64)


def vector_bits(instructions: Iterable[Instruction]) -> int:
    """Widest registers that arithmetic uses: on floats, or where there is none, on vectors of integers.

    64 means one number at a time; 0 that there is neither.
    """
    floats, integers = 0, 0
    for i in instructions:
        if is_float_arithmetic(i):
            floats = max(floats, 64 if is_scalar_float(i) else i.vector_bits)
        elif is_vector_arithmetic(i):
            integers = max(integers, i.vector_bits)
    return floats or integers


@lru_cache(maxsize=4096)
def _cost(name: str, bits: int) -> Cost:
    bare = name.removeprefix("v")
    if bare in DIVISIONS:
        by_width = DIVISIONS[bare]
        return by_width.get(bits, by_width[128])
    for pattern, cost in FAMILIES:
        if re.match(pattern, bare):
            return cost
    return SCALAR


def cost_of(i: Instruction, effects: Effects) -> Cost:
    """Latency and port of an instruction, without what it loads and stores."""
    if effects.idiom:
        return FREE
    if MOVES.match(i.mnemonic) and not i.mask:
        if effects.load is not None or effects.store is not None:
            return FREE
        kinds = {o.name[0] if o.name[0] in "vk" else "r" for o in i.operands if isinstance(o, Register)}
        if len(kinds) > 1:
            return CROSSING
        if len(i.operands) == 3:  # vmovsd of two registers
            return MERGING
    return _cost(i.mnemonic, i.vector_bits or 128)


def throughput(instructions: Iterable[tuple[Instruction, Effects]]) -> float:
    """Cycles that the ports of a core need for these instructions when none waits for another."""
    busy: Counter[str] = Counter()
    issued = 0
    compared = False
    for i, effects in instructions:
        cost = cost_of(i, effects)
        fused = compared and i.is_jump
        compared = i.mnemonic.startswith(("cmp", "test", "add", "sub", "and", "inc", "dec"))
        issued += not fused
        port = "wide vector" if cost.port == "vector" and i.vector_bits == 512 else cost.port
        busy[port] += cost.busy  # type: ignore[assignment]  # a Counter of cycles
        if cost.port == "div":
            busy["fp"] += 1
        busy["load"] += effects.load is not None
        busy["store"] += effects.store is not None
    return max([issued / ISSUE, *(busy[port] / units for port, units in UNITS.items())])
