"""Programs for devices in stages, one launch each, where their parts are best run by different threads.

    ys = scan ... in prefix; loss = mean(f(ys))         first the prefix, in tiles; then the rest
    ys = scan ... until c; zs = f(ys)                    first the loop, whose length the rest needs to know
    ls = loop over lanes; g = sum of ls over the lanes   first a thread a lane; then the sum
    zs = xs @ u; ys = scan over zs ...                   first the product, in tiles; then the loop

Values go from stage to stage on the device, as results of one graph that are inputs of the next.
"""

from __future__ import annotations

from scancc.batching.ended_lanes import running_lanes, steps_of_each
from scancc.batching.lanes import lanes_of
from scancc.ir import build
from scancc.ir.graph import EFFECT, PREFIX, Graph, Node, dependencies, spec_of, substitute
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, Type
from scancc.passes.devices.products import Product, product_of

CHEAP = ("leaf", "elementwise", "view")  # what a stage may compute again where it reads it


def stages_of(graph: Graph, tiles: bool = True, number: int = 0) -> list[Graph]:
    """The graph itself, or graphs to run in turn; inputs that are named `stage...` are results of an earlier one.

    `tiles`: products are stages of their own.
    """
    if any(r.startswith(EFFECT) for r in graph.results):
        return [graph]
    product = _product(graph) if tiles else None
    if product is not None:
        return _with_product(graph, product, number)
    marked = next((n for n in graph.nodes() if n.op == "scan" and _by_itself(n)), None)
    if marked is None:
        return _without_sums(graph, number)
    heavy = [a for a in dict.fromkeys(_needed_before(graph, marked)) if not _cheap(a)]
    if heavy:
        first, rest = _cut(graph, heavy, {}, number)
        return [*stages_of(first, tiles, number + 100), *stages_of(rest, tiles, number + 1)]
    if spec_of(marked).has_until and (lanes := lanes_of(graph)) is not None and lanes.apart and not lanes.ragged:
        return [graph]  # each lane goes on after its own end: nothing needs to know the last one
    graph = _whole(graph, marked)
    gets = [n for n in graph.nodes() if n.op == "get" and n.args[0] is marked]
    if all(r in gets or r.op == "transpose" and r.args[0] in gets for r in graph.results.values()):
        return [graph]
    first, rest = _cut(graph, *_without_length(graph, marked, gets), number)
    return [first, *stages_of(rest, tiles, number + 1)]


def _product(graph: Graph) -> Product | None:
    """The first product beside loops."""
    found = {n: p for n in graph.nodes() if (p := product_of(n)) is not None}
    inner = {n.args[0] for n in found if n.op == "reshape"}
    return next((p for n, p in found.items() if n not in inner and "const" not in (p.left.op, p.right.op)), None)


def _with_product(graph: Graph, product: Product, number: int) -> list[Graph]:
    made = [x for x in dict.fromkeys((product.left, product.right)) if x.op != "input"]
    if made:
        first, rest = _cut(graph, made, {}, number)
        return [*stages_of(first, True, number + 100), *stages_of(rest, True, number + 1)]
    if list(graph.results.values()) == [product.node]:
        return [graph]
    first, rest = _cut(graph, [product.node], {}, number)
    return [first, *stages_of(rest, True, number + 1)]


def _needed_before(graph: Graph, scan: Node) -> tuple[Node, ...]:
    """Operands of a loop. Lanes that count their own steps, and keep no rows, need not know those of the longest."""
    running = running_lanes(spec_of(scan))
    if running is None or steps_of_each(scan, running) is None:
        return scan.args
    rows = any(n.op == "get" and n.args[0] is scan and n.attrs["view"] != "final" for n in graph.nodes())
    return scan.args if rows or lanes_of(graph) is None else scan.args[1:]


def _without_length(graph: Graph, scan: Node, gets: list[Node]) -> tuple[list[Node], dict[Node, Node]]:
    """Lanes that end apart do not know the length of the longest: what follows has it of the rows that were made."""
    lengths = [n for n in gets if n.attrs["view"] == "length" and n not in graph.results.values()]
    rows = next((n for n in gets if n.attrs["view"] in ("trace", "history")), None)
    if rows is None or not lengths or running_lanes(spec_of(scan)) is None:
        return gets, {}
    count = build.make("dim", rows, axis=0)
    carry = spec_of(scan).carry(rows.attrs["name"])
    if rows.attrs["view"] == "history" and carry is not None:
        count = build.make("subtract", count, build.integer(carry.depth))
    return [n for n in gets if n not in lengths], dict.fromkeys(lengths, count)


def _whole(graph: Graph, scan: Node) -> Graph:
    """Rows at the end of a loop that may end early are read of all of them: their number is no result's."""
    tails = [n for n in graph.nodes() if n.op == "get" and n.args[0] is scan and n.attrs["view"].startswith("tail")]
    changes = {}
    for n in tails:
        rows = build.trace(scan, n.attrs["name"], n.loc)
        none = (None,) * (n.type.ndim - 1)
        changes[n] = build.make("slice", rows, loc=n.loc, type=n.type, stops=(None, *none), steps=(None, *none),
                                starts=(-int(n.attrs["view"].split()[1]), *none))  # fmt: skip
    if not changes:
        return graph
    made = substitute(graph.results.values(), changes)
    return Graph(graph.inputs, {k: made[v] for k, v in graph.results.items()})


def _by_itself(scan: Node) -> bool:
    """Whether a loop is a stage: a prefix, or one whose length is known only when it is over."""
    return spec_of(scan).strategy == PREFIX or spec_of(scan).has_until


def _cheap(x: Node) -> bool:
    return all(OPS[n.op].kind in CHEAP or n.op == "dim" for n in Graph((), {"": x}).nodes())


def _without_sums(graph: Graph, number: int) -> list[Graph]:
    """Lanes that are only added up after their loops."""
    if lanes_of(graph) is not None:
        return [graph]
    above: set[Node] = set()  # what depends on a sum
    loops: set[Node] = set()  # what depends on a loop
    cut: list[Node] = []
    for n in graph.nodes():
        needs = dependencies(n)
        if n.op == "scan" or any(d in loops for d in needs):
            loops.add(n)
        sums = n.op.startswith("reduce_") and n in loops
        if sums and n.args[0] not in above:
            cut.append(n.args[0])
        if sums or any(d in above for d in needs):
            above.add(n)
    results = list(graph.results.values())
    cut += [r for r in results if r not in above and r.op not in ("input", "const")]
    if not above or any(n.op == "scan" for n in above):
        return [graph]
    first, rest = _cut(graph, list(dict.fromkeys(cut)), {}, number)
    return [first, rest] if lanes_of(first) is not None else [graph]


def _cut(graph: Graph, values: list[Node], derived: dict[Node, Node], number: int) -> tuple[Graph, Graph]:
    """The graph of some values, and the rest, which has them as inputs. `derived`: what the rest makes of them anew."""
    names = {v: f"stage{number}_{i}" for i, v in enumerate(values)}
    first = _reached(Graph(graph.inputs, {name: v for v, name in names.items()}))
    given = {v: Node("input", (), _plain(v.type), {"name": name}, v.loc) for v, name in names.items()}  # type: ignore[arg-type]
    given |= {n: substitute([made], given)[made] for n, made in derived.items()}
    changed = substitute(graph.results.values(), given)
    rest = Graph((*graph.inputs, *(given[v] for v in names)), {k: changed[r] for k, r in graph.results.items()})
    return first, _reached(rest)


def _plain(t: Type) -> Type:
    """A type whose lengths are those that an array has, however they came about."""
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape))


def _reached(graph: Graph) -> Graph:
    nodes = set(graph.nodes())
    return Graph(tuple(i for i in graph.inputs if i in nodes), graph.results)
