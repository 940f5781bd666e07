"""One loop over the rows of a batch, whose body is the program of a row.

    before   %n = get s length; %y = get s trace y: f64[%n]          %n differs from row to row
    after    scan rows sequence x0 = %X { rows_0 = concatenate (get s trace y) (zeros (%most - %n)) }

Rows take the branches and make the steps that they take and make by themselves, so nothing is masked, and a derivative
is that of the row. Results whose lengths differ are filled with zeros up to the longest, which a first loop finds.
"""

from __future__ import annotations

from dataclasses import dataclass

from scancc.autodiff.arithmetic import fresh
from scancc.autodiff.residuals import without_effects
from scancc.batching.divergence import is_uneven
from scancc.batching.padded import NotMasked
from scancc.batching.rules import Batch
from scancc.ir import build
from scancc.ir.graph import EFFECT, Graph, Node, ScanSpec, Sequence, dependencies, mentioned_dims, rewrite, substitute
from scancc.ir.types import BOOL, Dim, Type


def run_by_rows(b: Batch, nodes: list[Node], apart: set[Node], roots: list[Node]) -> None:
    """The nodes `apart`, computed for one row after the other; their values are set for those who read them.

    `nodes` are those of the row's program in order, and `apart` what `divergence.by_rows` says of them.
    """
    inside = [n for n in nodes if n in apart]
    given = list(dict.fromkeys(x for n in inside for x in dependencies(n) if x not in apart))
    b.run_all(given)
    if any(x in b.padded or is_uneven(x, b.batched) for x in given):
        raise NotMasked("a loop over the rows")
    wanted = set(roots)
    read = {x for n in nodes if n not in apart for x in dependencies(n)} | wanted
    shown = [n for n in inside if n in read]
    lengths = list(dict.fromkeys(
        d.define for n in shown for d in mentioned_dims(n)
        if d.define is not None and (d.define in apart or d.define in b.batched)
    ))  # fmt: skip
    row = _Row(b, given)
    most: dict[Node, Dim] = {}
    if lengths:
        counts = row.loop({f"count_{i}": n for i, n in enumerate(lengths)}, {})
        for i, n in enumerate(lengths):
            each = build.concatenate([build.trace(counts, f"count_{i}"), build.const([0])], 0, name=fresh("counts"))
            longest = build.make("reduce_max", each, axes=(0,))
            most[n] = Dim(fresh("longest"), None, longest)
    effects = [n for n in shown if _is_effect(n)]
    values = [n for n in shown if not _is_effect(n)]
    names = {f"{EFFECT}{i}": n for i, n in enumerate(effects)} | {f"row_{i}": n for i, n in enumerate(values)}
    scan = row.loop(names, most)
    b.inside |= apart
    if effects:
        b.value |= dict.fromkeys(effects, build.effects(scan))
    for i, n in enumerate(values):
        shape = [most[d.define] if isinstance(d, Dim) and d.define in most else d for d in n.type.shape]
        shape = [d if d in most.values() else b.shape((d,))[0] for d in shape]
        b.value[n] = build.make("get", scan, loc=n.loc, type=n.type.with_shape((b.length, *shape)),
                                name=f"row_{i}", view="trace")  # fmt: skip
        b.batched.add(n)


def _is_effect(n: Node) -> bool:
    return n.op in ("check", "print") or (n.op == "get" and n.attrs["view"] == "effects")


@dataclass
class _Row:
    """The program of one row, and what it is given from around the loop."""

    b: Batch
    given: list[Node]

    def loop(self, results: dict[str, Node], most: dict[Node, Dim]) -> Node:
        b = self.b
        sequences: dict[Sequence, Node] = {}
        nonseqs: dict[str, Node] = {}
        leaves: dict[Node, Node] = {}
        for k, x in enumerate(self.given):
            outer = b.operand(x)
            if x in b.batched:
                sequences[Sequence(f"x{k}", (0,))] = outer
                leaves[x] = build.make("tap", type=closed(x.type), name=f"x{k}", offset=0)
            elif x.op == "const":
                leaves[x] = outer
            else:
                nonseqs[f"x{k}"] = outer
                leaves[x] = build.make("read", type=closed(x.type), name=f"x{k}")
        made = substitute(results.values(), leaves)
        longest: dict[Node, Node] = {}
        for i, (n, d) in enumerate(most.items()):
            # An array of that length, of which nothing but its length is read.
            nonseqs[f"longest_{i}"] = build.broadcast_to(build.const(False), (d,))
            longest[made[n]] = build.make("read", type=Type(BOOL.dtype, (Dim(d.name),)), name=f"longest_{i}")
        body = {name: made[n] if name.startswith(EFFECT) else filled(made[n], longest) for name, n in results.items()}
        outputs = tuple(name for name in body if not name.startswith(EFFECT))
        graph = Graph((), body)
        if len(outputs) == len(body):  # what is for its values alone neither checks nor prints
            graph = rewrite(graph, without_effects)
        spec = ScanSpec(fresh("rows"), tuple(sequences), (), tuple(nonseqs), outputs, graph)
        first = next(iter(sequences.values()))
        return build.scan(spec, (build.dim_of(first, 0), *sequences.values(), *nonseqs.values()))


def closed(t: Type) -> Type:
    """A type as the body of a loop has it: lengths have their names, and are computed around the loop."""
    return t.with_shape(tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in t.shape))


def filled(x: Node, longest: dict[Node, Node]) -> Node:
    """`x` with zeros after its end, along each axis whose length has a longest one: an array that is as long."""
    for axis, d in enumerate(x.type.shape):
        if not isinstance(d, Dim) or d.define not in longest:
            continue
        most = longest[d.define]
        assert d.define is not None
        missing = Dim(f"missing_{d.name}", None, build.make("subtract", build.dim_of(most, 0), d.define))
        zero = build.const(False if x.type.dtype == BOOL.dtype else 0, x.type.dtype)
        zeros = build.broadcast_to(zero, (*x.type.shape[:axis], missing, *x.type.shape[axis + 1 :]))
        shape = (*x.type.shape[:axis], most.type.shape[0], *x.type.shape[axis + 1 :])
        x = build.make("concatenate", x, zeros, loc=x.loc, type=x.type.with_shape(shape), axis=axis)
    return x
