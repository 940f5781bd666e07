"""The host's side of a call as a Python function of its own: lengths, allocations, the kernel, the results.

    def call(x, y0, a):
        n_x = x.shape[0]
        y_rows = empty((n_x,), dtype_y_rows)
        code = kernel(x, y0, a[()], n_x, y_rows)
        if code: fail(code)
        return (y_rows,)

A short scan takes microseconds, so this is generated once instead of being interpreted at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scancc.ir.graph import Graph
from scancc.ir.loop import Const, Expr, Op, Var
from scancc.ir.types import in_memory
from scancc.passes.lower import Lowered

INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "floor_divide": "//", "remainder": "%",
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip


def host_function(
    graph: Graph, lowered: Lowered, kernel: Callable[..., int], fail: Callable[[int, Mapping[str, Any]], None],
    empty: Callable[..., Any] = np.empty, constant: Callable[[np.ndarray], Any] = lambda a: np.array(a, order="C"),
    returned: list[str] | None = None, zeros: Callable[..., Any] = np.zeros, halves: tuple[str, ...] = (),
) -> Callable[..., tuple]:  # fmt: skip
    """A function of the input arrays, in the order of the graph's inputs, that returns the results in their order.

    `empty`, `zeros` and `constant` make the arrays that the call allocates, and those that the program holds.
    `returned` names buffers to return as they are instead of results; `halves` are dtypes of 16 bits that the kernel
    knows.
    """
    scope: dict[str, Any] = {
        "kernel_": kernel, "fail_": fail, "empty_": empty, "zeros_": zeros, "max_": max, "min_": min, "np_": np,
        "uint16_": np.dtype(np.uint16),
    }  # fmt: skip
    lines: list[str] = []
    inputs = [p.name for p in lowered.kernel.params[: len(graph.inputs)]]
    by_input = {node.attrs["name"]: name for node, name in zip(graph.inputs, inputs, strict=True)}
    for node, name in zip(graph.inputs, inputs, strict=True):
        if in_memory(node.type.dtype, halves) != node.type.dtype:
            lines.append(f"{name} = {name}.view(uint16_)")
        if node.type.ndim == 0:
            lines.append(f"{name} = {name}[()]")
    for var, name, axis in lowered.lengths:
        lines.append(f"{var.name} = {by_input[name]}.shape[{axis}]")
    known: set[str] = {*inputs, *(v.name for v, _, _ in lowered.lengths)}

    def length(e: Expr) -> str:
        match e:
            case Const(value, _):
                return str(int(value))
            case Var(name, _):
                if name not in known:
                    known.add(name)
                    text = length(lowered.definitions[name])
                    lines.append(f"{name} = {text}")
                return name
            case Op("cast", (x,), _):
                return f"int({length(x)})"
            case Op(("minimum" | "maximum") as name, args, _):
                return f"{name[:3]}_({', '.join(map(length, args))})"
            case Op("where", (condition, a, b), _):
                return f"({length(a)} if {length(condition)} else {length(b)})"
            case Op(name, (a, b), _) if name in INFIX:
                return f"({length(a)} {INFIX[name]} {length(b)})"
            case Op(name, args, _) if hasattr(np, name):
                return f"np_.{name}({', '.join(map(length, args))}).item()"
            case _:
                raise AssertionError(f"not a length: {e}")

    for buffer in lowered.allocated:
        shape = ", ".join(length(d) if isinstance(d, Const) else f"max_(0, {length(d)})" for d in buffer.shape)
        scope[f"dtype_{buffer.name}"] = in_memory(buffer.dtype, halves)
        make = "zeros_" if buffer.role == "zeros" else "empty_"
        lines.append(f"{buffer.name} = {make}(({shape},), dtype_{buffer.name})")
    for buffer, value in lowered.constants.items():
        # Writable copies: a kernel is compiled for writable arrays, whatever it does with them.
        scope[buffer.name] = constant(value)
    made = "".join(f", {b.name}" for b in lowered.kernel.returned)
    lines.append(f"code_{made} = kernel_({', '.join(p.name for p in lowered.kernel.params)})")
    lines.append("if code_: fail_(code_, locals())")
    for label, (buffer, _) in lowered.results.items():
        scope[f"as_{buffer.name}"] = graph.results[label].type.dtype
    results = returned if returned is not None else [_result(lowered, graph, label) for label in lowered.results]
    lines.append(f"return ({''.join(r + ', ' for r in results)})")
    source = f"def call_({', '.join(inputs)}):\n    " + "\n    ".join(lines) + "\n"
    exec(compile(source, f"<scancc host {lowered.kernel.name}>", "exec"), scope)
    function: Callable[..., tuple] = scope["call_"]
    return function


def _result(lowered: Lowered, graph: Graph, label: str) -> str:
    buffer, lead = lowered.results[label]
    name = buffer.name if in_memory(buffer.dtype) == buffer.dtype else f"{buffer.name}.view(as_{buffer.name})"
    if label in lowered.executed:
        return f"{name}[{lead} : {lead} + int({lowered.executed[label].name}[0])]"
    if len(buffer.shape) > max(1, graph.results[label].type.ndim):  # one number in each of many lanes
        return f"{name}[0]"
    if graph.results[label].type.ndim == 0:
        return f"{name}.reshape(())"
    return f"{name}[{lead}:]" if lead else name
