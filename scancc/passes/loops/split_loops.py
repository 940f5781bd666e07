"""Takes expensive work that no later step waits for out of a recurrence, some hundred steps at a time.

    before   for t in 0..n: s = w + b s + a r[t];  total = total + (log(s) + r[t] / s)
    after    for chunk in ...:
                 for j in 0..size: u[j] = w + a r[first + j]                         vectorised
                 call solve1(u)                                                      in blocks of a vector
                 for j in 0..size: terms[j] = log(u[j]) + r[first + j] / u[j]        vectorised
                 total = total + sum of terms

A transformation of the loop IR, after lowering: a loop that waits for its state runs one step after the other, with it
all that hangs on it. Loop distribution and strip-mining (Allen and Kennedy, "Optimizing Compilers for Modern
Architectures", 2001) part them: first the recurrence, whose states go to a buffer that stays in the first-level cache,
then the rest, which LLVM vectorises. A linear recurrence with constant coefficients is solved in blocks, as those are
that stand alone, and so are several of which each reads only those before. Only loops of scalar statements are taken
apart, and only where that saves more than the buffers cost.

Sums over time are then added up by several partial sums, as NumPy's are (not under `strict_fp`, where results are those
of the loop bit for bit).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from scancc.ir.loop import (
    INT64,
    Assign,
    Buffer,
    Call,
    Const,
    Declare,
    Expr,
    For,
    Let,
    Load,
    Note,
    Op,
    Place,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    mul,
    sub,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import expressions, made_of, operations, statements, subexpressions, variables
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.linear_steps import LinearSteps, linear_steps
from scancc.passes.lower import Lowered

MOST_GROWTH = 3  # of the operations: what several loops need is computed in each of them. DCC-GARCH 4 x 4 grew sixfold
SMALL = 1000  # operations, which may be whatever the loop was
CHUNK = 512  # steps: a handful of buffers stay in the first-level cache
LEAST_STEPS = 64
LEAST_GAIN = 6.0  # cycles a step, roughly, that must be saved
LATENCY = 4.0  # cycles that a step waits for a sum or for a multiply-add
SHARE = 0.75  # of the cycles of a loop that vector instructions save
CROSSING = 2.0  # cycles to store a value of the recurrence and to load it again

# Cycles of an op on scalars, roughly, as they are inlined; what is not here takes one. Only ops that are vectorised.
CYCLES = {
    "exp": 15, "expm1": 18, "log": 15, "log1p": 18, "sin": 20, "cos": 20, "tanh": 20, "erf": 25, "expit": 18,
    "divide": 4, "sqrt": 5, "philox4x32": 40, "philox4x64": 40, "threefry4x32": 40,
}  # fmt: skip
# Element-wise ops that LLVM turns into vector instructions.
VECTORISED = frozenset(CYCLES) | frozenset(
    "add subtract multiply negative absolute sign minimum maximum fmin fmax where cast less less_equal greater "
    "greater_equal equal not_equal logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor "
    "left_shift right_shift invert".split()
)


def split_loops(lowered: Lowered, reorder: bool) -> Lowered:
    """The same program; `reorder` allows sums to be rounded in another order."""
    fresh = Fresh(lowered.kernel)
    made: list[Buffer] = []
    body = _block(lowered.kernel.body, fresh, reorder, made)
    if not made:
        return lowered
    kernel = replace(lowered.kernel, body=body, params=[*lowered.kernel.params, *made])
    return replace(lowered, kernel=kernel, allocated=[*lowered.allocated, *made])


def _block(block: list[Stmt], fresh: Fresh, reorder: bool, made: list[Buffer]) -> list[Stmt]:
    """The block with its loops split; `made` gets the buffers that this takes."""
    body: list[Stmt] = []
    initial: dict[Var, Expr] = {}
    for s in block:
        known = dict(initial)
        if isinstance(s, Declare) and isinstance(s.expr, Const):
            initial[s.var] = s.expr
        for inner in statements([s]):
            if isinstance(inner, Assign):
                initial.pop(inner.var, None)
        if isinstance(s, For) and s.note.startswith("runs of"):
            s.body = _block(s.body, fresh, reorder, made)
        parts = _parts(s, reorder, known) if isinstance(s, For) and s.note.startswith("steps of") else None
        if parts is None:
            body.append(s)
            continue
        split = _Split(parts, fresh, reorder)
        found = split.statements()
        if operations(found) > max(SMALL, MOST_GROWTH * operations([s])):
            body.append(s)
            continue
        body += found
        made += split.made
    return body


@dataclass
class Parts:
    """The statements of a loop by what has to wait for what.

    serial  definitions and stores that the next step's state needs, or that come with it at no cost
    state   the assignments of the state, in their order
    rest    definitions that only stores and sums need; what they take from `serial` crosses
    stores  of the rest
    sums    accumulator -> what is added to it at each step
    linear  how the state is solved, one recurrence after the other, where it can be: then `serial` is empty
    """

    loop: For
    serial: list[Stmt]
    state: list[Assign]
    rest: list[Let]
    stores: list[Store]
    sums: dict[Var, Expr]
    crossing: list[Var]
    linear: list[LinearSteps]
    notes: list[Note] = field(default_factory=list)


def reads(s: Stmt) -> set[Var]:
    return {v for e in expressions(s) for v in variables(e)}


def defined_in(block: Iterable[Let | Assign]) -> set[Var]:
    return {s.var for s in block}


def cycles(e: Expr) -> float:
    """Of the arithmetic; subscripts cost next to nothing."""
    return sum(map(cycles, e.args)) + CYCLES.get(e.name, 1) if isinstance(e, Op) else 0.0


def _parts(loop: For, reorder: bool, initial: Mapping[Var, Expr]) -> Parts | None:
    """How a loop is taken apart; None where it cannot be, or is not worth it."""
    steps = sub(loop.stop, loop.start)
    if isinstance(steps, Const) and steps.value < LEAST_STEPS:
        return None
    lets = [s for s in loop.body if isinstance(s, Let)]
    stores = [s for s in loop.body if isinstance(s, Store)]
    sets = [s for s in loop.body if isinstance(s, Assign)]
    notes = [s for s in loop.body if isinstance(s, Note)]
    if len(lets) + len(stores) + len(sets) + len(notes) != len(loop.body) or not _in_order(loop.body, sets):
        return None
    loads = {x for s in loop.body for e in expressions(s) for x in subexpressions(e) if isinstance(x, Load)}
    both = {s.buffer for s in stores} & {x.buffer for x in loads}
    places: dict[Buffer, set[tuple[Expr, ...]]] = {b: set() for b in both}
    touched: list[Load | Store] = [*loads, *stores]
    for x in touched:
        if x.buffer in places:
            places[x.buffer].add(x.index)
    changing = defined_in(lets) | defined_in(sets)
    if not all(_of_its_step(indices, loop, changing) for indices in places.values()):
        return None  # taps that are read where a step before has stored them
    defined = {s.var: s for s in lets}
    sums = _sums(sets, defined, loop.body)
    state = [s for s in sets if s.var not in sums]
    if not sets:
        return None  # nothing waits
    exprs = {v: s.expr for v, s in defined.items()}
    serial = made_of((s.expr for s in state), exprs)
    carried = {s.var for s in state}
    linear = linear_steps(state, {v: s for v, s in defined.items() if v in serial}, loop, initial) if reorder else []
    rest, crossing = _rest(_wanted(stores, sums), exprs, {r.new for r in linear} or serial, carried)
    early: list[Store] = []
    if both and not linear:
        return None  # what is read would be read again, after it was stored
    if not linear:
        # States are stored where they are made.
        crossed = set(crossing)
        early = [s for s in stores if isinstance(s.expr, Var) and s.expr in crossed and not reads(s) & rest]
        made_early = set(map(id, early))
        stores = [s for s in stores if id(s) not in made_early]
        rest, crossing = _rest(_wanted(stores, sums), exprs, serial, carried)
    kept = [s for s in lets if s.var in rest]
    outside = [*(s.expr for s in kept), *sums.values(), *(s.expr for s in stores)]
    own = [s.expr for s in kept if s.var not in serial] + [*sums.values(), *(s.expr for s in stores)]
    free = [e for r in linear for e in (r.rest, *r.coefficients, *(s.expr for s in r.lets))]
    if not all(_vectorised(e) for e in (*outside, *free)):
        return None
    gain = SHARE * sum(map(cycles, own)) - CROSSING * len(crossing)
    if reorder and (linear or not state):
        # Little or nothing is left that a step waits for. Several recurrences wait at once, but each has a buffer.
        gain += 2 * LATENCY - CROSSING * max(0, len(linear) - 1)
    if gain < LEAST_GAIN:
        return None
    at_once = set(map(id, early))
    first: list[Stmt] = [s for s in loop.body if (isinstance(s, Let) and s.var in serial) or id(s) in at_once]
    return Parts(loop, [] if linear else first, state, kept, stores, sums, crossing, linear, notes)


def _of_its_step(places: set[tuple[Expr, ...]], loop: For, changing: set[Var]) -> bool:
    """Whether each step touches one element of a buffer, which no other step does; `places`: all that are touched."""
    if len(places) != 1:
        return False
    (index,) = places
    return any(i == loop.var or isinstance(i, Op) and i.name == "add" and loop.var in i.args
               and not any(v in changing for v in variables(i)) for i in index)  # fmt: skip


def _wanted(stores: list[Store], sums: dict[Var, Expr]) -> set[Var]:
    return {v for e in sums.values() for v in variables(e)} | {v for s in stores for v in reads(s)}


def _in_order(body: list[Stmt], sets: list[Assign]) -> bool:
    """Whether every variable is set once, after all that reads its value of the step before."""
    if len({s.var for s in sets}) != len(sets):
        return False
    new: set[Var] = set()
    for s in body:
        if reads(s) & new:
            return False
        if isinstance(s, Assign):
            new.add(s.var)
    return True


def _sums(sets: list[Assign], defined: dict[Var, Let], body: list[Stmt]) -> dict[Var, Expr]:
    """Variables that something is added to at each step, and that nothing else reads."""
    found: dict[Var, Expr] = {}
    readers: dict[Var, set[int]] = {}  # the places of statements that read a variable
    for place, r in enumerate(body):
        for v in reads(r):
            readers.setdefault(v, set()).add(place)
    for s in sets:
        e, own = s.expr, {s.var}
        if isinstance(e, Var) and e in defined:
            own.add(e)
            e = defined[e].expr
        if not (isinstance(e, Op) and e.name == "add" and s.var in e.args and e.dtype.kind == "f"):
            continue
        term = e.args[1] if e.args[0] == s.var else e.args[0]
        readings = set().union(*(readers.get(v, ()) for v in own))
        if len(readings) == len(own) and s.var not in variables(term):
            found[s.var] = term
    return found


def _rest(
    wanted: set[Var], defined: Mapping[Var, Expr], serial: set[Var], carried: set[Var]
) -> tuple[set[Var], list[Var]]:
    """Variables that are computed after the recurrence, again if that is as cheap as to keep them; and what is kept."""
    rest: set[Var] = set()
    crossing: dict[Var, None] = {}
    pending = sorted(wanted, key=lambda v: v.name)
    while pending:
        v = pending.pop()
        if v in carried or (v in serial and v not in rest and (v in crossing or not _cheap(v, defined, carried))):
            crossing[v] = None
        elif v in defined and v not in rest:
            rest.add(v)
            pending += sorted(variables(defined[v]), key=lambda v: v.name)
    return rest, list(crossing)


def _cheap(v: Var, defined: Mapping[Var, Expr], carried: set[Var]) -> bool:
    """Whether all that `v` is made of is no state and takes two cycles at most; looks no further than that."""
    needed, pending, left = {v}, [v], 2.0
    while pending:
        e = defined[pending.pop()]
        below = variables(e)
        left -= cycles(e)
        if left < 0 or below & carried:
            return False
        new = (below & defined.keys()) - needed
        needed |= new
        pending += new
    return True


def _vectorised(e: Expr) -> bool:
    """Whether a loop that computes this is turned into vector instructions."""
    return all(not isinstance(x, Op) or x.name in VECTORISED for x in subexpressions(e)) and e.dtype.kind in "fiub"


CHUNK_OF = const_int(CHUNK)
STEP = Var("step", INT64)  # the number of a step in its chunk, until the loop around gives it a name


class _Split:
    """The loops that a loop becomes."""

    def __init__(self, parts: Parts, fresh: Fresh, reorder: bool) -> None:
        self.parts, self.fresh, self.reorder = parts, fresh, reorder
        self.made: list[Buffer] = []
        self.chunks: list[Buffer] = []  # of the recurrences that are solved
        self.first, self.size = fresh.var("first"), fresh.var("size")

    def statements(self) -> list[Stmt]:
        loop = self.parts.loop
        name = loop.note.removeprefix("steps of ")
        chunk = self.fresh.var("chunk")
        length = sub(loop.stop, loop.start)
        count = Op("floor_divide", (add(length, CHUNK - 1), const_int(CHUNK)), INT64)
        body: list[Stmt] = [
            Let(self.first, add(loop.start, mul(chunk, CHUNK_OF))),
            Let(self.size, Op("minimum", (sub(loop.stop, self.first), CHUNK_OF), INT64)),
        ]
        before: list[Stmt] = []
        after: list[Stmt] = []
        place: dict[Var, Expr] = {}
        for linear in self.parts.linear:
            place |= self._solved(linear, place, before, body, after, name)
        if not self.parts.linear:
            place = self._in_steps(body, name)
        body += self._after(place)
        for linear, chunk_of in zip(self.parts.linear, self.chunks, strict=True):
            body += self._carry_over(linear, chunk_of)
        return [*before, For(chunk, const_int(0), count, body, f"{CHUNK} steps of {name} at a time"), *after]

    def _loop(self, body: list[Stmt], note: str) -> For:
        j = self.fresh.var("j")
        t = self.parts.loop.var
        named = Replaced({STEP: j})
        return For(j, const_int(0), self.size, [Let(t, add(self.first, j)), *named.block(body)], note)

    def _room(self, base: str, like: Expr, rows: int = CHUNK) -> Buffer:
        buffer = Buffer(self.fresh.name(base), like.dtype, (const_int(rows),), "scratch")
        self.made.append(buffer)
        return buffer

    # -- the recurrence ------------------------------------------------------------------------------------------------

    def _in_steps(self, body: list[Stmt], name: str) -> dict[Var, Expr]:
        """One step after the other; returns where the rest finds what it reads of them."""
        parts = self.parts
        place: dict[Var, Expr] = {}
        kept: list[Stmt] = []
        for v in parts.crossing:
            buffer = self._room(f"{v.name}_chunk", v)
            kept.append(Store(buffer, (STEP,), v))
            place[v] = Load(buffer, (STEP,))
        if parts.state or parts.serial:
            steps = [*parts.notes, *parts.serial, *kept, *parts.state]
            body.append(self._loop(steps, f"steps of {name}, its recurrence"))
        return place

    def _solved(
        self, linear: LinearSteps, known: dict[Var, Expr], before: list[Stmt], body: list[Stmt], after: list[Stmt],
        name: str,
    ) -> dict[Var, Expr]:  # fmt: skip
        """All steps of a chunk at once; `chunk[depth + j]` is the value after step j. `known`: of those before."""
        depth, new = linear.depth, linear.new
        chunk = self._room(f"{new.name}_chunk", new, depth + CHUNK)
        self.chunks.append(chunk)
        before += [Store(chunk, (const_int(depth - 1 - k),), v) for k, v in enumerate(linear.initial)]
        row = add(STEP, depth)
        free: list[Stmt] = [*linear.lets, Store(chunk, (row,), linear.rest, linear.loc)]
        if linear.varying:
            coefficient = self._room(f"{new.name}_coefficient", new)
            free.append(Store(coefficient, (STEP,), linear.coefficients[0]))
            body.append(self._loop(Replaced(known).block(free), "what is free of the state"))
            body.append(self._loop(self._multiply_add(linear, chunk, coefficient), f"steps of {name}, its recurrence"))
        else:
            body.append(self._loop(Replaced(known).block(free), "what is free of the state"))
            body.append(self._in_blocks(linear, before, chunk))
        place: dict[Var, Expr] = {new: Load(chunk, (row,))}
        for var, (back, factor) in linear.states.items():
            place[var] = _times(factor, Load(chunk, (sub(row, back),)))
            after.append(Assign(var, _times(factor, Load(chunk, (const_int(depth - back),)))))
        return place

    def _multiply_add(self, linear: LinearSteps, chunk: Buffer, coefficient: Buffer) -> list[Stmt]:
        """One step with a coefficient of its own; the state is in a register."""
        ((state, _),) = linear.states.items()
        row = (add(STEP, linear.depth),)
        scaled = Op("multiply", (Load(coefficient, (STEP,)), state), state.dtype)
        value = Op("add", (Load(chunk, row), scaled), state.dtype)
        return [Let(linear.new, value, linear.loc), Store(chunk, row, linear.new), Assign(state, linear.new)]

    def _in_blocks(self, linear: LinearSteps, before: list[Stmt], chunk: Buffer) -> Stmt:
        depth, new, zero = linear.depth, linear.new, (const_int(0),)
        coefficients = self._room(f"{new.name}_coefficients", new, depth)
        state = self._room(f"{new.name}_state", new, depth)
        for k, (c, v) in enumerate(zip(linear.coefficients, linear.initial, strict=True)):
            before += [Store(coefficients, (const_int(k),), c), Store(state, (const_int(k),), v)]
        start = Place(chunk, (const_int(depth),))
        given = (start, self.size, Place(coefficients, zero), Place(state, zero), start)
        return Call(f"recurrences.solve{depth}", given, loc=linear.loc)

    def _carry_over(self, linear: LinearSteps, chunk: Buffer) -> list[Stmt]:
        """The last values of a chunk are those before the first steps of the next one."""
        return [Store(chunk, (const_int(k),), Load(chunk, (add(self.size, k),)))
                for k in range(linear.depth)]  # fmt: skip

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _after(self, place: dict[Var, Expr]) -> list[Stmt]:
        parts = self.parts
        found = Replaced(place)
        body: list[Stmt] = [*found.block(list(parts.rest)), *found.block(list(parts.stores))]
        sums: list[Stmt] = []
        added: list[Stmt] = []
        for var, term in parts.sums.items():
            terms = self._room(f"{var.name}_terms", var)
            body.append(Store(terms, (STEP,), found.expr(term)))
            if self.reorder:
                part = self.fresh.var(f"{var.name}_part", var)
                sums += [Call("sums.total", (Place(terms, (const_int(0),)), self.size), (part,)),
                         Assign(var, Op("add", (var, part), var.dtype))]  # fmt: skip
            else:
                added.append(Assign(var, Op("add", (var, Load(terms, (STEP,))), var.dtype)))
        made: list[Stmt] = [self._loop(body, "the rest of each step")]
        return [*made, *sums, *([self._loop(added, "sums over the steps")] if added else [])]


def _times(factor: Expr | None, e: Expr) -> Expr:
    return e if factor is None else Op("multiply", (e, factor), e.dtype)
