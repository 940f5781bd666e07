"""What a scan is timed against: the same step function in a Python loop, an njit loop, JAX and PyTensor.

JAX and PyTensor get the user's own step with the name of NumPy bound to their module, so only steps made of operators
and NumPy functions that those modules have can take part; the others are noted. The njit loop is what one would write
by hand for scalar rows: tap by tap, in the order of the step.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from scancc.api import ScanFunction
from scancc.frontend.scan_arguments import ScanArguments, normalise
from scancc.ir.graph import Sequence


class NotComparable(ImportError):
    """This implementation cannot run the step: it is left out with a note."""


@dataclass
class Call:
    """One call of a scan, in the parts that other implementations need."""

    scan: ScanFunction
    given: dict[str, Any]
    args: ScanArguments = field(init=False)

    def __post_init__(self) -> None:
        names = ("sequences", "outputs_info", "non_sequences", "n_steps")
        self.args = normalise(self.scan.fn, *(self.given.get(n) for n in names))
        if self.given.get("go_backwards"):
            raise NotComparable("go_backwards has no counterpart in the generated peers")

    @cached_property
    def steps(self) -> int:
        if self.args.n_steps is not None:
            return int(self.args.n_steps)
        return min(len(rows) - Sequence("", tuple(sorted(taps))).reach for rows, taps in self.sequences)

    @cached_property
    def sequences(self) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        return [(np.asarray(s.value), s.taps) for s in self.args.sequences]

    @cached_property
    def outputs(self) -> list[tuple[np.ndarray | None, tuple[int, ...]]]:
        """Initial rows (always with a leading axis) and taps; with None for outputs without feedback."""
        if self.args.outputs is None:
            raise NotComparable("give outputs_info one entry an output to compare")
        return [
            (None if o.initial is None else np.asarray(o.initial)[None] if o.taps == (-1,) else np.asarray(o.initial),
             o.taps)
            for o in self.args.outputs
        ]  # fmt: skip

    @cached_property
    def non_sequences(self) -> list[np.ndarray]:
        return [np.asarray(v) for _, v in self.args.non_sequences]

    def taps_of_sequences(self) -> list[tuple[int, int]]:
        """(sequence, row of step 0) for each argument that a sequence gives the step."""
        return [(i, k - min(0, *taps)) for i, (_, taps) in enumerate(self.sequences) for k in taps]


def python_loop(call: Call) -> Callable[[], Any]:
    fn, steps = call.scan.fn, call.steps
    reads = call.taps_of_sequences()

    def run() -> Any:
        histories = [None if i is None else list(i) for i, _ in call.outputs]
        rows: list[list[Any]] = [[] for _ in call.outputs]
        for t in range(steps):
            arguments = [call.sequences[i][0][t + first] for i, first in reads]
            for history, (initial, taps) in zip(histories, call.outputs, strict=True):
                if history is not None and initial is not None:
                    arguments += [history[k] for k in taps]
            made = fn(*arguments, *call.non_sequences)
            if isinstance(made, dict) or (
                isinstance(made, tuple)
                and len(made) == 2
                and not np.shape(made[1]) == ()
                and type(made[1]).__name__ == "Until"
            ):
                raise NotComparable("the step returns a dict or a stopping condition")
            made = made if isinstance(made, (tuple, list)) else (made,)
            for history, out, value in zip(histories, rows, made, strict=True):
                out.append(value)
                if history is not None:
                    history.append(value)
        return tuple(np.array(r) for r in rows)

    return run


def njit_loop(call: Call) -> Callable[[], Any]:
    import numba

    scalars = all(x.ndim == 1 for x, _ in call.sequences) and all(v.ndim == 0 for v in call.non_sequences)
    if not scalars or any(i is None or i.ndim != 1 for i, _ in call.outputs) or not call.outputs:
        raise NotComparable("the generated loop is for scalar rows that feed back")
    arguments = [f"x{i}[t + {first}]" for i, first in call.taps_of_sequences()]
    heads, stores, shifts = [], [], []
    for o, (initial, taps) in enumerate(call.outputs):
        assert initial is not None
        depth = -min(taps)
        heads += [f"y{o}_{k} = initial{o}[{depth - k}]" for k in range(1, depth + 1)]
        heads.append(f"y{o} = np.empty(steps, initial{o}.dtype)")
        arguments += [f"y{o}_{-k}" for k in taps]
        stores.append(f"y{o}[t] = new{o}")
        shifts += [f"y{o}_{k} = y{o}_{k - 1}" for k in range(depth, 1, -1)] + [f"y{o}_1 = new{o}"]
    arguments += [f"a{i}" for i in range(len(call.non_sequences))]
    names = [f"x{i}" for i in range(len(call.sequences))] + [f"initial{o}" for o in range(len(call.outputs))]
    names += [f"a{i}" for i in range(len(call.non_sequences))]
    new = ", ".join(f"new{o}" for o in range(len(call.outputs)))
    body = "\n        ".join([f"{new} = step({', '.join(arguments)})", *stores, *shifts])
    source = f"def loop(steps, {', '.join(names)}):\n    " + "\n    ".join(heads)
    results = ", ".join(f"y{o}" for o in range(len(call.outputs)))
    source += f"\n    for t in range(steps):\n        {body}\n    return ({results},)"
    namespace: dict[str, Any] = {"np": np, "step": numba.njit(call.scan.fn)}
    exec(source, namespace)
    loop = numba.njit(namespace["loop"])
    values = [x for x, _ in call.sequences] + [i for i, _ in call.outputs] + [v[()] for v in call.non_sequences]
    return lambda: loop(call.steps, *values)


def jax_scan(call: Call) -> Callable[[], Any]:
    import jax

    run, values = jax_outputs(call)
    compiled = jax.jit(run)
    return lambda: jax.block_until_ready(compiled(*values))


def jax_outputs(call: Call) -> tuple[Callable[..., Any], tuple[Any, Any, Any]]:
    """A function of sequences, initial rows and non-sequences that returns the outputs, and those of the call."""
    import jax

    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    step, steps = rebound(call.scan.fn, jnp), call.steps
    reads = call.taps_of_sequences()

    def run(sequences: Any, initials: Any, non_sequences: Any) -> Any:
        def body(state: Any, rows: Any) -> Any:
            arguments = list(rows)
            for history, (_, taps) in zip(state, call.outputs, strict=True):
                arguments += [history[k] for k in taps]
            made = step(*arguments, *non_sequences)
            made = made if isinstance(made, (tuple, list)) else (made,)
            following = [jnp.concatenate([h[1:], jnp.asarray(v)[None]]) if h is not None and len(h) > 1
                         else None if h is None else jnp.asarray(v)[None]
                         for h, v in zip(state, made, strict=True)]  # fmt: skip
            return tuple(following), tuple(made)

        rows = tuple(sequences[i][first : first + steps] for i, first in reads)
        return jax.lax.scan(body, initials, rows, length=steps)[1]

    values = (
        [jnp.asarray(x) for x, _ in call.sequences],
        tuple(None if i is None else jnp.asarray(i[min(t) :]) for i, t in call.outputs),
        [jnp.asarray(v) for v in call.non_sequences],
    )
    return run, values


def pytensor_scan(call: Call) -> Callable[[], Any]:
    symbols, results, _ = pytensor_outputs(call)
    return pytensor_function(symbols, results)


def pytensor_outputs(call: Call) -> tuple[list[tuple[Any, np.ndarray]], list[Any], list[Any]]:
    """Symbols with their values, the outputs, and the symbols of initial rows and non-sequences."""
    import pytensor
    import pytensor.tensor as pt

    step = rebound(call.scan.fn, pt)
    symbols: list[Any] = []

    def symbol(x: np.ndarray) -> Any:
        s = pt.tensor(dtype=x.dtype, shape=x.shape)
        symbols.append((s, x))
        return s

    sequences = [dict(input=symbol(x), taps=list(t)) for x, t in call.sequences]
    info = [None if i is None else dict(initial=symbol(i if t != (-1,) else i[0]), taps=list(t))
            for i, t in call.outputs]  # fmt: skip
    non_sequences = [symbol(v) for v in call.non_sequences]
    result = pytensor.scan(
        step, sequences=sequences, outputs_info=info, non_sequences=non_sequences, n_steps=call.steps,
        return_updates=False,
    )  # fmt: skip
    results = list(result) if isinstance(result, (list, tuple)) else [result]
    return symbols, results, [o["initial"] for o in info if o is not None] + non_sequences


def pytensor_function(symbols: list[tuple[Any, np.ndarray]], results: list[Any]) -> Callable[[], Any]:
    import pytensor

    function = pytensor.function([s for s, _ in symbols], results, mode="NUMBA")
    function.trust_input = True
    values = [x for _, x in symbols]
    return lambda: tuple(function(*values))


def compiled(call: Call) -> Callable[[], Any]:
    """The call as a user writes it: with `return_list` it would not be one of those that are made whole."""
    scan, given = call.scan, call.given
    return lambda: scan(**given)


def rebound(fn: Callable, module: Any) -> Callable:
    """`fn` with every name that stands for NumPy bound to another module, in the functions it calls too."""
    known: dict[int, Any] = {}

    def change(value: Any) -> Any:
        if value is np:
            return module
        if isinstance(value, types.FunctionType) and not value.__module__.startswith(("numpy", "scancc.")):
            if id(value) not in known:
                scope: dict[str, Any] = {}
                made = types.FunctionType(value.__code__, scope, value.__name__, value.__defaults__, value.__closure__)
                known[id(value)] = made
                names = set(value.__code__.co_names)
                scope.update({k: change(v) if k in names else v for k, v in value.__globals__.items()})
            return known[id(value)]
        return value

    if not isinstance(fn, types.FunctionType):
        raise NotComparable("the step is not a plain function")
    if fn.__module__.startswith("scancc.cli"):
        scope = {k: module if v is np else v for k, v in fn.__globals__.items()}
        return types.FunctionType(fn.__code__, scope, fn.__name__, fn.__defaults__, fn.__closure__)
    found: Callable = change(fn)
    return found


FACTORIES: dict[str, Callable[[Call], Callable[[], Any]]] = {
    "python": python_loop,
    "numba": njit_loop,
    "jax": jax_scan,
    "pytensor": pytensor_scan,
    "scancc": compiled,
}
