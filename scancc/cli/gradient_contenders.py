"""The derivatives of a scan by scancc, JAX and PyTensor: of the sum of squares of all its outputs.

With respect to initial rows and non-sequences, which is what a model is fitted by. The interpreter differentiates the
same program and is the oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scancc.cli.contenders import Call, NotComparable, jax_outputs, pytensor_function, pytensor_outputs
from scancc.gradients import grad
from scancc.jit import JitFunction, jit


def _leaves(call: Call) -> list[np.ndarray]:
    """Initial rows, as the scan takes them, and non-sequences."""
    rows = [i[0] if taps == (-1,) else i for i, taps in call.outputs if i is not None]
    found = [np.asarray(v) for v in [*rows, *call.non_sequences]]
    if not found or any(v.dtype.kind != "f" for v in found):
        raise NotComparable("derivatives are compared where initial rows and non-sequences are real numbers")
    return found


def differentiated(call: Call) -> tuple[JitFunction, list[np.ndarray]]:
    """The gradient as a compiled function, and its arguments."""
    leaves = _leaves(call)
    sequences = [x for x, _ in call.sequences]

    def loss(*arguments: Any) -> Any:
        rows = [{"input": x, "taps": list(taps)}
                for x, (_, taps) in zip(arguments, call.sequences, strict=False)]  # fmt: skip
        rest = iter(arguments[len(rows) :])
        infos = [None if i is None else {"initial": next(rest), "taps": list(taps)} for i, taps in call.outputs]
        made = call.scan(rows or None, infos, list(rest), call.steps, return_list=True)
        total = 0.0
        for output in made:
            total = total + (output * output).sum()
        return total

    first = len(sequences)
    wanted = tuple(range(first, first + len(leaves)))
    compiled: JitFunction = jit(grad(loss, wanted))
    return compiled, [*sequences, *leaves]


def by_scancc(call: Call) -> Callable[[], Any]:
    run, arguments = differentiated(call)
    return lambda: run(*arguments)


def interpreted(call: Call) -> Callable[[], Any]:
    run, arguments = differentiated(call)
    return lambda: run(*arguments, mode="interpret")


def by_jax(call: Call) -> Callable[[], Any]:
    import jax

    _leaves(call)
    outputs, values = jax_outputs(call)

    def loss(initials: Any, non_sequences: Any) -> Any:
        return sum((o * o).sum() for o in outputs(values[0], initials, non_sequences))

    run = jax.jit(jax.grad(loss, (0, 1)))

    def result() -> Any:
        initials, non_sequences = run(values[1], values[2])
        rows = [i[0] if taps == (-1,) else i for i, (_, taps) in zip(initials, call.outputs, strict=True)
                if i is not None]  # fmt: skip
        return [np.asarray(g) for g in (*rows, *non_sequences)]

    return result


def by_pytensor(call: Call) -> Callable[[], Any]:
    from pytensor.gradient import grad as gradient_of

    _leaves(call)
    symbols, outputs, wanted = pytensor_outputs(call)
    loss = sum((o * o).sum() for o in outputs)
    found: Any = gradient_of(loss, wanted)
    return pytensor_function(symbols, found)


GRADIENTS: dict[str, Callable[[Call], Callable[[], Any]]] = {
    "jax": by_jax,
    "pytensor": by_pytensor,
    "scancc": by_scancc,
}
