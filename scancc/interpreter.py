"""The reference interpreter: what every op, and scan itself, means, in plain NumPy.

It is the oracle for every pass and every back end: slow and obvious, full histories, no storage decisions. A
scan is a Python loop over the evaluation of its body.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from scancc_runtime.messages import failed_check, show

from scancc import draws
from scancc.errors import CheckError, ScanError, ScanIndexError, ScanValueError, ShapeError, StepsError
from scancc.ir.graph import STRIDE, UNTIL, Graph, Node, operands, spec_of
from scancc.ir.ops import OPS
from scancc.ir.types import Dim

Array = np.ndarray
Env = dict[Node, Any]


def _wrap_index(i: Array, n: Array) -> Array:
    if np.any((i < -n) | (i >= n)):
        bad = np.asarray(i)[(i < -n) | (i >= n)].ravel()[0]
        raise ScanIndexError(f"index {bad} is out of bounds for an axis of length {n}")
    return np.where(i < 0, i + n, i).astype(np.asarray(i).dtype)


def _put(a: Array, i: Array, v: Array, axis: int, mode: str) -> Array:
    out = np.moveaxis(a.copy(), axis, 0)
    lead = i.ndim
    values = np.moveaxis(np.broadcast_to(v, a.shape[:axis] + i.shape + a.shape[axis + 1 :]), range(axis, axis + lead),
                         range(lead))
    if mode == "set":
        for j in np.ndindex(i.shape):
            out[i[j]] = values[j]
    else:
        {"add": np.add, "multiply": np.multiply, "minimum": np.minimum, "maximum": np.maximum}[mode].at(out, i, values)
    return np.moveaxis(out, 0, axis)


def _expect(a: Array, shape: tuple[int, ...]) -> Array:
    if a.shape != tuple(shape):
        raise ShapeError(f"shape {a.shape} where {tuple(shape)} was expected")
    return a


def _rows(a: Array, start: Array, shape: tuple[int, ...]) -> Array:
    if 0 in shape:
        return np.empty(shape, a.dtype)  # whatever is not there: nothing is read
    if not 0 <= start <= len(a) - shape[0]:
        raise ScanIndexError(f"rows {start} to {start + shape[0]} are read of an array of {len(a)}")
    return a[int(start) : int(start) + shape[0]]


def _slice(a: Array, starts: tuple, stops: tuple, steps: tuple) -> Array:
    return a[tuple(slice(*bounds) for bounds in zip(starts, stops, steps, strict=True))]


def _index(a: Array, axis: int, position: int) -> Any:
    n = a.shape[axis]
    if not -n <= position < n:
        raise ScanIndexError(f"index {position} is out of bounds for an axis of length {n}")
    return np.take(a, position, axis=axis)


def _shift(a: Array, axes: tuple[int, ...]) -> Array:
    """The highest element, which is taken out of a sum of exponentials; 0 where it is infinite or there is none."""
    highest = np.max(a, axis=axes, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(highest), highest, 0).astype(a.dtype)


def _cholesky(a: Array) -> Array:
    try:
        return np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        return np.full_like(a, np.nan)


def _solve(a: Array, b: Array) -> Array:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        return np.full_like(b, np.nan)


def _inv(a: Array) -> Array:
    try:
        return np.linalg.inv(a)
    except np.linalg.LinAlgError:
        return np.full_like(a, np.nan)


def _special(name: str) -> Callable:
    """A function of scipy.special, imported when it is first needed: it takes longer to import than all else here."""

    def call(*args: Any) -> Array:
        import scipy.special

        result: Array = getattr(scipy.special, name)(*args)
        return result

    return call


def _split_steps(steps: int, states: int) -> int:
    """See `runtime/scancc_runtime/revolve.py`."""
    if states <= 1 or steps <= 1:
        return steps - 1
    repeats = next(r for r in itertools.count() if math.comb(states + r, states) >= steps)
    return min(math.comb(states + repeats - 1, states), steps - math.comb(states + repeats - 2, states - 1))


def _matmul(a: Array, b: Array) -> Array:
    return np.asarray(a @ b, dtype=a.dtype)


# Element-wise ops are the NumPy ufuncs of the same name, but for these.
SPECIAL_ELEMENTWISE: dict[str, Callable] = {
    "erf": _special("erf"),
    "erfc": _special("erfc"),
    "gammaln": _special("gammaln"),
    "digamma": _special("digamma"),
    "trigamma": lambda x: _special("polygamma")(1, x),
    "expit": _special("expit"),
    "split_steps": lambda steps, states: np.vectorize(_split_steps, otypes=[np.int64])(steps, states),
    "real": np.real,
    "imag": np.imag,
    "where": np.where,
    "zero_product": lambda x, y: np.where(x == 0, np.zeros((), x.dtype), x * y),
    "either_zero_product": lambda x, y: np.where((x == 0) | (y == 0), np.zeros((), x.dtype), x * y),
    "cast": lambda a, dtype: np.asarray(a).astype(dtype),
    "wrap_index": _wrap_index,
    **draws.GENERATORS,
    "log_gamma_variate": draws.log_gamma_variate,
    "poisson_variate": draws.poisson_variate,
    "binomial_variate": draws.binomial_variate,
}

FAILED: dict[str, type[ScanError]] = {"check": CheckError, "value": ScanValueError}  # by the attribute of a check

EVALUATE: dict[str, Callable] = {
    **{n: SPECIAL_ELEMENTWISE.get(n) or getattr(np, n) for n, d in OPS.items() if d.kind == "elementwise"},
    "dim": lambda a, axis: np.int64(a.shape[axis]),
    "broadcast_to": np.broadcast_to,
    "reshape": lambda a, shape: np.reshape(a, shape),
    "expect": _expect,
    "transpose": lambda a, perm: np.transpose(a, perm),
    "flip": lambda a, axes: np.flip(a, axes),
    "rows": _rows,
    "alias": lambda a: a,
    "stop_gradient": lambda a: a,
    "index": _index,
    "slice": _slice,
    "concatenate": lambda *parts, axis: np.concatenate(parts, axis),
    "take": lambda a, i, axis: np.take(a, i, axis),
    "put": _put,
    "reduce_sum": lambda a, axes: np.sum(a, axis=axes, dtype=a.dtype),
    "reduce_prod": lambda a, axes: np.prod(a, axis=axes, dtype=a.dtype),
    "reduce_min": lambda a, axes: np.min(a, axis=axes),
    "reduce_max": lambda a, axes: np.max(a, axis=axes),
    "reduce_any": lambda a, axes: np.any(a, axis=axes),
    "reduce_all": lambda a, axes: np.all(a, axis=axes),
    "reduce_logsumexp": lambda a, axes: np.log(np.sum(np.exp(a - _shift(a, axes)), axis=axes, dtype=a.dtype))
    + np.squeeze(_shift(a, axes), axis=axes),
    "argmin": lambda a, axis: np.argmin(a, axis=axis),
    "argmax": lambda a, axis: np.argmax(a, axis=axis),
    "cumsum": lambda a, axis: np.cumsum(a, axis=axis, dtype=a.dtype),
    "cumprod": lambda a, axis: np.cumprod(a, axis=axis, dtype=a.dtype),
    "cummin": lambda a, axis: np.minimum.accumulate(a, axis=axis),
    "cummax": lambda a, axis: np.maximum.accumulate(a, axis=axis),
    "argsort": lambda a, axis: np.argsort(a, axis=axis, kind="stable"),
    "matmul": _matmul,
    "einsum": lambda *parts, subscripts: np.einsum(subscripts, *parts),
    "solve": _solve,
    "inv": _inv,
    "cholesky": _cholesky,
    "det": np.linalg.det,
    "slogdet_sign": lambda a: np.linalg.slogdet(a)[0],
    "slogdet_logabs": lambda a: np.linalg.slogdet(a)[1],
}


@dataclass(frozen=True)
class StepRecord:
    """One step of a scan as it was interpreted: the value of every node of its body."""

    scan: str
    steps: tuple[int, ...]  # of the scans around it, outermost first, and of this one
    values: Mapping[Node, Any]

    def __str__(self) -> str:
        lines = [f"scan {self.scan}, step {', '.join(map(str, self.steps))}"]
        for node, value in self.values.items():
            if OPS[node.op].kind == "control" and node.op != "get":
                continue
            label = f"{node.op} {node.attrs['name']}" if node.op in ("tap", "read") else node.op
            label += f"[{node.attrs['offset']}]" if node.op == "tap" else ""
            place = f"  {PurePath(node.loc.file).name}:{node.loc.line}" if node.loc else ""
            lines.append(f"  {label:<24} {np.array2string(np.asarray(value), threshold=8, prefix=' ' * 27)}{place}")
        return "\n".join(lines)


# Called with every step that is interpreted; set by `sc.trace_steps` and by the finder of NaNs.
OBSERVER: ContextVar[Callable[[StepRecord], None] | None] = ContextVar("observer", default=None)


# The nodes of the graphs that a run has met, in the order of evaluation: a body is evaluated at every step.
_ORDERS: ContextVar[dict[int, list[Node]]] = ContextVar("orders")


def run(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Evaluate a program: arrays by input name in, arrays by result name out."""
    leaves = {("input", name): np.asarray(value) for name, value in inputs.items()}
    token = _ORDERS.set({})
    try:
        with np.errstate(all="ignore"):
            return evaluate(graph, leaves, ())
    finally:
        _ORDERS.reset(token)


def _in_order(graph: Graph) -> list[Node]:
    """What is read comes first: it names lengths of what does not depend on it."""
    orders = _ORDERS.get()
    if id(graph) not in orders:  # graphs are part of the one that is run, so no other will have this number
        orders[id(graph)] = sorted(graph.nodes(), key=lambda n: n.op not in ("tap", "read"))
    return orders[id(graph)]


def evaluate(graph: Graph, leaves: Mapping[tuple, Any], steps: tuple[int, ...], scan: str = "") -> dict[str, Array]:
    """Evaluate one graph. `leaves` maps ('input', name), ('read', name) and ('tap', name, k) to values."""
    # Inputs that nothing reads may still name lengths.
    env: Env = {n: leaves["input", n.attrs["name"]] for n in graph.inputs}
    for node in _in_order(graph):
        env[node] = evaluate_node(node, env, leaves, steps)
    observer = OBSERVER.get()
    if observer is not None:
        observer(StepRecord(scan, steps, env))
    return {name: np.asarray(env[node]) for name, node in graph.results.items()}


def evaluate_node(node: Node, env: Env, leaves: Mapping[tuple, Any], steps: tuple[int, ...]) -> Any:
    attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
    args = [env[a] for a in node.args]
    match node.op:
        case "input" | "read":
            return leaves[node.op, attrs["name"]]
        case "tap":
            return leaves["tap", attrs["name"], attrs["offset"]]
        case "const":
            return attrs["value"]
        case "step":
            return np.int64(steps[-1])
        case "iota":
            return np.arange(_shape(node, env, leaves)[0], dtype=node.type.dtype)
        case "scan":
            return run_scan(node, env, steps)
        case "cond":
            return run_cond(node, env, steps)
        case "check" if not args[0]:
            raise FAILED[attrs["error"]](failed_check(attrs["message"], attrs["names"], args[1:], steps), node.loc)
        case "check":
            return True
        case "print":
            show(attrs["message"], attrs["names"], *args)
            return True
        case "custom":
            return {f"out{i}": value for i, value in enumerate(args)}
        case "get":
            return view(args[0], attrs["name"], attrs["view"])
        case _:
            if "shape" in node.attrs:
                attrs["shape"] = _shape(node, env, leaves)
            value = EVALUATE[node.op](*args, **attrs)
            return value if node.type is None else np.asarray(value, dtype=node.type.dtype)


def _shape(node: Node, env: Env, leaves: Mapping[tuple, Any]) -> tuple[int, ...]:
    """The run-time shape attribute of a node: defined dimensions are in `env`, the others are axes of leaves."""
    found = {
        d.name: n
        for other, value in env.items()
        if OPS[other.op].kind == "leaf" or other.op == "get"
        for d, n in zip(other.type.shape, np.shape(value), strict=False)
        if isinstance(d, Dim)
    }
    return tuple(
        d if isinstance(d, int) else int(env[d.define]) if d.define is not None else found[d.name]
        for d in node.attrs["shape"]
    )


def run_scan(node: Node, env: Env, around: tuple[int, ...]) -> dict[str, Any]:
    """The definition of scan. Histories are whole: initial rows first, then one row a step."""
    spec = spec_of(node)
    value = {name: np.asarray(env[arg]) for name, arg in operands(node).items()}
    n = int(env[node.args[0]])
    if n < 0:
        raise StepsError(f"scan '{spec.name}': the number of steps is {n}")
    for s in spec.sequences:
        if n > max(0, len(value[s.name]) - s.reach):
            raise StepsError(
                f"scan '{spec.name}': {n} steps need {n + s.reach} rows of sequence '{s.name}', "
                f"which has {len(value[s.name])}"
            )
    history = {c.name: list(value[c.name][: c.depth]) if c.rows else [value[c.name]] for c in spec.carries}
    traces: dict[str, list[Array]] = {o: [] for o in spec.outputs}
    executed = 0
    for t in range(n):
        leaves: dict[tuple, Any] = {("read", name): value[name] for name in spec.nonseqs}
        for s in spec.sequences:
            leaves |= {("tap", s.name, k): value[s.name][t + k + s.lead] for k in s.taps}
        for c in spec.carries:
            leaves |= {("tap", c.name, k): history[c.name][t + c.depth + k] for k in c.taps}
        results = evaluate(spec.body, leaves, (*around, t), spec.name)
        for name, rows in (*history.items(), *traces.items()):
            rows.append(results[name])
        executed = t + 1
        if spec.has_until and results[UNTIL]:
            break
    return {
        "": np.int64(executed),
        "stride": value.get(STRIDE),
        "initial": {c.name: c.depth for c in spec.carries},
        "rows": {
            name: np.array(rows, dtype=spec.body.results[name].type.dtype).reshape(
                len(rows), *_row_shape(spec.body.results[name], rows, value)
            )
            for name, rows in (*history.items(), *traces.items())
        },
    }


def _row_shape(result: Node, rows: list[Array], value: Mapping[str, Array]) -> tuple[int, ...]:
    if rows:
        return np.shape(rows[0])
    # No step ran: run-time lengths of a row are those of some operand's axis; 0 where none tells.
    return tuple(d if isinstance(d, int) else 0 for d in result.type.shape)


def view(done: dict[str, Any], name: str, kind: str) -> Any:
    """What a consumer reads of a scan or cond: see the grammar in `ir/graph.py`."""
    if kind == "branch":
        return done[name]
    if kind == "effects":
        return np.int64(0)
    if kind == "length":
        return done[""]
    history = done["rows"][name]
    if kind == "final":
        return history[-1]
    if kind == "history":
        return history
    if kind == "every":
        depth, executed = done["initial"][name], int(done[""])
        gaps = np.asarray(done["stride"], dtype=object)  # sums of them may be anything
        places = np.cumsum([0, *gaps[:-1]]) if gaps.ndim else range(0, executed, int(gaps))
        states = [history[t : t + depth] if t < executed else np.zeros_like(history[:depth]) for t in places]
        return np.array(states, history.dtype).reshape(len(states), depth, *history.shape[1:])
    if kind == "state":
        return history[len(history) - done["initial"][name] :]
    trace = history[done["initial"].get(name, 0) :]
    if kind == "trace":
        return trace
    rows = int(kind.split()[1])
    if kind.startswith("tail"):
        return trace[max(0, len(trace) - rows) :]
    if rows > len(trace):
        raise ScanIndexError(f"the last {rows} rows of '{name}' are read, but the scan made {len(trace)} steps")
    return trace[len(trace) - rows :]


def run_cond(node: Node, env: Env, steps: tuple[int, ...]) -> dict[str, Any]:
    """Only the branch taken is evaluated."""
    predicate, *args = (env[a] for a in node.args)
    leaves = {("read", name): a for name, a in zip(node.attrs["names"], args, strict=True)}
    return evaluate(node.attrs["then"] if predicate else node.attrs["orelse"], leaves, steps, "branch")
