"""Which op of which step made the first NaN of a run: found by interpreting the run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scancc import interpreter
from scancc.errors import NanError
from scancc.interpreter import StepRecord
from scancc.ir.graph import Graph, Node
from scancc.ir.ops import OPS
from scancc.ir.printer import show_type


def examine(graph: Graph, inputs: Mapping[str, Any], results: Mapping[str, np.ndarray]) -> None:
    """Raises NanError when a result holds a NaN that an op of the program made of operands without one."""
    if not any(_has_nan(r) for r in results.values()):
        return
    token = interpreter.OBSERVER.set(_look)
    try:
        interpreter.run(graph, inputs)
    finally:
        interpreter.OBSERVER.reset(token)


def _look(record: StepRecord) -> None:
    for node, value in record.values.items():
        if OPS[node.op].kind in ("leaf", "control", "effect", "view") or not _has_nan(value):
            continue
        operands = [record.values[a] for a in node.args]
        if any(_has_nan(v) for v in operands):
            continue
        place = f"step {', '.join(map(str, record.steps))} of scan '{record.scan}'" if record.steps else "no step"
        shown = ", ".join(_shown(a, v) for a, v in zip(node.args, operands, strict=True))
        raise NanError(f"{node.op} makes a NaN, in {place}", node.loc, f"its operands are {shown}")


def _has_nan(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fc" and bool(np.isnan(value).any())


def _shown(node: Node, value: Any) -> str:
    array = np.asarray(value)
    if array.size <= 8:
        return np.array2string(array, precision=6)
    low, high = (np.array2string(f(array)) for f in (np.min, np.max))
    return f"{show_type(node.type)} from {low} to {high}"
