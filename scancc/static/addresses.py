"""Where the loads and stores of a loop lie, as linear forms of what registers hold when an iteration begins.

    movsd  -8(%rdi,%rax,8), %xmm1        8 * rax + rdi - 8
    leaq   1(%rax), %rcx
    movsd  %xmm1, (%rdi,%rcx,8)          8 * rax + rdi + 8
    movq   %rcx, %rax                    the next iteration begins with rax + 1

So a load of the next iteration is known to read what this one stores, and every access moves by 8 bytes an iteration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scancc.static.assembly import Immediate, Instruction, Memory, Register

Root = Any  # ("in", register): its value when the iteration begins; anything else: a value that nothing is known of


@dataclass(frozen=True, slots=True)
class Form:
    """offset + sum of factor * root"""

    terms: frozenset[tuple[Root, int]]
    offset: int = 0

    def plus(self, other: Form, factor: int = 1) -> Form:
        total = dict(self.terms)
        for root, f in other.terms:
            total[root] = total.get(root, 0) + factor * f
        kept = frozenset((r, f) for r, f in total.items() if f)
        return Form(kept, self.offset + factor * other.offset)

    def times(self, factor: int) -> Form:
        return Form(frozenset(), 0).plus(self, factor)


def constant(value: int) -> Form:
    return Form(frozenset(), value)


def root(value: Root) -> Form:
    return Form(frozenset({(value, 1)}))


def at_start(register: str) -> Form:
    """What a register holds when the iteration begins."""
    return root(("in", register))


def address(place: Memory, held: Mapping[str, Form]) -> Form:
    """The address of a memory operand, given the forms of the registers that are not as when the iteration began."""

    def of(register: str) -> Form:
        return held.get(register) or at_start(register)

    total = constant(place.offset)
    if place.symbol:
        total = total.plus(root(("symbol", place.symbol)))
    if place.base is not None:
        total = total.plus(of(place.base))
    if place.index is not None:
        total = total.plus(of(place.index), place.scale)
    return total


def result(i: Instruction, held: Mapping[str, Form], unknown: Root) -> Form:
    """The form of what an instruction on whole integer registers leaves in its destination."""
    *sources, target = i.operands or (Immediate("0"),)
    if not isinstance(target, Register) or target.bits < 32:
        return root(unknown)
    name = i.mnemonic.rstrip("lq") if i.mnemonic not in ("shl", "shll", "shlq") else "shl"
    own = held.get(target.name) or at_start(target.name)
    given: Form | None = None
    if sources and isinstance(sources[0], Register):
        given = held.get(sources[0].name) or at_start(sources[0].name)
    elif sources and isinstance(sources[0], Immediate) and sources[0].value is not None:
        given = constant(sources[0].value)
    match name:
        case "inc" | "dec":
            return own.plus(constant(1 if name == "inc" else -1))
        case "lea" if isinstance(sources[0], Memory):
            return address(sources[0], held)
        case "mov" if given is not None:
            return given
        case "add" | "sub" if given is not None:
            return own.plus(given, 1 if name == "add" else -1)
        case "shl" if given is not None and not given.terms:
            return own.times(1 << given.offset)
        case "xor" if len({*i.operands}) == 1:
            return constant(0)
        case _:
            return root(unknown)


def later(form: Form, step: Mapping[str, Form]) -> Form | None:
    """The form in an iteration's terms of the same expression in the next one; None where it depends on more than what
    registers held. `step` has the forms of the registers at the end of an iteration."""
    total = constant(form.offset)
    for term, factor in form.terms:
        if term[0] == "symbol":
            total = total.plus(root(term), factor)
        elif term[0] == "in":
            total = total.plus(step.get(term[1]) or at_start(term[1]), factor)
        else:
            return None
    return total


def stride(form: Form, step: Mapping[str, Form]) -> int | None:
    """Bytes that an address moves from one iteration to the next, if they are always the same."""
    after = later(form, step)
    if after is None or after.terms != form.terms:
        return None
    return after.offset - form.offset
