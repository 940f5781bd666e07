"""Conditionals: only the branch taken runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.ir.graph import EFFECT, Node
from scancc.ir.loop import Assign, Const, Declare, If
from scancc.passes.lower.context import Lowering, Target, in_memory
from scancc.passes.lower.control import bind_dims
from scancc.passes.lower.values import Lazy, Registers
from scancc.passes.sizes import in_registers


def lower_cond(low: Lowering, node: Node) -> None:
    """Results go to variables or memory declared before the branch."""
    predicate, *args = node.args
    results: dict[str, Lazy | Registers] = {}
    variables: dict[str, Any] = {}
    targets: dict[str, Target] = {}
    for name, result in node.attrs["then"].results.items():
        if name.startswith(EFFECT):
            continue
        if in_registers(result.type):
            shape = tuple(int(d) for d in result.type.shape)  # type: ignore[arg-type]
            variables[name] = np.empty(shape, dtype=object)
            for i in np.ndindex(shape):
                var = low.var(f"{name}_chosen", result.type.dtype)
                low.mutable.add(var.name)
                low.emit(Declare(var, Const(result.type.dtype.type(0), result.type.dtype)))
                variables[name][i] = var
            results[name] = Registers(variables[name])
        else:
            targets[name] = Target(low.scratch(f"{name}_chosen", result.type.dtype, result.type.shape), ())
            results[name] = in_memory(targets[name], result.type.ndim)
    for a in args:
        if isinstance(low.env[a], Registers) and a.type.ndim:
            low.registers_of(a)
        elif isinstance(low.env[a], Lazy) and low.env[a].place is None:  # type: ignore[union-attr, no-any-return]
            low.materialise(a)
    branch = If(low.element(predicate, ()))
    for graph, block in ((node.attrs["then"], branch.then), (node.attrs["orelse"], branch.orelse)):
        with low.block(block):
            for leaf in graph.nodes():
                if leaf.op == "read":
                    outer = args[node.attrs["names"].index(leaf.attrs["name"])]
                    low.env[leaf] = low.env[outer]
                    bind_dims(low, leaf, outer.type.shape)
            low.graph(graph)
            for name, result in graph.results.items():
                if name.startswith(EFFECT):
                    continue
                if name in variables:
                    chosen: Any = low.registers_of(result)
                    for i in np.ndindex(variables[name].shape):
                        low.emit(Assign(variables[name][i], chosen[i], result.loc))
                else:
                    low.fill(result, targets[name])
    low.emit(branch)
    # The variables do not change any more: later users may take them in.
    for v in variables.values():
        low.mutable -= {x.name for x in v.ravel()}
    low.branches[node] = results


def lower_custom(low: Lowering, node: Node) -> None:
    low.branches[node] = {f"out{i}": low.env[a] for i, a in enumerate(node.args)}
