"""The scan IR: a typed SSA graph in which a scan is an op with a closed body graph.

    graph   ::= input* statement* result*
    input   ::= 'input' name ':' Type
    statement ::= %id ':' Type '=' op '(' %id* ')' attrs
    scan    ::= 'scan' name 'steps' %n ['in' strategy] backward* sequence* carry* nonseq* body
    sequence ::= name 'taps' int* '=' %x          rows t+tap of %x, shifted so that no read is before row 0
    carry   ::= name 'taps' int* '=' %init         past values of a result of the body
    nonseq  ::= name '=' %a                        the same value at every step
    backward ::= 'truncate' k | 'window' k | 'checkpoint' policy | 'budget' bytes      what derivatives are to do
    body    ::= graph whose leaves are `tap name[k]`, `read name` and `step`
    view    ::= 'get' %scan name view              trace | history | last k | tail k | final | state | every | length

Roles go by name. The semantics of scan, with d the deepest tap of carry y (`interpreter.py` runs just this):

    for t in range(n):
        env = {x[k]: X[t + k - min(0, x.taps)], y[k]: history_y[t + d + k], a: A, step: t}
        results = body(env)
        history_y.append(results[y]); trace_o.append(results[o])
        if results['until']: break

Nodes are frozen and compared by identity. Traversals are iterative: a body of thousands of ops must not recurse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from scancc.ir.types import Dim, Type

NO_ATTRS: Mapping[str, Any] = MappingProxyType({})
UNTIL = "until"  # reserved result name of a body: the stopping condition
STRIDE = "every"  # reserved name of a non-sequence: how many steps lie between states that are kept, or each two
RESERVED = frozenset({UNTIL, STRIDE})  # names that no result, tap or operand of the user has
ASSOCIATIVE = "associative"  # strategy of a scan whose steps a user says can be put together in any grouping
PREFIX = "prefix"  # strategy of a scan whose steps are put together in runs
EFFECT = "!"  # results whose names start with it are computed for their effect: checks and prints


@dataclass(frozen=True, slots=True)
class Loc:
    """A place in the user's code: file, 1-based line, 0-based column range, and the function's name."""

    file: str
    line: int
    column: int
    end_column: int
    function: str


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value; or, for `scan` and `cond`, a bundle of values read by `get` (its own type is a placeholder)."""

    op: str
    args: tuple[Node, ...]
    type: Type
    attrs: Mapping[str, Any] = field(default_factory=lambda: NO_ATTRS)
    loc: Loc | None = None

    def __repr__(self) -> str:
        return f"<{self.op}: {self.type}>"


@dataclass(frozen=True, slots=True)
class Graph:
    """A closed graph: its only leaves are inputs (top level) or taps, reads and the step number (a body)."""

    inputs: tuple[Node, ...]
    results: Mapping[str, Node]
    # Every pass asks for the nodes, most of them several times, and a graph never changes.
    _nodes: list[Node] = field(default_factory=list, init=False, repr=False, compare=False)

    def nodes(self) -> list[Node]:
        """Every node that a result depends on, operands first (bodies are not entered). Not to be changed."""
        if not self._nodes:
            self._nodes.extend(topological(self.results.values()))
        return self._nodes

    @property
    def has_loops(self) -> bool:
        """Whether there is a scan in it, or a conditional, which may have one."""
        return any(n.op in ("scan", "cond") for n in self.nodes())


@dataclass(frozen=True, slots=True)
class Sequence:
    name: str
    taps: tuple[int, ...]

    @property
    def lead(self) -> int:
        """Rows before the first step's own row: the reach into the past."""
        return -min(0, *self.taps)

    @property
    def reach(self) -> int:
        """Rows that a scan of no steps would need: past plus future reach."""
        return self.lead + max(0, *self.taps)


@dataclass(frozen=True, slots=True)
class Carry:
    """A recurrent result. `taps` are negative. `initial` has one row a past value: row j is time j - depth.

    With taps == (-1,) alone the initial value has the rank of one step (`rows` is False).
    """

    name: str
    taps: tuple[int, ...]

    @property
    def depth(self) -> int:
        return -min(self.taps)

    @property
    def rows(self) -> bool:
        return self.taps != (-1,)


@dataclass(frozen=True, slots=True)
class Backward:
    """How the derivatives of a scan are to be made; nothing of it changes values."""

    truncate: int | None = None  # only the last k steps get a derivative, as Theano's truncate_gradient
    window: int | None = None  # what a step's result gets flows back through k steps at most
    checkpoint: str | int | None = None  # states kept instead of histories: 'sqrt', 'binomial', or every n-th
    budget: int | None = None  # bytes that all that is kept for the way back may take


NOTHING_ASKED = Backward()


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """Everything of a scan but its operands. Operands of the node: n_steps, sequences, initials, non-sequences."""

    name: str
    sequences: tuple[Sequence, ...]
    carries: tuple[Carry, ...]
    nonseqs: tuple[str, ...]
    outputs: tuple[str, ...]  # results without feedback
    body: Graph
    strategy: str = "steps"  # how the loop is run: 'steps', 'blocks' of a linear recurrence, or a 'prefix' of runs
    backward: Backward = NOTHING_ASKED

    @property
    def has_until(self) -> bool:
        return UNTIL in self.body.results

    @property
    def effects(self) -> tuple[str, ...]:
        return tuple(name for name in self.body.results if name.startswith(EFFECT))

    def operand_names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.sequences) + tuple(c.name for c in self.carries) + self.nonseqs

    def carry(self, name: str) -> Carry | None:
        return next((c for c in self.carries if c.name == name), None)

    def sequence(self, name: str) -> Sequence | None:
        return next((s for s in self.sequences if s.name == name), None)


def spec_of(node: Node) -> ScanSpec:
    spec: ScanSpec = node.attrs["spec"]
    return spec


def operands(node: Node) -> dict[str, Node]:
    """Operands of a scan by name; the step count is `node.args[0]`."""
    return dict(zip(spec_of(node).operand_names(), node.args[1:], strict=True))


def mentioned_dims(node: Node) -> Iterator[Dim]:
    """Dimensions in a node's type and attributes."""
    for d in node.type.shape:
        if isinstance(d, Dim):
            yield d
    if "shape" in node.attrs:
        for d in node.attrs["shape"]:
            if isinstance(d, Dim):
                yield d


def topological(roots: Iterable[Node], before: Mapping[Node, Iterable[Node]] = MappingProxyType({})) -> list[Node]:
    """Nodes reachable from `roots`, operands before users, in a deterministic order.

    The scalar nodes that define dimensions are operands in this sense: a shape needs its lengths. `before` has more
    that is to come before a node.
    """
    order: list[Node] = []
    seen: set[Node] = set()
    for root in roots:
        if root in seen:
            continue
        seen.add(root)
        # The nodes from the root to where the walk is, and what it has yet to look at below each.
        path, below = [root], [iter(_needs(root, before))]
        while path:
            for need in below[-1]:
                if need not in seen:
                    seen.add(need)
                    path.append(need)
                    below.append(iter(_needs(need, before)))
                    break
            else:
                order.append(path.pop())
                below.pop()
    return order


def _needs(node: Node, before: Mapping[Node, Iterable[Node]]) -> Seq[Node]:
    return [*dependencies(node), *before[node]] if node in before else dependencies(node)


def dependencies(node: Node) -> Seq[Node]:
    if not node.type.shape and "shape" not in node.attrs:
        return node.args  # most nodes of a scalar step
    lengths = [d.define for d in mentioned_dims(node) if d.define is not None]
    return [*node.args, *lengths] if lengths else node.args


def body_graphs(node: Node) -> tuple[Graph, ...]:
    """Graphs nested in a node: a scan's body, a cond's branches."""
    if node.op == "scan":
        return (spec_of(node).body,)
    if node.op == "cond":
        return (node.attrs["then"], node.attrs["orelse"])
    return ()


def graphs_within(graph: Graph) -> Iterator[Graph]:
    """A graph, and those nested in it at any depth."""
    yield graph
    for node in graph.nodes():
        for inner in body_graphs(node):
            yield from graphs_within(inner)


def users(graph: Graph) -> dict[Node, list[Node]]:
    table: dict[Node, list[Node]] = {}
    for node in graph.nodes():
        for arg in dependencies(node):
            table.setdefault(arg, []).append(node)
    return table


def rewrite(graph: Graph, rule: Callable[[Node], Node | None]) -> Graph:
    """Rebuild a graph bottom-up; `rule` sees a node whose operands are already rewritten and may replace it.

    Nodes that change nothing keep their identity, so a pass that finds nothing returns the same graph.
    """
    mapping = rewrite_nodes(graph.results.values(), rule)
    results = {name: mapping[node] for name, node in graph.results.items()}
    if all(results[k] is v for k, v in graph.results.items()):
        return graph
    return Graph(graph.inputs, results)


def rewrite_nodes(roots: Iterable[Node], rule: Callable[[Node], Node | None]) -> dict[Node, Node]:
    mapping: dict[Node, Node] = {}
    for node in topological(roots):
        new = rebuild(node, mapping)
        mapping[node] = rule(new) or new
    return mapping


def rebuild(node: Node, mapping: Mapping[Node, Node]) -> Node:
    """`node` with operands and the definitions of dimensions replaced through `mapping`; itself if none is."""
    needs = dependencies(node)
    if all(mapping.get(x, x) is x for x in needs):
        return node
    args = tuple([mapping.get(a, a) for a in node.args])
    if needs is node.args:
        return Node(node.op, args, node.type, node.attrs, node.loc)

    def renew(shape: Iterable[int | Dim]) -> tuple[int | Dim, ...]:
        return tuple(
            Dim(d.name, d.hint, mapping.get(d.define, d.define)) if isinstance(d, Dim) and d.define else d
            for d in shape
        )

    attrs = node.attrs
    if "shape" in attrs:
        attrs = MappingProxyType({**attrs, "shape": renew(attrs["shape"])})
    return Node(node.op, args, node.type.with_shape(renew(node.type.shape)), attrs, node.loc)


def substitute(roots: Iterable[Node], changes: Mapping[Node, Node]) -> dict[Node, Node]:
    """Every node that `roots` depend on, with some nodes replaced and what stands above them rebuilt."""
    mapping: dict[Node, Node] = {}
    for node in topological(roots):
        mapping[node] = changes[node] if node in changes else rebuild(node, mapping)
    return mapping


def with_attrs(node: Node, **changes: Any) -> Node:
    return Node(node.op, node.args, node.type, MappingProxyType({**node.attrs, **changes}), node.loc)


def map_bodies(node: Node, transform: Callable[[Graph], Graph]) -> Node:
    """`node` with `transform` applied to every nested graph; itself when none changes."""
    if node.op == "scan":
        spec = spec_of(node)
        body = transform(spec.body)
        return node if body is spec.body else with_attrs(node, spec=replace(spec, body=body))
    if node.op == "cond":
        then, orelse = transform(node.attrs["then"]), transform(node.attrs["orelse"])
        if then is node.attrs["then"] and orelse is node.attrs["orelse"]:
            return node
        return with_attrs(node, then=then, orelse=orelse)
    return node
