"""The CPU back end: a lowered program as a numba-jitted kernel and the host code around one call of it."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scancc.backends.source import SourcePrinter
from scancc.errors import ScanError, ScanIndexError, ScanValueError, ShapeError, StepsError
from scancc.ir.graph import Graph, operands, spec_of
from scancc.ir.loop import Const, Expr, Op, Var, show_kernel
from scancc.ir.types import Dim
from scancc.passes.lower import Lowered

FAILURES: dict[str, type[ScanError]] = {
    "index": ScanIndexError,
    "steps": StepsError,
    "shape": ShapeError,
    "value": ScanValueError,
}


class CpuProgram:
    """A compiled program: `run(inputs)` takes C-contiguous arrays by input name and returns arrays by result name.

    Thread-safe: all buffers belong to the call, and the kernel releases the GIL.
    """

    def __init__(self, graph: Graph, lowered: Lowered, strict_fp: bool) -> None:
        self.graph = graph
        self.lowered = lowered
        self.source = SourcePrinter(lowered.kernel).print()
        self.given_steps = [n for n in graph.nodes() if n.op == "scan" and n.args[0].op in ("input", "const")]
        self.kernel = _jit(self.source, lowered.kernel.name, strict_fp)

    def loop_ir(self) -> str:
        return show_kernel(self.lowered.kernel)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        low = self.lowered
        known: dict[str, Any] = {var.name: inputs[name].shape[axis] for var, name, axis in low.lengths}
        params: dict[str, Any] = dict(known)
        for node, param in zip(self.graph.inputs, low.kernel.params, strict=False):
            array = inputs[node.attrs["name"]]
            params[param.name] = array[()] if node.type.ndim == 0 else array
            if node.type.ndim == 0:
                known[param.name] = array[()]
        self._check_steps(inputs)
        for buffer in low.allocated:
            shape = tuple(max(0, int(self._evaluate(d, known))) for d in buffer.shape)
            params[buffer.name] = np.empty(shape, buffer.dtype)
        code = self.kernel(*(params[p.name] for p in low.kernel.params))
        if code:
            failure = low.kernel.failures[code - 1]
            raise FAILURES[failure.kind](failure.message, failure.loc)
        return {label: self._result(label, params) for label in low.results}

    def _result(self, label: str, params: Mapping[str, Any]) -> np.ndarray:
        buffer, lead = self.lowered.results[label]
        array: np.ndarray = params[buffer.name]
        if label in self.lowered.executed:
            return array[lead : lead + int(params[self.lowered.executed[label].name][0])]
        return array.reshape(()) if self.graph.results[label].type.ndim == 0 else array

    def _evaluate(self, e: Expr, known: dict[str, Any]) -> int:
        """A length: arithmetic on input lengths and integer inputs."""
        match e:
            case Const(value, _):
                return int(value)
            case Var(name, _):
                if name not in known:
                    known[name] = self._evaluate(self.lowered.definitions[name], known)
                return int(known[name])
            case Op("cast", (x,), _):
                return self._evaluate(x, known)
            case Op(name, args, _):
                return int(getattr(np, name)(*(self._evaluate(a, known) for a in args)))
            case _:
                raise AssertionError(f"not a length: {e}")

    def _check_steps(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Step counts that were given must fit the sequences: checked before anything is allocated."""
        for node in self.given_steps:
            spec, count = spec_of(node), node.args[0]
            n = int(inputs[count.attrs["name"]] if count.op == "input" else count.attrs["value"])
            if n < 0:
                raise StepsError(f"scan '{spec.name}': the number of steps is {n}")
            for s in spec.sequences:
                rows = self._rows(operands(node)[s.name], inputs)
                if n > max(0, rows - s.reach):
                    raise StepsError(
                        f"scan '{spec.name}': {n} steps need {n + s.reach} rows of sequence '{s.name}', "
                        f"which has {rows}",
                        node.loc,
                        "a scan never reads past the end of a sequence",
                        f"pass n_steps of at most {max(0, rows - s.reach)}",
                    )

    def _rows(self, sequence: Any, inputs: Mapping[str, np.ndarray]) -> int:
        d = sequence.type.shape[0]
        if not isinstance(d, Dim):
            return int(d)
        while sequence.op != "input":
            sequence = sequence.args[0]
        return int(inputs[sequence.attrs["name"]].shape[0])


def _jit(source: str, name: str, strict_fp: bool) -> Callable:
    import math

    import numba
    from scancc_runtime import products, scalar, transcendental

    filename = f"<scancc kernel {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    namespace: dict[str, Any] = {"np": np, "math": math, "products": products, "scalar": scalar}
    namespace["transcendental"] = transcendental
    exec(compile(source, filename, "exec"), namespace)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if not strict_fp:
        options["fastmath"] = {"contract"}
    jitted: Callable = numba.njit(**options)(namespace[name])
    return jitted


