"""What the recurrent networks of this folder share: sizes, inputs, torch's modules, and the workloads made of them.

A network of H units has as many inputs. Its weights are U (H, G H) for the input, W (H, G H) for the state and one or
two biases (G H,), where G gates lie side by side. Sequences are (steps, B, H), or (steps, H) if B is 1; all is
float32. The gradient is that of the sum of squares of all states, by all weights.

Everybody projects the inputs by one matrix product before the loop, by hand; scancc is given the formula as it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import networks_in_c
import numpy as np
import peers

from scancc.jit import JitFunction
from scancc.measure import Factory, Inputs, Workload

# (units, sequences, steps of a network with one gate): a call takes 5 to 50 ms.
SIZES = {"32x1": (32, 1, 20_000), "128x1": (128, 1, 8_000), "128x32": (128, 32, 500), "256x64": (256, 64, 120),
         "512x1": (512, 1, 1_500)}  # fmt: skip
QUICK = {"32x1": (32, 1, 240), "128x32": (128, 32, 24)}
TOLERANCE = 1e-4  # of the largest value: sums of float32 over thousands of steps, in another order


@dataclass(frozen=True)
class Network:
    """The versions of one network; functions take the inputs in the order of `names`: x, the states, then the weights.

    by_hand    makes the loop for Numba of a product `product(h, W, out)`; all its arrays have the axis of sequences
    module     its name in torch.nn
    weights    which parameters of torch's module hold the weights, in order; those not named are zero
    """

    name: str
    gates: int
    names: tuple[str, ...]
    forward: JitFunction
    gradient: JitFunction
    by_hand: Callable[..., Any]
    by_jax: Callable[..., Any]
    by_pytensor: Callable[..., Any]
    module: str
    weights: tuple[str, ...] = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(n for n in self.names if n in ("h0", "c0"))

    @property
    def wrt(self) -> tuple[int, ...]:
        """The places of the weights among the inputs."""
        return tuple(range(1 + len(self.states), len(self.names)))


def make_inputs(names: tuple[str, ...], gates: int, units: int, rows: int, steps: int) -> dict[str, np.ndarray]:
    """x (steps, rows, units), h0, c0 (rows, units), U, W (units, gates units), b, d (gates units,).

    Where rows is 1, that axis is left out. W contracts, so differences of rounding do not grow.
    """
    r = np.random.default_rng(units)
    shape = (units,) if rows == 1 else (rows, units)
    shapes = {"x": (steps, *shape), "h0": shape, "c0": shape, "U": (units, gates * units), "W": (units, gates * units),
              "b": (gates * units,), "d": (gates * units,)}  # fmt: skip
    scales = {"x": 1.0, "h0": 0.5, "c0": 0.5, "U": units**-0.5, "W": 0.5 * units**-0.5, "b": 0.1, "d": 0.1}
    return {n: (scales[n] * r.normal(size=shapes[n])).astype(np.float32) for n in names}


def example(names: tuple[str, ...], gates: int, size: str) -> tuple[np.ndarray, ...]:
    """Arguments for `scancc_example_inputs`; 100 steps are enough to compile for."""
    units, rows, _ = SIZES[size]
    return tuple(make_inputs(names, gates, units, rows, 100).values())


def squares(function: Callable[..., Any]) -> Callable[..., Any]:
    """The loss: the sum of squares of all states."""
    return lambda *inputs: (function(*inputs) ** 2).sum()


# -- Numba -----------------------------------------------------------------------------------------------------------


def product_by_loops(h, W, out):
    """out += h @ W, four rows of W at a time: LLVM vectorises along the row, and `out` moves a quarter as often."""
    for k in range(h.shape[0]):
        for i in range(0, h.shape[1], 4):
            a, b, c, d = h[k, i], h[k, i + 1], h[k, i + 2], h[k, i + 3]
            for j in range(W.shape[1]):
                out[k, j] += a * W[i, j] + b * W[i + 1, j] + c * W[i + 2, j] + d * W[i + 3, j]


def product_by_blas(h, W, out):
    out += np.dot(h, W)


def by_numba(network: Network, product: Callable[..., None]) -> Factory:
    def factory(inputs: Inputs) -> Callable[[], Any]:
        njit = peers.numba().njit(fastmath=peers.FMA)
        run = njit(network.by_hand(njit(product)))
        shape = inputs["x"].shape
        units = shape[-1]
        given = [inputs[n] for n in network.names]
        x = given[0].reshape(len(given[0]), -1, units)
        states = [inputs[n].reshape(-1, units) for n in network.states]
        weights = given[1 + len(states) :]
        return lambda: run(x, *states, *weights).reshape(shape)

    return factory


# -- PyTensor --------------------------------------------------------------------------------------------------------


def by_pytensor(network: Network, forward: Callable[..., Any], gradient: bool) -> Factory:
    if not gradient:
        return peers.by_pytensor(forward, *network.names)
    return peers.by_pytensor(peers.pytensor_gradient(squares(forward), network.wrt), *network.names)


def as_a_batch(network: Network, pytensor: Any, x: Any, *rest: Any) -> Any:
    """One sequence as a batch of one, whose products are those of matrices: forward they are up to 17 times as fast."""
    count = len(network.states)
    return network.by_pytensor(pytensor, x[:, None], *(s[None] for s in rest[:count]), *rest[count:])[:, 0]


# -- torch -----------------------------------------------------------------------------------------------------------


def by_torch(network: Network, gradient: bool) -> Factory:
    """torch's own module, with the same weights, which it has transposed."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        torch = peers.torch()
        units = inputs["x"].shape[-1]
        module = getattr(torch.nn, network.module)(units, units)
        module.requires_grad_(False)
        for parameter in module.parameters():
            parameter.zero_()
        held = [getattr(module, n) for n in network.weights]
        for parameter, name in zip(held, network.names[1 + len(network.states) :], strict=True):
            parameter.copy_(torch.as_tensor(inputs[name].T))
            parameter.requires_grad_(gradient)
        x, *states = [torch.as_tensor(inputs[n]) for n in ("x", *network.states)]
        states = [s[None] for s in states]  # one layer
        state = tuple(states) if len(states) > 1 else states[0]

        def forward() -> Any:
            with torch.no_grad():
                return module(x, state)[0].numpy()

        def backward() -> Any:
            loss = (module(x, state)[0] ** 2).sum()
            return tuple(g.numpy().T for g in torch.autograd.grad(loss, held))

        return backward if gradient else forward

    return factory


# -- workloads -------------------------------------------------------------------------------------------------------


def races(network: Network, quick: bool) -> list[Workload]:
    made = []
    for size, (units, rows, steps) in (QUICK if quick else SIZES).items():
        steps //= network.gates
        inputs = partial(make_inputs, network.names, network.gates, units, rows, steps)
        for gradient in (False, True):
            function = network.gradient if gradient else network.forward
            versions = _versions(network, gradient, units=units, small=rows == 1, pytensor=not quick)
            made.append(Workload(f"{network.name}{'-gradient' * gradient}/{size}", steps, inputs, versions, TOLERANCE,
                                 oracle=peers.interpreted(function, *network.names), group="network",
                                 gradient=gradient))  # fmt: skip
    return made


def _versions(network: Network, gradient: bool, units: int, small: bool, pytensor: bool) -> dict[str, Factory]:
    names = network.names

    def jax(unroll: int) -> Factory:
        if not gradient:
            return peers.by_jax(partial(network.by_jax, unroll=unroll), *names)
        return peers.by_jax(lambda module, *inputs: module.grad(
            squares(partial(network.by_jax, module, unroll=unroll)), network.wrt)(*inputs), *names)  # fmt: skip

    made = {"scancc": peers.by_scancc(network.gradient if gradient else network.forward, *names)}
    if not gradient:
        made["numba, BLAS"] = by_numba(network, product_by_blas)
    if not gradient and small:
        made["numba, loops"] = by_numba(network, product_by_loops)
    if not gradient and small and units <= 32:  # C as one writes it by hand; larger products are better left to a BLAS
        made["c"] = partial(networks_in_c.by_c, network.name, network.gates, names)
    made["jax"] = jax(1)
    made["jax, unroll=4"] = jax(4)
    made["torch"] = by_torch(network, gradient)
    if pytensor:
        made["pytensor"] = by_pytensor(network, network.by_pytensor, gradient)
    if pytensor and small:
        made["pytensor, as a batch"] = by_pytensor(network, partial(as_a_batch, network), gradient)
    return made
