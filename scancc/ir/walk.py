"""Traversals of the loop IR."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from scancc.ir.loop import (
    OWN,
    Alloc,
    Assign,
    Buffer,
    Call,
    Declare,
    Expr,
    For,
    Grow,
    If,
    Kernel,
    Let,
    Load,
    Op,
    Place,
    Prefix,
    Print,
    Stmt,
    Store,
    Var,
)


def statements(block: list[Stmt]) -> Iterator[Stmt]:
    """Every statement of a block and of the blocks nested in it, in program order."""
    for s in block:
        yield s
        for inner in blocks(s):
            yield from statements(inner)


def blocks(s: Stmt) -> tuple[list[Stmt], ...]:
    match s:
        case For(_, _, _, body):
            return (body,)
        case If(_, then, orelse):
            return (then, orelse)
        case Prefix():
            return s.element, s.fold, s.join, s.start, s.body
        case _:
            return ()


def expressions(s: Stmt) -> Iterator[Expr]:
    """The expressions that a statement itself evaluates (not those of nested blocks)."""
    match s:
        case Let(_, e) | Declare(_, e) | Assign(_, e):
            yield e
        case Store(_, index, e):
            yield from index
            yield e
        case For(_, start, stop, _):
            yield start
            yield stop
        case Prefix(_, stop):
            yield stop
        case If(condition, _, _):
            yield condition
        case Alloc(buffer):
            yield from buffer.shape
        case Grow(_, row):
            yield row
        case Call(_, args, _):
            for a in args:
                if isinstance(a, Place):
                    yield from a.index
                else:
                    yield a
        case _:
            return


def subexpressions(e: Expr) -> Iterator[Expr]:
    """`e` and everything below it."""
    stack = [e]
    while stack:
        e = stack.pop()
        yield e
        if isinstance(e, Op):
            stack += e.args
        elif isinstance(e, Load):
            stack += e.index


def variables(e: Expr) -> set[Var]:
    return {x for x in subexpressions(e) if isinstance(x, Var)}


def made_of(wanted: Iterable[Expr], defined: Mapping[Var, Expr]) -> set[Var]:
    """Which of the defined variables these depend on, themselves and through definitions."""
    found: set[Var] = set()
    pending = list(wanted)
    while pending:
        new = (variables(pending.pop()) & defined.keys()) - found
        found |= new
        pending += [defined[v] for v in new]
    return found


def without_unread(block: list[Stmt]) -> list[Stmt]:
    """The block without definitions that nothing in it reads any more."""
    read: set[Var] = set()
    kept: list[Stmt] = []
    for s in reversed(block):
        if not isinstance(s, Let) or s.var in read:
            read |= {v for inner in statements([s]) for e in expressions(inner) for v in variables(e)}
            kept.append(s)
    return kept[::-1]


def always_loaded(e: Expr) -> Iterator[Load]:
    """Loads that `e` makes whatever the numbers are: of a choice only the condition is sure to be computed."""
    if isinstance(e, Load):
        yield e
        for i in e.index:
            yield from always_loaded(i)
    elif isinstance(e, Op):
        for a in e.args[:1] if e.name in ("where", "logical_and", "logical_or") else e.args:
            yield from always_loaded(a)


def statement_loads(s: Stmt) -> Iterator[Load]:
    for inner in statements([s]):
        for e in expressions(inner):
            for sub in subexpressions(e):
                if isinstance(sub, Load):
                    yield sub


def accesses(s: Stmt) -> Iterator[tuple[Buffer, tuple[Expr, ...], bool]]:
    """What a statement itself loads and stores: buffer, subscripts, and whether it stores."""
    for e in expressions(s):
        for sub in subexpressions(e):
            if isinstance(sub, Load):
                yield sub.buffer, sub.index, False
    if isinstance(s, Store):
        yield s.buffer, s.index, True


def touched(s: Stmt) -> list[Buffer]:
    """Buffers that a statement itself names, as often as it does."""
    found = [b for b, _, _ in accesses(s)]
    match s:
        case Call(_, args, _):
            found += [a.buffer for a in args if isinstance(a, Place)]
        case Print():
            found += s.values
        case Prefix():
            found.append(s.words)
        case Alloc(b) | Grow(b, _):
            found.append(b)
    return found


def uses(block: list[Stmt]) -> Counter[Buffer]:
    """How often the statements of a block name each buffer."""
    return Counter(b for s in statements(block) for b in touched(s))


def shared_buffers(kernel: Kernel) -> list[Buffer]:
    """Buffers of a block's own, in the order of their first use."""
    found = (b for s in statements(kernel.body) for b, _, _ in accesses(s) if b.role in OWN)
    return list(dict.fromkeys(found))


# Instructions that functions are written as; everything else counts as one.
WEIGHTS = dict.fromkeys("exp expm1 tanh expit log log1p erf".split(), 30) | {"sin": 60, "cos": 60}


def operations(block: list[Stmt]) -> int:
    """Operations, loads and stores in the text of a block: what it takes to compile it."""
    total = 0
    for s in statements(block):
        total += isinstance(s, Store)
        for e in expressions(s):
            for x in subexpressions(e):
                total += WEIGHTS.get(x.name, 1) if isinstance(x, Op) else isinstance(x, Load)
    return total
