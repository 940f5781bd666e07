"""Loops that rows leave at different steps, run for all rows at once: a flag a row says whether it still goes on.

    before   scan s carry y = %y0 { y = f y[-1] x[0];  until = y > 2 }
    after    scan s carry y = %y0 [b] carry running = %on [b]
               y = where running[-1] (f y[-1] (where running[-1] x[0] 0)) y[-1];  running = running[-1] and not (y > 2)
               until = not (any running)

A carry counts the steps of each row, and what has ended repeats its last value. A step is computed for rows that have
ended, too, so this is right where it cannot fail, always comes to an end, and has finite derivatives wherever its
operands are finite: `can_be_masked` says so. Sequences may hold anything after the end of a row, so zeros are read.
"""

from __future__ import annotations

from dataclasses import replace

from scancc.autodiff.arithmetic import constant, where
from scancc.batching.rules import Batch
from scancc.ir import build
from scancc.ir.graph import EFFECT, UNTIL, Carry, Graph, Node, ScanSpec
from scancc.ir.names import fresh_name
from scancc.ir.types import BOOL, INT, Dim, Type

FINITE = frozenset(
    """
    add subtract multiply negative positive absolute maximum minimum where sin cos tanh arctan sign square floor ceil
    rint trunc less less_equal greater greater_equal equal not_equal isnan isfinite isinf cast
    logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_xor invert
    reduce_sum reduce_max reduce_min reduce_any reduce_all matmul
    tap read const step iota alias stop_gradient reshape transpose broadcast_to index slice flip concatenate
    """.split()
)


def can_be_masked(spec: ScanSpec) -> bool:
    """Whether rows that have left the loop may go on computing its step, since nothing comes of it."""
    return all(n.op in FINITE and n.type.is_static for n in spec.body.nodes())


def running_of(spec: ScanSpec) -> str:
    """The name of the flag that says which rows go on."""
    return fresh_name("running", {*spec.operand_names(), *spec.body.results})


def while_running(x: Node, width: int | Dim, spec: ScanSpec) -> Node:
    """What a step reads of a sequence, for each row of the batch: zeros for those that have ended."""
    on = build.make("tap", type=Type(BOOL.dtype, (width,)), name=running_of(spec), offset=-1)
    return where(build.reshape(on, (width, *(1,) * (x.type.ndim - 1))), x, constant(0, x))


def masked_loop(
    b: Batch, node: Node, spec: ScanSpec, given: dict[str, Node], results: dict[str, Node], inner: Batch
) -> Node | None:
    """Rows that end at different steps: a carry counts the steps of each, and what has ended repeats its last value."""
    taken = {*spec.operand_names(), *results}
    running = running_of(spec)
    taken.add(running)
    count = fresh_name("made", taken)
    steps = b.operand(node.args[0])
    of_rows = node.args[0] in b.batched
    flags = (inner.length,)
    made = build.make("tap", type=Type(INT.dtype, flags), name=count, offset=-1)
    on = build.make("tap", type=Type(BOOL.dtype, flags), name=running, offset=-1)
    kept: dict[str, Node] = {}
    traces: dict[str, str] = {}
    for name, r in results.items():
        if name == UNTIL or name.startswith(EFFECT):
            continue
        still = build.reshape(on, (inner.length, *(1,) * (r.type.ndim - 1)))
        if spec.carry(name) is not None:
            before = build.make("tap", type=r.type, name=name, offset=-1)
            kept[name] = where(still, r, before)
        else:
            kept[name] = where(still, r, constant(0, r))
        if spec.carry(name) is not None:
            # The trace shows zeros after the end, the carry keeps its last value.
            shown = fresh_name(f"{name}_rows", taken)
            kept[shown] = where(still, r, constant(0, r))
            traces[name] = shown
    one = build.cast(on, "int64")
    kept[count] = build.make("add", made, one)
    goes_on = on
    if UNTIL in results:
        stop = results[UNTIL]
        goes_on = build.make("logical_and", on, build.make("logical_not", stop))
    nonseqs = dict.fromkeys(spec.nonseqs)
    extra: dict[str, Node] = {}
    if of_rows:
        limit = fresh_name("limit", taken)
        extra[limit] = steps
        read = build.make("read", type=Type(INT.dtype, flags), name=limit)
        goes_on = build.make("logical_and", goes_on, build.make("less", kept[count], read))
    kept[running] = goes_on
    kept[UNTIL] = build.make("logical_not", build.make("reduce_any", goes_on, axes=(0,)))
    most = build.make("reduce_max", steps, axes=(0,)) if of_rows else steps
    start = build.broadcast_to(build.integer(0), (b.length,))
    alive = build.broadcast_to(build.const(True), (b.length,))
    if of_rows:
        alive = build.make("less", start, steps)
    outputs = (*spec.outputs, *traces.values())
    carries = tuple(replace(c, taps=tuple(sorted({*c.taps, -1}))) for c in spec.carries)
    new = replace(
        spec, carries=(*carries, Carry(count, (-1,)), Carry(running, (-1,))),
        nonseqs=(*nonseqs, *extra), outputs=outputs, body=Graph((), kept),
    )  # fmt: skip
    values = {**given, count: start, running: alive, **extra}
    scan = build.scan(new, (most, *(values[n] for n in new.operand_names())), node.loc)
    b.value[node] = scan
    b.scans[node] = frozenset(spec.body.results)
    b.counts[node] = build.final(scan, count, node.loc)
    b.traces[node] = traces
    return None
