"""The device benchmarks: python bench/gpu.py [workload ...] [--json FILE] [--quick] [--check]

Every workload has its arrays on the device. What is timed is `QUEUED` calls that are handed over one after the other
and end together, as in a program whose values stay on the device: so the host's part of a call counts only where it is
longer than the device's. Peers: JAX on the same device, torch with cuDNN (which may use TF32), CuPy; where one is not
installed it is left out with a note. `copy` moves as many bytes as the workload must move at least, so the ratio to it
is the share of the copy bandwidth that is reached. `--check` runs the tests marked `gpu` before (about five minutes).
Every result is compared with a plain loop on the host. Without a device it ends with a message and status 3.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np

import scancc as sc
from scancc.backends.cuda.toolkit import cuda, simulated
from scancc.cli.tables import show
from scancc.errors import DeviceError
from scancc.measure import QUICK, Inputs, Options, Workload, environment, measure, write_report

R = np.random.default_rng(0)
QUEUED = 1 if simulated() else 8


@dataclass
class Case:
    """A workload, and the bytes that it reads and writes at least; 0 where memory is not what limits it."""

    workload: Workload
    read: int = 0
    written: int = 0


def scancc(make: Callable[[Inputs], Any], inputs: Inputs) -> Callable[[], Any]:
    function, *names = make(inputs)
    arrays = [sc.device_put(inputs[n]) for n in names]
    return queued(lambda: function(*arrays))


class Fetched:
    """A result of a library on the device, which is copied to the host when it is compared, not when it is timed."""

    def __init__(self, copy: Callable[[], np.ndarray]) -> None:
        self.copy = copy

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.copy()


def queued(call: Callable[[], Any], end: Callable[[Any], Any] | None = None) -> Callable[[], Any]:
    """`QUEUED` calls, and the end of the last one: `end` of its result, or of all that the device has to do."""

    def run() -> Any:
        for _ in range(QUEUED):
            result = call()
        if end is None:
            cuda().synchronize()
        else:
            end(result)
        return result

    return run


def copy(read: int, written: int, inputs: Inputs) -> Callable[[], Any]:
    """A copy on the device of (read + written) / 2 bytes, which moves that many in all."""
    source = sc.device_put(np.zeros((read + written) // 8, np.float32)).memory
    target = cuda().device_array(source.shape, source.dtype)
    return queued(lambda: target.copy_to_device(source))


def jax_scan(step: Callable, inputs: Inputs) -> Callable[[], Any]:
    import jax

    x = jax.device_put(inputs["x"])
    run = jax.jit(lambda x: step(jax, x))
    return queued(lambda: run(x), jax.block_until_ready)


def by_rows(step: Callable, start: Any, inputs: Inputs) -> Callable[[], np.ndarray]:
    """The oracle: `step(row of x, state)` along the rows of x in NumPy, in double precision."""

    def run() -> np.ndarray:
        state, out = start, []
        for row in inputs["x"]:
            state = step(row, state)
            out.append(np.float32(state))
        return np.array(out)

    return run


@numba.njit
def affine_loop(a: np.ndarray, x: np.ndarray) -> np.ndarray:
    y, state = np.empty_like(x), 0.0
    for t in range(len(x)):
        state = a[t] * state + x[t]
        y[t] = state
    return y


def lanes(count: int, steps: int) -> Case:
    """AR(1) with a parameter a lane: time first, lanes last."""

    def jax_lanes(inputs: Inputs) -> Callable[[], Any]:
        import jax

        x, a = jax.device_put(inputs["x"]), jax.device_put(inputs["a"])
        run = jax.jit(lambda x, a: jax.lax.scan(lambda y, x: (a * y + x,) * 2, jax.numpy.zeros(count, "f4"), x)[1])
        return queued(lambda: run(x, a), jax.block_until_ready)

    def make(inputs: Inputs) -> Any:
        def one(x: Any, a: Any) -> Any:
            return sc.scan(lambda x, y, a: a * y + x, x, np.float32(0), [a])

        return sc.jit(sc.vmap(one, in_axes=(1, 0), out_axes=1), target="cuda"), "x", "a"

    size = 4 * count * steps
    return Case(Workload(
        f"lanes/{count}x{steps}", steps * QUEUED,
        lambda: {"x": R.normal(size=(steps, count)).astype("f4"), "a": R.uniform(0, 0.9, count).astype("f4")},
        {"scancc": partial(scancc, make), "jax": jax_lanes}, 1e-4,
        oracle=lambda inputs: by_rows(lambda x, y: inputs["a"] * y + x, np.zeros(count), inputs),
    ), size, size)  # fmt: skip


def affine(steps: int) -> Case:
    """y = a y + b along one sequence, with a and b by step."""

    def jax_associative(inputs: Inputs) -> Callable[[], Any]:
        import jax

        a, x = jax.device_put(inputs["a"]), jax.device_put(inputs["x"])
        run = jax.jit(lambda a, x: jax.lax.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, x))[1])
        return queued(lambda: run(a, x), jax.block_until_ready)

    def make(inputs: Inputs) -> Any:
        step = sc.jit(lambda a, x: sc.scan(lambda a, x, y: a * y + x, [a, x], np.float32(0)), target="cuda",
                      parallel="prefix")  # fmt: skip
        return step, "a", "x"

    return Case(Workload(
        f"affine/{steps}", steps * QUEUED,
        lambda: {"a": R.uniform(0, 0.99, steps).astype("f4"), "x": R.normal(size=steps).astype("f4")},
        {"scancc": partial(scancc, make), "jax associative_scan": jax_associative}, 1e-3,
        oracle=lambda inputs: lambda: affine_loop(inputs["a"], inputs["x"]),
    ), 8 * steps, 4 * steps)  # fmt: skip


def running_sum(steps: int) -> Case:
    def cupy(inputs: Inputs) -> Callable[[], Any]:
        import cupy

        x = cupy.asarray(inputs["x"])
        return queued(lambda: Fetched(cupy.cumsum(x).get))

    def make(inputs: Inputs) -> Any:
        return sc.jit(lambda x: sc.scan(lambda x, y: y + x, x, np.float32(0)), target="cuda"), "x"

    return Case(Workload(
        f"cumsum/{steps}", steps * QUEUED, lambda: {"x": R.uniform(size=steps).astype("f4")},
        {"scancc": partial(scancc, make), "cupy": cupy}, 1e-2,
        oracle=lambda inputs: lambda: np.cumsum(inputs["x"], dtype=float).astype("f4"),
    ), 4 * steps, 4 * steps)  # fmt: skip


def sequence(steps: int) -> Case:
    """One sequence that no prefix helps: a logistic map with noise."""

    def make(inputs: Inputs) -> Any:
        return sc.jit(lambda x: sc.scan(lambda x, y: 3.7 * y * (1 - y) + x, x, 0.5), target="cuda"), "x"

    def step(jax: Any, x: Any) -> Any:
        return jax.lax.scan(lambda y, x: (3.7 * y * (1 - y) + x,) * 2, 0.5, x)[1]

    return Case(Workload(
        f"sequence/{steps}", steps * QUEUED, lambda: {"x": (R.normal(size=steps) * 1e-3).astype("f4")},
        {"scancc": partial(scancc, make), "jax": partial(jax_scan, step)}, 10.0,  # chaotic: rounding decides
        oracle=partial(by_rows, lambda x, y: 3.7 * y * (1 - y) + x, 0.5),
    ))  # fmt: skip


def rnn(width: int, batch: int, steps: int) -> Case:
    def inputs() -> Inputs:
        w = (R.normal(size=(width, width)) / np.sqrt(width)).astype("f4")
        return {"x": R.normal(size=(steps, batch, width)).astype("f4"), "w": w, "u": w.T.copy()}

    def make(inputs: Inputs) -> Any:
        def run(x: Any, w: Any, u: Any) -> Any:
            return sc.scan(lambda x, h, w: np.tanh(x + h @ w), x @ u, np.zeros((batch, width), "f4"), [w])

        return sc.jit(run, target="cuda"), "x", "w", "u"

    def oracle(inputs: Inputs) -> Callable[[], Any]:
        projected = inputs | {"x": inputs["x"].astype(float) @ inputs["u"]}
        return by_rows(lambda x, h: np.tanh(x + h @ inputs["w"]), np.zeros((batch, width)), projected)

    def torch(inputs: Inputs) -> Callable[[], Any]:
        import torch

        if not torch.cuda.is_available():
            raise ImportError("torch sees no device")
        module = torch.nn.RNN(width, width, bias=False).cuda()
        with torch.no_grad():
            module.weight_ih_l0.copy_(torch.as_tensor(inputs["u"]).T)
            module.weight_hh_l0.copy_(torch.as_tensor(inputs["w"]).T)
        x = torch.as_tensor(inputs["x"]).cuda()

        def run() -> Any:
            with torch.no_grad():
                y = module(x)[0]
            return Fetched(lambda: y.cpu().numpy())

        return queued(run)

    return Case(Workload(f"rnn/{width}x{batch}", steps * QUEUED, inputs,
                         {"scancc": partial(scancc, make), "torch cuDNN": torch}, 1e-2, oracle=oracle))  # fmt: skip


def cases(quick: bool) -> dict[str, Case]:
    small = simulated()
    return {
        "lanes": lanes(*((6, 5) if small else (100_000, 100 if quick else 1000))),
        "affine": affine(50 if small else 10**6 if quick else 10**8),
        "cumsum": running_sum(50 if small else 10**6 if quick else 10**8),
        "sequence": sequence(20 if small else 10_000),
        "rnn": rnn(*((33, 2, 3) if small else (256, 64, 200))),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Race scancc on a device against its peers.")
    parser.add_argument("names", nargs="*", metavar="workload")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer repeats")
    parser.add_argument("--check", action="store_true", help="run the tests for devices first")
    given = parser.parse_args()
    try:
        device = "simulator" if simulated() else str(cuda().get_current_device().name)
    except DeviceError as e:
        print(e, file=sys.stderr)
        return 3
    if given.check and subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], check=False).returncode:
        return 1
    record = environment() | {"device": device}
    results = []
    for name, case in cases(given.quick).items():
        if given.names and name not in given.names:
            continue
        workload = case.workload
        if case.read and not simulated():
            moved = _no_result(partial(copy, case.read, case.written), workload)
            workload = replace(workload, implementations={**workload.implementations, "copy": moved})
        result = measure(workload, QUICK if given.quick else Options(limit_s=40.0))
        results.append(result)
        show(result)
    if given.json:
        write_report(given.json, record, results)
    return int(any(r.failed for r in results))


def _no_result(factory: Callable, workload: Workload) -> Callable:
    """A copy has no result to compare: it hands out the reference's."""

    def made(inputs: Inputs) -> Callable[[], Any]:
        call = factory(inputs)
        expected = workload.implementations["scancc"](inputs)()

        def run() -> Any:
            call()
            return expected

        return run

    return made


if __name__ == "__main__":
    sys.exit(main())
