"""What the programs of all back ends have in common: checks before a call, errors after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scancc_runtime.messages import failed_check

from scancc.arrays import as_kernel_array, on_host
from scancc.backends.guards import Guard
from scancc.backends.llvm.body import NO_MEMORY
from scancc.errors import CheckError, LengthError, ScanError, ScanIndexError, ScanValueError, StepsError
from scancc.ir.graph import Node, operands, spec_of
from scancc.ir.lengths import steps_fit
from scancc.ir.loop import show_kernel
from scancc.passes.pipeline import Compilation

FAILURES: dict[str, type[ScanError]] = {
    "index": ScanIndexError,
    "steps": StepsError,
    "shape": LengthError,
    "value": ScanValueError,
    "check": CheckError,
}


class Program:
    """A compiled program: `run(inputs)` takes C-contiguous arrays by input name and returns arrays by result name."""

    source: str
    call: Callable[..., tuple]

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation
        self.graph = compilation.graph
        self.lowered = compilation.lowered
        self.given_steps = [n for n in self.graph.nodes() if n.op == "scan" and not steps_fit(n)]
        self.inputs = tuple(node.attrs["name"] for node in self.graph.inputs)

    def loop_ir(self) -> str:
        return show_kernel(self.lowered.kernel)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.lowered.results, self.call(*(inputs[name] for name in self.inputs)), strict=True))

    direct = True  # whether `call` takes and returns NumPy arrays

    def guarded(self, guard: Guard) -> Callable[[tuple], Any] | None:
        """The whole call as one function of the tuple of its arguments, if the program can be called so."""
        return None

    keep: Callable[[np.ndarray], Any] | None = None  # where shared variables stay between calls, if not on the host

    def taken(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments as `run` takes them."""
        return {name: as_kernel_array(on_host(a)) for name, a in arrays.items()}

    def run_on(self, inputs: Mapping[str, Any], stream: Any) -> dict[str, Any]:
        """`run` on a stream of a device. Raises ValueError for a stream where there is no device."""
        if stream is not None:
            raise ScanValueError("a stream is for programs that run on a device", fix="pass target='cuda'")
        return self.run(inputs)

    def deliver(self, results: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Results as the caller gets them."""
        return results

    def _fail(self, code: int, buffers: Mapping[str, Any]) -> None:
        """Raise what a failure code stands for; the buffers of the call hold what a check reports."""
        if code == NO_MEMORY:
            raise MemoryError("a kernel had no memory for arrays whose lengths are known in the loop only")
        failure = self.lowered.kernel.failures[code - 1]
        if failure.seen is not None:
            seen = failure.seen
            arrays = [buffers[b.name] for b in seen.values]
            values = [a[0] if one else a for a, one in zip(arrays, seen.scalars, strict=True)]
            steps = tuple(buffers[failure.steps.name].tolist()) if failure.steps is not None else ()
            raise FAILURES[failure.kind](failed_check(seen.message, seen.names, values, steps), failure.loc)
        raise FAILURES[failure.kind](failure.message, failure.loc)

    def _check_steps(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Step counts that were given must fit the sequences: checked before anything is allocated.

        What depends on the course of another loop is checked by the kernel.
        """
        for node in self.given_steps:
            spec, value = spec_of(node), operands(node)
            n = host_value(node.args[0], inputs)
            if n is None:
                continue
            if n < 0:
                raise StepsError(f"scan '{spec.name}': the number of steps is {n}", node.loc)
            for s in spec.sequences:
                rows = host_length(value[s.name], inputs)
                if rows is not None and n > max(0, rows - s.reach):
                    raise StepsError(
                        f"scan '{spec.name}': {n} steps need {n + s.reach} rows of sequence '{s.name}', "
                        f"which has {rows}",
                        node.loc,
                        "a scan never reads past the end of a sequence",
                        f"pass n_steps of at most {max(0, rows - s.reach)}",
                    )


def host_length(x: Node, inputs: Mapping[str, np.ndarray]) -> int | None:
    """The first axis of a value, where it follows from the inputs alone."""
    d = x.type.shape[0]
    if isinstance(d, int):
        return d
    if d.define is not None:
        return host_value(d.define, inputs)
    while x.op != "input":
        # A length that nothing defines is that of an input: ops hand it on from one of their operands.
        source = next((a for a in x.args if d in a.type.shape), None)
        if source is None:
            return None
        x = source
    return int(inputs[x.attrs["name"]].shape[x.type.shape.index(d)])


def host_value(x: Node, inputs: Mapping[str, np.ndarray]) -> int | None:
    """An integer scalar, where it follows from the inputs alone."""
    match x.op:
        case "const":
            return int(x.attrs["value"])
        case "input":
            return int(inputs[x.attrs["name"]])
        case "dim":
            (source,) = x.args
            axis = x.attrs["axis"]
            if source.op == "input":
                return int(inputs[source.attrs["name"]].shape[axis])
            return host_length(source, inputs) if axis == 0 else None
        case "cast" | "add" | "subtract" | "multiply" | "minimum" | "maximum" | "floor_divide":
            known = [host_value(a, inputs) for a in x.args]
            if any(k is None for k in known):
                return None
            return known[0] if x.op == "cast" else int(getattr(np, x.op)(*known))
        case _:
            return None
