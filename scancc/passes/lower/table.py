"""LOWER: how each op of the scan IR becomes loop IR."""

from __future__ import annotations

from collections.abc import Callable

from scancc.ir.graph import Node
from scancc.ir.ops import OPS
from scancc.passes.lower.conditionals import lower_cond, lower_custom
from scancc.passes.lower.context import Lowering
from scancc.passes.lower.contractions import lower_einsum, lower_matmul
from scancc.passes.lower.control import lower_scan
from scancc.passes.lower.effects import lower_check, lower_print
from scancc.passes.lower.elementwise import lower_const, lower_dim, lower_elementwise, lower_iota, lower_step
from scancc.passes.lower.linalg import lower_linalg
from scancc.passes.lower.memory import lower_concatenate, lower_put, lower_take
from scancc.passes.lower.reductions import lower_argreduce, lower_cumulative, lower_reduce
from scancc.passes.lower.scan_views import lower_get
from scancc.passes.lower.sorting import lower_argsort
from scancc.passes.lower.views import (
    lower_broadcast_to,
    lower_expect,
    lower_flip,
    lower_index,
    lower_reshape,
    lower_rows,
    lower_same,
    lower_slice,
    lower_transpose,
)

LOWER: dict[str, Callable[[Lowering, Node], None]] = {
    **{name: lower_elementwise for name, d in OPS.items() if d.kind == "elementwise"},
    **{name: lower_linalg for name, d in OPS.items() if d.kind == "linalg"},
    **{name: lower_reduce for name in OPS if name.startswith("reduce_")},
    "const": lower_const,
    "dim": lower_dim,
    "iota": lower_iota,
    "step": lower_step,
    "broadcast_to": lower_broadcast_to,
    "reshape": lower_reshape,
    "expect": lower_expect,
    "transpose": lower_transpose,
    "flip": lower_flip,
    "rows": lower_rows,
    "alias": lower_same,
    "stop_gradient": lower_same,
    "index": lower_index,
    "slice": lower_slice,
    "concatenate": lower_concatenate,
    "take": lower_take,
    "put": lower_put,
    "argmin": lower_argreduce,
    "argmax": lower_argreduce,
    "cumsum": lower_cumulative,
    "cumprod": lower_cumulative,
    "cummin": lower_cumulative,
    "cummax": lower_cumulative,
    "argsort": lower_argsort,
    "matmul": lower_matmul,
    "einsum": lower_einsum,
    "scan": lower_scan,
    "cond": lower_cond,
    "custom": lower_custom,
    "get": lower_get,
    "check": lower_check,
    "print": lower_print,
}
