"""What an instruction of x86-64 reads and writes: registers, the flags, and memory.

The rules are those of instruction families, told by mnemonic and number of operands: the destination comes last in
AT&T syntax; with two operands it is read as well, unless the instruction only moves or converts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scancc.static.assembly import Immediate, Instruction, Memory, Register

FLAGS = "flags"
VOLATILE = ("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", *(f"v{i}" for i in range(32)),
            *(f"k{i}" for i in range(8)))  # fmt: skip
ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9", *(f"v{i}" for i in range(8)))

COMPARES = re.compile(r"(cmp[bwlq]?$|test[bwlq]?$|v?u?comis|bt[wlq]?$|v?ptest|vtestp|k(or)?test)")
MOVES = re.compile(  # the destination is written only, whatever it held
    r"(mov|lea|set|cvt|sqrt[ps]|rsqrt|rcp|round|pshuf[dhlw]|pabs|lddqu|popcnt|lzcnt|tzcnt|bsf|bsr|rorx|pextr|extract"
    r"|pmov|bls[rim]|k(mov|not)|p?broadcast)"
)
MERGES = re.compile(  # three operands or more, and the destination is read
    r"v(fn?m(add|sub)|fmaddsub|fmsubadd|pternlog|perm[it]2|pdp|pmadd52|fixupimm|gather|pgather|dpbf16)"
)
THREE_OPERANDS = ("andn", "shlx", "shrx", "sarx", "bextr", "bzhi", "pdep", "pext", "k")
READS_FLAGS = re.compile(r"(cmov|set|adc|sbb|rc[lr])")
KEEPS_FLAGS = re.compile(
    r"(v|k|mov|lea|set|cmov|push|pop|not|j|call|ret|prefetch|nop|c[lqdw]t|cqo|shlx|shrx|sarx|rorx|mulx|pdep|pext"
    r"|bswap|xchg|add[sp][sd]|sub[sp][sd]|mul[sp][sd]|div[sp][sd]|and[np]|or[p]|xor[p]|sqrt|min|max|p[a-z]|unpck|shuf|cvt"
    r"|round|hadd|[a-z]*ps$|[a-z]*pd$|rep_)"
)
IDIOMS = re.compile(r"(xor[lq]?$|sub[lq]$|v?p?xor|v?p?xor[pq]?[dsq]?$|v?psub[bwdq]$|v?pcmpeq[bwdq]$|vpxor[dq]$|kxor)")
JUST_STORES = re.compile(r"v?(p?extr|extract|pcompress|compress|cvtps2ph|p?scatter|mov|pmov|p?mask|set|movnt)")


@dataclass(frozen=True, slots=True)
class Effects:
    """`data` are the registers that are read as values, `address` those that only say where `load` or `store` is.

    `idiom`: the result is the same whatever the registers held, as in `xorl %eax, %eax`.
    """

    data: tuple[str, ...]
    address: tuple[str, ...]
    writes: tuple[str, ...]
    load: Memory | None
    store: Memory | None
    idiom: bool = False


def effects_of(i: Instruction) -> Effects:
    """The effects of an instruction; of one that is not known, those of its shape."""
    name = i.mnemonic
    place = i.memory
    address = tuple(r for r in (place.base, place.index) if r not in (None, "rip")) if place is not None else ()
    if i.is_call:
        return Effects(ARGUMENTS, (*address, *(o.name for o in i.operands if isinstance(o, Register))), VOLATILE,
                       place if i.indirect else None, None)  # fmt: skip
    if i.is_jump or name.startswith(("ret", "nop", "ud2", "prefetch", "vzero", "int3", "hlt", "endbr")):
        return Effects((FLAGS,) if i.is_jump and not name.startswith("jmp") else (), (), (), None, None)
    if name.startswith("push"):
        return Effects(_registers(i), address, (), place, Memory("rsp", None, 1, 0, ""))
    if name.startswith("pop") and not name.startswith("popcnt"):
        return Effects((), (), _registers(i), Memory("rsp", None, 1, 0, ""), None)
    return _computing(i, place, address)


def _computing(i: Instruction, place: Memory | None, address: tuple[str, ...]) -> Effects:
    name, operands = i.mnemonic, i.operands
    flags_in = (FLAGS,) if READS_FLAGS.match(name) else ()
    flags_out = () if KEEPS_FLAGS.match(name) and not COMPARES.match(name) else (FLAGS,)
    masks = (i.mask,) if i.mask else ()
    if name.startswith("lea"):
        return Effects(address, (), _registers(i), None, None)
    implicit = _implicit(i)
    if implicit is not None:
        data, writes = implicit
        return Effects((*data, *_registers(i)), address, (*writes, *flags_out), place, None)
    if COMPARES.match(name):
        return Effects((*_registers(i), *masks), address, (FLAGS,), place, None)
    *sources, target = operands or (Immediate("0"),)
    read = [o.name for o in sources if isinstance(o, Register)]
    if name.startswith("mulx") or name.startswith("xchg"):  # two destinations
        both = [o.name for o in operands[-2:] if isinstance(o, Register)]
        extra = ["rdx"] if name.startswith("mulx") else both
        return Effects((*read, *extra), address, tuple(both), place, place if name.startswith("xchg") else None)
    bare = name.removeprefix("v")
    three = name[0] == "v" or name.startswith(THREE_OPERANDS) or (name.startswith("imul") and len(operands) == 3)
    only_written = bool(MOVES.match(bare)) or (three and len(operands) > 1)
    if isinstance(target, Memory):
        stores_only = bool(JUST_STORES.match(name)) or only_written
        return Effects((*read, *flags_in, *masks), address, flags_out, None if stores_only else place, place)
    merged = bool(MERGES.match(name)) or (bool(i.mask) and not i.zeroing)
    written = (target.name,) if isinstance(target, Register) else ()
    if not only_written or merged:
        read += written
    inputs = operands if len(operands) == 2 else operands[:-1]
    if IDIOMS.match(name) and len(inputs) == 2 and inputs[0] == inputs[1] and place is None and not i.mask:
        return Effects((), (), (*written, *flags_out), None, None, True)
    return Effects((*read, *flags_in, *masks), address, (*written, *flags_out), place, None)


def _registers(i: Instruction) -> tuple[str, ...]:
    return tuple(o.name for o in i.operands if isinstance(o, Register))


def _implicit(i: Instruction) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Registers that instructions without or with one operand read and write beside it."""
    name = i.mnemonic
    if name in ("cqto", "cqo", "cltd", "cdq", "cwtd"):
        return ("rax",), ("rdx",)
    if name in ("cltq", "cdqe", "cwtl", "cbtw"):
        return ("rax",), ("rax",)
    if len(i.operands) == 1 and re.match(r"i?mul[bwlq]?$", name):
        return ("rax",), ("rax", "rdx")
    if len(i.operands) == 1 and re.match(r"i?div[bwlq]?$", name):
        return ("rax", "rdx"), ("rax", "rdx")
    if name.startswith("rep_"):
        return ("rax", "rcx", "rsi", "rdi"), ("rcx", "rsi", "rdi")
    return None


ELEMENT = {"sd": 8, "ss": 4, "pd": 8, "ps": 4}
INTEGER = {"b": 1, "w": 2, "l": 4, "q": 8}


def memory_bytes(i: Instruction) -> int:
    """How many bytes an instruction loads or stores; of a gather, those of an element."""
    name, place = i.mnemonic, i.memory
    if place is None:
        return 8
    if place.broadcast:
        return 8 if name[-1] in "dq" and not name.endswith("s") and name[-2:] in ("pd", "dq", "qq", "uq") else 4
    stem = name.split("_")[-1]
    if name[0] == "v" or i.vector_bits:
        if "gather" in name or "scatter" in name:
            return 8 if stem.endswith(("pd", "q")) else 4
        if stem.endswith(("sd", "ss")):
            return ELEMENT[stem[-2:]]
        if re.match(r"v?p?broadcast", stem):
            return {"b": 1, "w": 2, "d": 8 if stem.endswith("sd") else 4, "q": 8, "s": 4}.get(stem[-1], 8)
        if re.match(r"v?mov[lh]p", stem):
            return 8
        if re.match(r"v?movddup", stem) and i.vector_bits == 128:
            return 8
        if re.match(r"v?mov[dq]$", stem) or re.match(r"v?pextr|v?pinsr|v?cvtsi2", stem):
            return INTEGER.get(stem[-1], 4) if stem[-1] != "d" else 4
        wide = re.search(r"(\d\d)x(\d)$", stem)
        if wide:
            return int(wide.group(1)) * int(wide.group(2)) // 8
        if "128" in stem:
            return 16
        if re.match(r"v?pmov[sz]x", stem):  # widening: the memory holds the narrow elements
            narrow, full = INTEGER["l" if stem[-2] == "d" else stem[-2]], INTEGER["l" if stem[-1] == "d" else stem[-1]]
            return i.vector_bits // 8 * narrow // full
        if re.match(r"v?cvt(ps2pd|dq2pd|ph2ps)", stem):
            return i.vector_bits // 16
        return max(i.vector_bits // 8, 8)
    registers = [o.bits // 8 for o in i.operands if isinstance(o, Register)]
    if stem.startswith(("movz", "movs")) and len(stem) > 5:
        return INTEGER.get(stem[4], 8)
    if stem.startswith("set"):
        return 1
    return INTEGER.get(stem[-1], registers[0] if registers else 8)
