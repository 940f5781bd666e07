"""The host's side of a call as a Python function of its own: lengths, allocations, the kernel, the results.

    def call(x, y0, a):
        n_x = x.shape[0]
        y_rows = empty((n_x,), dtype_y_rows_)
        code = kernel(x, y0, a[()], n_x, y_rows)
        if code: fail(code)
        return (y_rows,)

A short scan takes less than a microsecond, so this is generated once instead of being interpreted at every call. With
a guard (`guards.py`) in front it is all that Python does in a call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from scancc.backends.guards import MISS, Guard, GuardSource, Leaf
from scancc.backends.lengths import FUNCTIONS, Lengths
from scancc.backends.native import result_buffers
from scancc.errors import LengthError
from scancc.ir.graph import Graph, Node
from scancc.ir.types import in_memory
from scancc.passes.lower import Lowered


def host_function(
    graph: Graph, lowered: Lowered, kernel: Callable[..., int], fail: Callable[[int, Mapping[str, Any]], None],
    empty: Callable[..., Any] = np.empty, constant: Callable[[np.ndarray], Any] = lambda a: np.array(a, order="C"),
    returned: list[str] | None = None, zeros: Callable[..., Any] = np.zeros, halves: tuple[str, ...] = (),
    stacked: Collection[str] = (), check: Callable[[Mapping[str, Any]], None] | None = None, guard: Guard | None = None,
    compared: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """A function of the input arrays, in the order of the graph's inputs, that returns the results in their order.

    With a guard it is a function of the tuple of a call's arguments, and returns what the user gets, or MISS.

    `empty`, `zeros` and `constant` make the arrays that the call allocates, and those that the program holds.
    `compared`: whether arrays have the axes of the graph, whose known lengths are compared with theirs.
    `check` gets the inputs by name before anything is allocated. `stacked` names buffers on the kernel's stack,
    `returned` those to return as they are instead of results; `halves` are dtypes of 16 bits that the kernel knows.
    """
    scope: dict[str, Any] = {
        "kernel_": kernel, "fail_": fail, "empty_": empty, "zeros_": zeros, "np_": np,
        "uint16_": np.dtype(np.uint16), **FUNCTIONS,
    }  # fmt: skip
    lines: list[str] = []
    inputs = [p.name for p in lowered.kernel.params[: len(graph.inputs)]]
    by_input = {node.attrs["name"]: name for node, name in zip(graph.inputs, inputs, strict=True)}
    scalars = [name for node, name in zip(graph.inputs, inputs, strict=True) if not node.type.ndim]
    front: GuardSource | None = None
    if guard is not None:
        open_axes = {(by_input[name], axis): var.name for var, name, axis in lowered.lengths}
        front = GuardSource(guard, scope, list(zip(graph.inputs, inputs, strict=True)), open_axes)
        lines += front.tests("arguments_")
    for node, name in zip(graph.inputs, inputs, strict=True):
        if in_memory(node.type.dtype, halves) != node.type.dtype:
            lines.append(f"{name} = {name}.view(uint16_)")
    if front is None:
        scope["shapes_"] = fixed_shapes
        for node, name in zip(graph.inputs, inputs, strict=True):
            if node.type.ndim and compared:
                lines += _same_shape(name, node)
        lines += [f"{name} = {name}[()]" for name in scalars]
        lines += [f"{var.name} = {by_input[name]}.shape[{axis}]" for var, name, axis in lowered.lengths]
    if check is not None:
        scope["check_"] = check
        lines.append(f"check_({{{', '.join(f'{given!r}: {name}' for given, name in by_input.items())}}})")
    lengths = Lengths(lowered, inputs, lines)
    for buffer in lowered.allocated:
        if buffer.name in stacked:
            continue
        shape = ", ".join(map(lengths.rows, buffer.shape))
        scope[f"dtype_{buffer.name}_"] = in_memory(buffer.dtype, halves)
        make = "zeros_" if buffer.role == "zeros" else "empty_"
        lines.append(f"{buffer.name} = {make}(({shape},), dtype_{buffer.name}_)")
    for buffer, value in lowered.constants.items():
        # Writable copies: a kernel is compiled for writable arrays, whatever it does with them.
        scope[buffer.name] = constant(value)
    made = "".join(f", {b.name}" for b in lowered.kernel.returned)
    given = [p.name for p in lowered.kernel.params if p.name not in stacked]
    lines.append(f"code_{made} = kernel_({', '.join(given)})")
    lines.append("if code_: fail_(code_, locals())")
    for label, (buffer, _) in lowered.results.items():
        scope[f"as_{buffer.name}_"] = graph.results[label].type.dtype
    results = returned if returned is not None else [_result(lowered, graph, label) for label in lowered.results]
    answer = front.result(results) if front is not None else f"({''.join(r + ', ' for r in results)})"
    parameters = "arguments_" if front is not None else ", ".join(inputs)
    return _function(parameters, [*lines, f"return {answer}"], lowered, scope)


def _same_shape(name: str, node: Node) -> list[str]:
    """Lines that compare the lengths that the program knows. Whoever calls has looked at the shape of the array, but
    what was captured or is shared, other threads may change meanwhile."""
    fixed = [(axis, d) for axis, d in enumerate(node.type.shape) if isinstance(d, int)]
    if not fixed:
        return []
    if len(fixed) == node.type.ndim:
        test = f"{name}.shape != {node.type.shape!r}"
    else:
        test = f"len({name}.shape) != {node.type.ndim} or " + " or ".join(f"{name}.shape[{a}] != {d}" for a, d in fixed)
    return [f"if {test}: shapes_({node.attrs['name']!r}, {name})"]


def fixed_shapes(name: str, array: Any) -> None:
    raise LengthError(f"'{name}' has shape {array.shape} when the program starts, which was compiled for another one",
                     rule="nobody changes the shape of an array while a call reads it")  # fmt: skip


def around_native(
    graph: Graph, lowered: Lowered, guard: Guard, native: Callable[[tuple], Any]
) -> Callable[[tuple], Any]:
    """The same function where machine code does all of it but what concerns the containers of a call."""
    buffers = result_buffers(lowered)
    made = "".join(f"{b.name}, " for b in buffers) if len(buffers) > 1 else buffers[0].name
    scope: dict[str, Any] = {"native_": native}
    inputs = [(node, p.name) for node, p in zip(graph.inputs, lowered.kernel.params, strict=False)]
    front = GuardSource(guard, scope, inputs)
    tests = front.tests("arguments_")
    answer = front.result([_view(lowered, graph, label, lowered.results[label][0].name) for label in lowered.results])
    flat = all(isinstance(form, Leaf) for form in guard.arguments)
    if flat and not front.around and answer in (made, f"({made})"):
        return native
    given = "arguments_" if flat else f"({''.join(f'{name}, ' for _, name in inputs[: front.given])})"
    miss = front.bind(MISS)
    lines = [*(front.around if flat else tests), f"found_ = native_({given})", f"if found_ is {miss}: return {miss}",
             f"{made} = found_", f"return {answer}"]  # fmt: skip
    return _function("arguments_", lines, lowered, scope)


def _function(parameters: str, lines: list[str], lowered: Lowered, scope: dict[str, Any]) -> Callable[..., Any]:
    source = f"def call_({parameters}):\n    " + "\n    ".join(lines) + "\n"
    exec(compile(source, f"<scancc host {lowered.kernel.name}>", "exec"), scope)
    function: Callable[..., Any] = scope["call_"]
    return function


def _result(lowered: Lowered, graph: Graph, label: str) -> str:
    buffer, lead = lowered.results[label]
    name = buffer.name if in_memory(buffer.dtype) == buffer.dtype else f"{buffer.name}.view(as_{buffer.name}_)"
    if label in lowered.executed:
        return f"{name}[{lead} : {lead} + int({lowered.executed[label].name}[0])]"
    scalar = graph.results[label].type.ndim == 0 and len(buffer.shape) == 1
    return f"{name}.reshape(())" if scalar else _view(lowered, graph, label, name)


def _view(lowered: Lowered, graph: Graph, label: str, name: str) -> str:
    """The part of a buffer that is a result."""
    buffer, lead = lowered.results[label]
    if len(buffer.shape) > max(1, graph.results[label].type.ndim):  # one number in each of many lanes
        return f"{name}[0]"
    return f"{name}[:{lead}]" if lead < 0 else f"{name}[{lead}:]" if lead else name
