"""Products of a step with weights that every step reads: the weights stay on the multiprocessor from step to step.

    before   for t in 0..n
               share j in 0..256
                 var acc = 0; for k in 0..256: set acc = acc + h[k] * w[k, j]
    after    let mine = minimum(thread, 255)
             let w_0 = w[0, mine] ... let w_191 = w[191, mine]
             share i in 0..64 * 256: store held[i] = w[192 + i / 256, i % 256]
             barrier
             for t in 0..n
               share j in 0..256
                 var acc = 0; var acc_1 = 0 ...
                 set acc = acc + h[0] * w_0; set acc_1 = acc_1 + h[1] * w_1 ...
                 for k in 0..64 / 4: set acc = acc + h[192 + 4 k] * held[4 k * 256 + j] ...
                 set acc = (acc + acc_1) + (acc_2 + acc_3)

As in persistent recurrent networks (Diamos et al., 2016). A thread that makes one element of a row has its column in
registers, as much of it as there are; what is left is in the block's own memory, and the rest where it was. Sums are
four partial sums, where their order is free: one addition waits 4 cycles for the one before. Which elements a step
reads must not depend on the step, or on data. A transformation of kernels whose loops a block shares out; `hold_arrays`
does the same to what is read in other ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from scancc.ir.loop import (
    INT64,
    THREAD,
    Assign,
    Barrier,
    Buffer,
    Const,
    Declare,
    Expr,
    For,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Stmt,
    Store,
    Var,
    add,
    const_int,
    mul,
)
from scancc.ir.rewrite import Replaced
from scancc.ir.walk import blocks, expressions, statements, subexpressions
from scancc.passes.devices.device import Device
from scancc.passes.devices.share_loops import is_time_loop
from scancc.passes.loops.fresh import Fresh
from scancc.passes.loops.partial_sums import is_sum

OTHER, OTHER_OF_FEW = 63, 79  # registers that a thread needs besides, and where it has FEW: gates make steps longer
FEW = 128
SUMS = 4


def hold_weights(kernel: Kernel, device: Device, room: int, reorder: bool) -> Kernel:
    """The kernel with weights in registers, and in `room` bytes of shared memory. `reorder`: sums may be."""
    return _Holding(kernel, device, room, reorder).kernel()


@dataclass
class _Product:
    """A sum over `inner` in a row's loop that reads elements of an array that depend on nothing but the two."""

    row: For
    inner: For
    load: Load
    index: tuple[Expr, ...]  # of the load, in terms of the two loops alone

    @property
    def terms(self) -> int:
        assert isinstance(self.inner.stop, Const)
        return int(self.inner.stop.value)

    @property
    def width(self) -> int:
        assert isinstance(self.row.stop, Const)
        return int(self.row.stop.value)

    def at(self, k: Expr, j: Expr) -> Load:
        now = {self.inner.var: k, self.row.var: j}
        return Load(self.load.buffer, tuple(Replaced(now).expr(i) for i in self.index))


@dataclass
class _Holding:
    source: Kernel
    device: Device
    room: int
    reorder: bool
    before: list[Stmt] = field(default_factory=list)  # the steps of the loop at hand

    def __post_init__(self) -> None:
        self.fresh = Fresh(self.source)
        self.registers = 0  # that are left to the loop at hand
        self.mine: dict[int, Var] = {}  # the element of a thread, by the number of elements
        self.held: Buffer | None = None
        self.size = 0  # elements of it

    def kernel(self) -> Kernel:
        body = self.block(self.source.body)
        if self.held is not None:
            self.held.shape = (const_int(self.size),)
        return replace(self.source, body=body)

    def block(self, block: list[Stmt]) -> list[Stmt]:
        out: list[Stmt] = []
        for s in block:
            if is_time_loop(s):
                assert isinstance(s, For)
                self.before, self.mine, known = [], {}, self.size
                most = self.device.registers_of_each(self.source.threads)
                self.registers = max(0, most - (OTHER if most > FEW else OTHER_OF_FEW))
                s = self.steps(s)
                out += self.before
                out += [Barrier()] if self.size > known else []
            elif not (isinstance(s, For) and s.share):
                for inner in blocks(s):
                    inner[:] = self.block(inner)
            out.append(s)
        return out

    def steps(self, loop: For) -> For:
        for row in statements(loop.body):
            if isinstance(row, For) and row.share == "team":
                for p in list(_products(row)):
                    row.body = self.product(p)
        return loop

    def product(self, p: _Product) -> list[Stmt]:
        """The row's loop body with what is held in place of the weights."""
        words = p.load.dtype.itemsize // 4
        in_registers = min(p.terms, self.registers // words) if p.width <= self.source.threads and words else 0
        fits = self.held is None or self.held.dtype == p.load.dtype
        in_memory = min(p.terms - in_registers, self.room // (p.width * p.load.dtype.itemsize)) if fits else 0
        sums = SUMS if self.reorder and _adds(p) else 1
        in_registers, in_memory = (n if n == p.terms else n - n % sums for n in (in_registers, in_memory))
        if not in_registers and not in_memory:
            return p.row.body
        self.registers -= in_registers * words
        self.room -= in_memory * p.width * p.load.dtype.itemsize
        own = [self.in_register(p, k) for k in range(in_registers)]
        first = self.in_memory(p, in_registers, in_memory) if in_memory else 0

        def copy(k: Expr) -> Load:
            assert self.held is not None
            place = add(add(mul(k, p.width), p.row.var), first - in_registers * p.width)
            return Load(self.held, (place,))

        out: list[Stmt] = []
        for s in p.row.body:
            if s is not p.inner:
                out.append(s)
                continue
            total = _total(p)
            parts = [total, *(self.fresh.var(f"{total.name}_{n}", total) for n in range(1, sums))] if total else []
            zero = Const(0, total.dtype) if total else const_int(0)
            out += [Declare(v, zero) for v in parts[1:]]
            for k, v in enumerate(own):
                out += self.term(p, const_int(k), v, parts, k)
            out += self.loop(p, in_registers, in_registers + in_memory, parts, copy)
            out += self.loop(p, in_registers + in_memory, p.terms, parts, lambda k: p.at(k, p.row.var))
            if sums > 1:
                assert total is not None
                pairs = [Op("add", (parts[i], parts[i + 1]), total.dtype) for i in (0, 2)]
                out.append(Assign(total, Op("add", tuple(pairs), total.dtype)))
        return out

    def in_register(self, p: _Product, k: int) -> Var:
        if p.width not in self.mine:
            self.mine[p.width] = mine = self.fresh.var("mine")
            self.before.append(Let(mine, Op("minimum", (THREAD, const_int(p.width - 1)), INT64)))
        found = p.at(const_int(k), self.mine[p.width])
        held = self.fresh.var(f"{p.load.buffer.name}_{k}", found)
        self.before.append(Let(held, found))
        return held

    def in_memory(self, p: _Product, k: int, terms: int) -> int:
        """Copies `terms` rows from k on; where they begin."""
        if self.held is None:
            self.held = Buffer(self.fresh.name("held"), p.load.dtype, (), "held")
        first, i = self.size, self.fresh.var("i")
        self.size += terms * p.width
        width = const_int(p.width)
        j, row = Op("remainder", (i, width), INT64), add(Op("floor_divide", (i, width), INT64), k)
        copied = Store(self.held, (add(i, first),), p.at(row, j))
        total = const_int(terms * p.width)
        self.before.append(For(i, const_int(0), total, [copied], "held for all steps", share="team"))
        return first

    def loop(
        self, p: _Product, start: int, stop: int, parts: list[Var], value: Callable[[Expr], Expr]
    ) -> list[Stmt]:
        """Terms that are not in registers, as many at once as there are sums."""
        sums = max(1, len(parts))
        k = self.fresh.var(p.inner.var.name)
        whole = (stop - start) // sums
        out: list[Stmt] = []
        if whole:
            body: list[Stmt] = []
            for n in range(sums):
                term = add(mul(k, sums), start + n)
                body += self.term(p, term, value(term), parts, n)
            out.append(For(k, const_int(0), const_int(whole), body))
        for n in range(start + whole * sums, stop):
            out += self.term(p, const_int(n), value(const_int(n)), parts, n)
        return out

    def term(self, p: _Product, k: Expr, weight: Expr, parts: list[Var], n: int) -> list[Stmt]:
        """The body of the sum's loop for one term, added to one of the sums."""
        now: dict[Var, Expr] = {p.inner.var: k}
        if parts:
            now[parts[0]] = parts[n % len(parts)]
        out: list[Stmt] = []
        for s in p.inner.body:
            if isinstance(s, Note):
                continue
            new = Replaced(now, {p.load: weight}).statement(s)
            assert isinstance(s, (Let, Assign)) and isinstance(new, (Let, Assign))
            if isinstance(s, Let):
                now[s.var] = var = self.fresh.var(s.var.name, s.var)
                new = replace(new, var=var)
            elif s.var in now:
                new = replace(new, var=now[s.var])  # type: ignore[arg-type]  # a sum is a variable
            out.append(new)
        return out


def _products(row: For) -> Iterator[_Product]:
    """The first load of an input in each loop of a row's body whose place depends on the two loops alone."""
    if not isinstance(row.stop, Const) or row.start != const_int(0):
        return
    lets = {s.var: s.expr for s in row.body if isinstance(s, Let)}
    for inner in row.body:
        if not isinstance(inner, For) or inner.start != const_int(0) or not isinstance(inner.stop, Const):
            continue
        if not all(isinstance(s, (Let, Assign, Note)) for s in inner.body):
            continue
        for load in (x for s in inner.body for e in expressions(s) for x in subexpressions(e)):
            if not isinstance(load, Load) or load.buffer.role != "input":
                continue
            index = tuple(_spelt_out(i, lets) for i in load.index)
            used = {v for i in index for v in subexpressions(i) if not isinstance(v, (Const, Op))}
            if used == {row.var, inner.var}:
                yield _Product(row, inner, load, index)
                break


def _spelt_out(e: Expr, lets: Mapping[Var, Expr]) -> Expr:
    match e:
        case Var() if e in lets:
            return _spelt_out(lets[e], lets)
        case Op(name, args, dtype):
            return Op(name, tuple(_spelt_out(a, lets) for a in args), dtype)
        case _:
            return e


def _total(p: _Product) -> Var | None:
    """The variable that the loop adds up, if that is what it does."""
    sets = [s for s in p.inner.body if isinstance(s, Assign)]
    return sets[0].var if len(sets) == 1 else None


def _adds(p: _Product) -> bool:
    """Whether the loop is a sum of floats that begins with zero."""
    total = _total(p)
    if total is None or total.dtype.kind not in "fc":
        return False
    (change,) = (s for s in p.inner.body if isinstance(s, Assign))
    if not is_sum(change, p.inner):
        return False
    place = p.row.body.index(p.inner)
    begin = p.row.body[place - 1] if place else None
    return isinstance(begin, Declare) and begin.var == total and isinstance(begin.expr, Const) and begin.expr.value == 0
