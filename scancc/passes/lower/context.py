"""State and services of lowering: blocks under construction, names, buffers, loop nests, and element access.

Two rules keep generated code right and readable:
- an expression used once is inlined into its user; anything else gets a `let` and is found again by (node, index);
- adjacent loop nests over the same shape are one nest when each element only needs elements at its own index.
"""

from __future__ import annotations

import keyword
from collections import ChainMap, Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scancc.ir.graph import Graph, Loc, Node, dependencies, topological, users
from scancc.ir.lengths import exact
from scancc.ir.loop import (
    INT64,
    Alloc,
    Buffer,
    Const,
    Expr,
    Fail,
    Failure,
    For,
    If,
    Kernel,
    Let,
    Load,
    Note,
    Op,
    Place,
    Stmt,
    Store,
    Var,
    const_int,
    sub,
    weight,
)
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Type
from scancc.ir.walk import statement_loads, subexpressions
from scancc.passes.lower.anew import anew
from scancc.passes.lower.bounds import room
from scancc.passes.lower.values import Index, Lazy, Registers, Value, registers
from scancc.passes.storage.plan_taps import Plan

INLINE_WEIGHT = 6  # operations in one statement
HOST = "_"  # what the names of the host's side of a call end with, which no name of a kernel does
# Names that mean something in every target's source: the user's variables must not hide them.
RESERVED = frozenset(keyword.kwlist) | {
    "abs", "at", "base", "busy", "cells", "cmath", "complex", "complexes", "counters", "cuda", "failed", "far",
    "first", "float", "found", "full", "grid", "grown", "halves", "here", "int", "integers", "item", "known", "lane",
    "lanes", "len", "linear_algebra", "locals", "looking", "math", "matrices", "max", "messages", "min", "more",
    "nearest", "np", "numba", "panels", "place", "polygamma", "products", "range", "rank", "reach", "reals",
    "recurrences", "revolve", "samplers", "scalar", "special", "status", "sums", "thread", "threads", "tile", "tiles",
    "transcendental", "type", "warp", "warps", "words",
}  # fmt: skip


@dataclass(eq=False)
class Block:
    statements: list[Stmt]
    memo: dict[tuple[Node, Index], Expr] = field(default_factory=dict)
    nest: Nest | None = None  # the loop nest that is the last statement and may still grow
    inside_nest: bool = False
    spills: dict[Node, Buffer] = field(default_factory=dict)
    open: bool = False  # the last statement is a loop whose body is being built


@dataclass(eq=False)
class Nest:
    shape: Index
    vars: Index
    block: Block  # innermost
    written: dict[Buffer, Index] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a result wants to be stored: the rows of `buffer` under the index `prefix`."""

    buffer: Buffer
    prefix: Index


class Lowering:
    def __init__(self, name: str, plan: Plan, library: bool = True, prefix: bool = False) -> None:
        self.plan = plan
        self.prefix = prefix
        self.library = library  # whether kernels may call a run-time library that reads and writes memory
        self._names: set[str] = set(RESERVED)
        self._numbers: dict[str, int] = {}  # by base: the last number tried, since names are never given back
        self.kernel = Kernel(self.name(name), [], [], [])
        self.blocks = [Block(self.kernel.body)]
        # Scoped like blocks: what an inner block makes of an outer value is forgotten when the block ends.
        self.env: ChainMap[Node, Value] = ChainMap()
        self.uses: Counter[Node] = Counter()
        self.repeated: set[Node] = set()  # reductions that a broadcast would compute again for every element
        self.dims: ChainMap[str, Expr] = ChainMap()
        self.host_dims: set[str] = set()  # lengths known before the kernel starts
        self.definitions: dict[str, Expr] = {}  # of variables that can be computed before the kernel starts
        self.ranges: dict[str, tuple[Expr, Expr]] = {}  # of lengths and counters in loops: least and largest value
        self.mutable: set[str] = set()
        self.targets: dict[Node, Target] = {}
        self.read_before: dict[Node, tuple[Node, ...]] = {}  # by an update in place: what reads the old elements
        self.depth = 0  # of scans around the current block
        self.step: list[Expr] = []
        self.waited_for = False  # whether the next step waits for what this one computes
        self.scans: dict[Node, Any] = {}  # lowered scans: storage of their results, executed length
        self.branches: dict[Node, dict[str, Value]] = {}
        self.buffers: list[Buffer] = []
        self.growing: set[Buffer] = set()  # traces that start with room for some rows only
        self.constants: dict[Buffer, np.ndarray] = {}

    # -- names, statements, blocks ---------------------------------------------------------------------------
    def name(self, base: str) -> str:
        name, n = base, self._numbers.get(base, 1)
        while name in self._names or name.endswith(HOST):
            n += 1
            name = f"{base}_{n}" if base[-1:].isdigit() or base in RESERVED else f"{base}{n}"
        self._numbers[base] = n
        self._names.add(name)
        return name

    def var(self, base: str, dtype: np.dtype) -> Var:
        return Var(self.name(base), dtype)

    def emit(self, statement: Stmt) -> None:
        self.blocks[-1].nest = None
        self.blocks[-1].statements.append(statement)

    def emit_note(self, text: str) -> None:
        self.emit(Note(text))

    @contextmanager
    def block(self, statements: list[Stmt], inside_nest: bool = False, attached: bool = True) -> Iterator[Block]:
        """A block under construction; `attached` when the loop around it has been emitted already."""
        block = Block(statements, inside_nest=inside_nest)
        outer, was_open = self.blocks[-1], self.blocks[-1].open
        outer.open = attached
        self.blocks.append(block)
        self.env, self.dims = self.env.new_child(), self.dims.new_child()
        try:
            yield block
        finally:
            self.env, self.dims = self.env.parents, self.dims.parents
            self.blocks.pop()
            outer.open = was_open

    @contextmanager
    def loop(self, base: str, stop: Expr, note: str = "", inside_nest: bool = False) -> Iterator[Var]:
        var = self.var(base, INT64)
        statement = For(var, const_int(0), stop, [], note)
        self.ranges[var.name] = (const_int(0), sub(stop, 1))
        self.emit(statement)
        with self.block(statement.body, inside_nest):
            yield var

    @contextmanager
    def element_loops(self, shape: Index) -> Iterator[Index]:
        """Loops over every index of `shape`, for copies."""
        with ExitStack() as loops:
            yield tuple(loops.enter_context(self.loop("c", stop, inside_nest=True)) for stop in shape)

    def let(self, expr: Expr, base: str = "v", loc: Loc | None = None) -> Expr:
        """A name for `expr`, unless it is a constant or a name that never changes."""
        if isinstance(expr, Const) or (isinstance(expr, Var) and expr.name not in self.mutable):
            return expr
        var = self.var(base, expr.dtype)
        self.emit(Let(var, expr, loc))
        if self.depth == 0 and self.known_before(expr):
            self.host_dims.add(var.name)
            self.definitions[var.name] = expr
        elif var.dtype == INT64:
            self.ranges[var.name] = (expr, expr)
        return var

    def fill_scalar(self, buffer: Buffer, expr: Expr) -> None:
        self.emit(Store(buffer, (const_int(0),), expr))

    def bind(self, node: Node, expr: Expr) -> Expr:
        """`expr` itself where the one user can take it in, a name otherwise."""
        if isinstance(expr, (Const, Var)):
            return expr
        if self.uses[node] <= 1 and weight(expr) <= INLINE_WEIGHT:
            return expr
        return self.let(expr, "v", node.loc)

    # -- failures --------------------------------------------------------------------------------------------
    def fail_if(self, condition: Expr, kind: str, message: str, loc: Loc | None) -> None:
        self.kernel.failures.append(Failure(kind, message, loc))
        self.emit(If(condition, [Fail(len(self.kernel.failures))]))

    # -- shapes and buffers ----------------------------------------------------------------------------------
    def length(self, dim: int | Dim) -> Expr:
        return const_int(dim) if isinstance(dim, int) else self.dims[dim.name]

    def lengths(self, type_: Type) -> Index:
        return tuple(self.length(d) for d in type_.shape)

    def scratch(self, base: str, dtype: np.dtype, shape: tuple[int | Dim | Expr, ...]) -> Buffer:
        """A buffer allocated before the kernel starts, or by it where a length is not known before."""
        exprs = tuple(s if isinstance(s, (Const, Var, Op, Load)) else self.length(s) for s in shape)
        if not self.library:  # a device allocates nothing itself
            exprs = tuple(room(e, self.known_before, self.ranges) or e for e in exprs)
        known = all(self.known_before(e) for e in exprs)
        buffer = Buffer(self.name(base), dtype, exprs, "scratch" if known else "local")
        if known:
            self.buffers.append(buffer)
        else:
            self.emit(Alloc(buffer))
        return buffer

    def constant(self, value: np.ndarray) -> Buffer:
        """A read-only buffer that holds a constant too large for registers."""
        for buffer, known in self.constants.items():
            if known is value:
                return buffer
        buffer = Buffer(self.name("table"), value.dtype, tuple(map(const_int, value.shape)), "input")
        self.constants[buffer] = value
        return buffer

    def known_before(self, e: Expr) -> bool:
        match e:
            case Const():
                return True
            case Var(name, _):
                return name in self.host_dims
            case Op(_, args, _):
                # A device allocates nothing: there the host computes some more, and memory has room for it.
                possible = exact(e) or (not self.library and e.name == "cbrt")
                return possible and all(self.known_before(a) for a in args)
            case _:
                return False

    # -- elements --------------------------------------------------------------------------------------------
    def element(self, node: Node, index: Index) -> Expr:
        """The expression of one element, computed at most once per block where it has several users."""
        for block in reversed(self.blocks):
            if (node, index) in block.memo:
                return block.memo[node, index]
        value = self.env[node]
        if isinstance(value, Registers):
            if all(isinstance(i, Const) for i in index):
                found: Expr = value.elements[tuple(i.value for i in index)]  # type: ignore[union-attr]
                return found
            return Load(self.spill(node), index)  # an index known at run time only needs memory
        expr = value.at(index)
        if self.uses[node] > 1 and not isinstance(expr, (Const, Var)):
            expr = self.let(expr, "v", node.loc)
            self.blocks[-1].memo[node, index] = expr
        elif weight(expr) > INLINE_WEIGHT:
            expr = self.let(expr, "v", node.loc)
        return expr

    def broadcast_element(self, node: Node, index: Index) -> Expr:
        """Element of an operand of a broadcasting op whose result index is `index`."""
        shape = node.type.shape
        own = index[len(index) - len(shape) :]
        return self.element(node, tuple(const_int(0) if d == 1 else i for d, i in zip(shape, own, strict=True)))

    def registers_of(self, node: Node) -> Any:
        """All elements of a small value as an object array."""
        value = self.env[node]
        if isinstance(value, Registers):
            return value.elements
        shape = tuple(int(d) for d in node.type.shape)  # type: ignore[arg-type]
        exprs = [self.let(self.element(node, tuple(map(const_int, i))), "v", node.loc) for i in np.ndindex(shape)]
        self.env[node] = registers(exprs, shape)
        return self.env[node].elements  # type: ignore[union-attr]

    def spill(self, node: Node) -> Buffer:
        """Memory holding a value in registers, for indices known at run time only."""
        for block in reversed(self.blocks):
            if node in block.spills:
                return block.spills[node]
        value = self.env[node]
        assert isinstance(value, Registers)
        buffer = self.scratch("spill", node.type.dtype, node.type.shape)
        # Before the loop nest that is being built, outside of which the registers were computed.
        outer = next(b for b in reversed(self.blocks) if not b.inside_nest)
        stores: list[Stmt] = [
            Store(buffer, tuple(map(const_int, i)), value.elements[i], node.loc)
            for i in np.ndindex(value.elements.shape)
        ]
        if outer.nest is not None or outer.open:
            outer.statements[-1:-1] = stores
        else:
            outer.statements += stores
        outer.spills[node] = buffer
        return buffer

    # -- loop nests ------------------------------------------------------------------------------------------
    def fill(self, node: Node, target: Target) -> None:
        """Compute every element of `node` into memory, joining the loop nest just before where that is right."""
        shape = self.lengths(node.type)
        if not shape:
            self.emit(Store(target.buffer, target.prefix, self.element(node, ()), node.loc))
            return
        if isinstance(self.env[node], Registers):
            for i in np.ndindex(self.env[node].elements.shape):  # type: ignore[union-attr]
                index = tuple(map(const_int, i))
                self.emit(Store(target.buffer, target.prefix + index, self.element(node, index), node.loc))
            return
        nest = self.blocks[-1].nest
        if nest is None or nest.shape != shape or not self._joins(nest, node, target):
            self._new_nest(shape, node, target)

    def _evaluate_in(self, nest: Nest, node: Node, target: Target) -> list[Stmt]:
        with self.block([], inside_nest=True, attached=False) as block:
            block.memo = dict(nest.block.memo)
            value = self.let(self.element(node, nest.vars), "v", node.loc)
        block.memo[node, nest.vars] = value
        block.statements.append(Store(target.buffer, target.prefix + nest.vars, value, node.loc))
        nest.block.memo = block.memo
        return block.statements

    def _joins(self, nest: Nest, node: Node, target: Target) -> bool:
        memo = nest.block.memo
        statements = self._evaluate_in(nest, node, target)
        if any(not _own_index(load, nest) for s in statements for load in statement_loads(s)):
            nest.block.memo = memo
            return False
        nest.block.statements += statements
        nest.written[target.buffer] = target.prefix + nest.vars
        return True

    def _new_nest(self, shape: Index, node: Node, target: Target) -> None:
        index = tuple(self.var("ijkl"[a] if a < 4 else f"i{a}_", INT64) for a in range(len(shape)))
        inner: list[Stmt] = []
        nest = Nest(shape, index, Block(inner), {target.buffer: target.prefix + index})
        self.blocks[-1].nest = None
        statements = self._evaluate_in(nest, node, target)
        inner += statements
        body = inner
        for var, stop in reversed(list(zip(index, shape, strict=True))):
            body = [For(var, const_int(0), stop, body)]
        self.blocks[-1].statements += body
        self.blocks[-1].nest = nest

    def materialise(self, node: Node, base: str = "tmp") -> Lazy:
        """`node` in memory, densely and in row-major order."""
        value = self.env[node]
        if isinstance(value, Lazy) and value.place is not None and value.row_stride is None and not value.transposed:
            return value
        if isinstance(value, Registers):
            return in_memory(Target(self.spill(node), ()), node.type.ndim)
        target = self.targets.pop(node, None) or Target(self.scratch(base, node.type.dtype, node.type.shape), ())
        self.fill(node, target)
        return self.stored(node, target)

    def stored(self, node: Node, target: Target) -> Lazy:
        """Say that `node` lies in memory at `target` from now on."""
        value = in_memory(target, node.type.ndim)
        self.env[node] = value
        return value

    def output_target(self, node: Node, base: str = "tmp") -> Target:
        """Where an op that writes its result by itself shall write: the place its consumer wants, or scratch."""
        return self.targets.pop(node, None) or Target(self.scratch(base, node.type.dtype, node.type.shape), ())

    # -- graphs ----------------------------------------------------------------------------------------------
    def graph(self, graph: Graph) -> None:
        from scancc.passes.lower.table import LOWER

        nodes = topological(graph.results.values(), self.read_before)
        for node in nodes:
            self.uses.update(dependencies(node))
        self.uses.update(graph.results.values())
        self.repeated |= _repeated(graph, nodes)
        again = anew(graph)
        depths: dict[Node, int] = {}  # of what is computed where it is read
        for node in nodes:
            if node in self.env:
                continue  # a leaf, bound by whoever lowers this graph
            for dim in (d for d in node.type.shape if isinstance(d, Dim)):
                self.define_dim(dim)
            for dim in (d for d in node.attrs.get("shape", ()) if isinstance(d, Dim)):
                self.define_dim(dim)
            LOWER[node.op](self, node)
            value = self.env.get(node)
            if isinstance(value, Lazy) and value.place is None:
                depths[node] = depth = 1 + max((depths.get(a, 0) for a in node.args), default=0)
                if again.is_too_much(node, depth):
                    self.materialise(node, "row")
                    depths[node] = 0

    def define_dim(self, dim: Dim) -> None:
        if dim.name in self.dims:
            return
        assert dim.define is not None, f"dimension {dim.name} is introduced by nothing"
        expr = self.element(dim.define, ())
        if not isinstance(expr, Const):
            expr = self.let(expr, dim.name)
        self.dims[dim.name] = expr


def _repeated(graph: Graph, nodes: list[Node]) -> set[Node]:
    """Reductions of which a user, or a user's user..., reads each element several times: none of these is in memory."""
    if not any(n.op.startswith("reduce_") for n in nodes):
        return set()
    readers = users(graph)
    found: set[Node] = set()
    for n in reversed(nodes):  # users come before what they use
        inlining = [u for u in readers.get(n, []) if OPS[u.op].kind in ("elementwise", "view")]
        if any(u in found or (u.op != "reshape" and _grows(n.type, u.type)) for u in inlining):
            found.add(n)
    return {n for n in found if n.op.startswith("reduce_")}


def _grows(old: Type, new: Type) -> bool:
    """Whether a value of type `old` is broadcast to one of type `new`."""
    if new.ndim > old.ndim:
        return True
    return any(a == 1 and b != 1 for a, b in zip(old.shape, new.shape, strict=False))


def in_memory(target: Target, rank: int) -> Lazy:
    buffer, prefix = target.buffer, target.prefix
    return Lazy(lambda index: Load(buffer, prefix + index), Place(buffer, prefix + (const_int(0),) * rank))


def _own_index(load: Load, nest: Nest) -> bool:
    """Whether a load finds what it would after the nest: other rows are written by the nest, but no other column."""
    if load.buffer not in nest.written:
        return True
    rank = len(nest.vars)
    row, column = load.index[: len(load.index) - rank], load.index[len(load.index) - rank :]
    return bool(rank) and column == nest.vars and not any(e in nest.vars for x in row for e in subexpressions(x))

