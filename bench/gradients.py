"""Gradients of recurrences, by scancc, JAX and, for scalar states, PyTensor and an adjoint loop written by hand.

    ar2      sum of squares of y[t] = x[t] + a y[t-1] + b y[t-2], by a and b
    garch    Gaussian log-likelihood of GARCH(1, 1), by its three parameters; also with checkpoints
    lorenz   sum of squares of a Runge-Kutta path of the Lorenz equations, by its parameters and start
    kalman   log-likelihood of a filter with 4 states and 2 observations, by F, H, Q and R
    rnn      squared last state of a tanh RNN, float32, by its weights: H=128 B=1 and H=256 B=64
    batch    10,000 lanes of 100 steps of AR(2), forward, `vmap` of both: all rows, the last, a sum of squares

`forward` is scancc's loop of the same loss, so its ratio is what a gradient costs. JAX runs on one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers

from scancc.measure import Inputs, Workload

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")


def by_scancc(loss: Callable, order: tuple[str, ...], wrt: int) -> Callable[[Inputs], Callable[[], Any]]:
    """The gradient of `loss(sc, inputs...)` with respect to its first `wrt` arguments."""

    def factory(inputs: Inputs) -> Callable[[], Any]:
        sc = peers.scancc()
        arguments = [inputs[n] for n in order]
        run = sc.jit(sc.grad(partial(loss, np, sc), tuple(range(wrt))))
        return lambda: [np.asarray(g) for g in run(*arguments)]

    return factory


def forward(loss: Callable, order: tuple[str, ...]) -> Callable[[Inputs], Callable[[], Any]]:
    def factory(inputs: Inputs) -> Callable[[], Any]:
        sc = peers.scancc()
        arguments = [inputs[n] for n in order]
        run = sc.jit(partial(loss, np, sc))
        return lambda: run(*arguments)

    return factory


def by_jax(loss: Callable, order: tuple[str, ...], wrt: int) -> Callable[[Inputs], Callable[[], Any]]:
    def factory(inputs: Inputs) -> Callable[[], Any]:
        jax = peers.jax()
        arguments = [jax.numpy.asarray(inputs[n]) for n in order]
        run = jax.jit(jax.grad(partial(loss, jax.numpy, jax), tuple(range(wrt))))
        return lambda: [np.asarray(g) for g in jax.block_until_ready(run(*arguments))]

    return factory


# -- AR(2) -----------------------------------------------------------------------------------------------------------


def ar2(xp, sc, a, b, x, y0):
    y = sc.scan(lambda x, y2, y1, a, b: x + a * y1 + b * y2, x, [dict(initial=y0, taps=[-2, -1])], [a, b])
    return (y**2).sum()


def ar2_jax(jnp, jax, a, b, x, y0):
    def step(carry, x):
        y = x + a * carry[1] + b * carry[0]
        return (carry[1], y), y

    return (jax.lax.scan(step, (y0[0], y0[1]), x)[1] ** 2).sum()


def ar2_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit(fastmath=peers.FMA)
    def gradient(a, b, x, y0):
        y = np.empty(len(x) + 2)
        y[0], y[1] = y0
        for t in range(len(x)):
            y[t + 2] = (x[t] + b * y[t]) + a * y[t + 1]
        d1 = d2 = ga = gb = 0.0
        for t in range(len(x) - 1, -1, -1):
            d = (2 * y[t + 2] + b * d2) + a * d1
            ga += d * y[t + 1]
            gb += d * y[t]
            d2, d1 = d1, d
        return ga, gb

    arguments = [inputs[n] for n in ("a", "b", "x", "y0")]
    return lambda: [np.asarray(g) for g in gradient(*arguments)]


def ar2_pytensor(inputs: Inputs) -> Callable[[], Any]:
    pytensor, pt = peers.pytensor()
    x, y0, a, b = pt.dvector("x"), pt.dvector("y0"), pt.dscalar("a"), pt.dscalar("b")
    y = pytensor.scan(lambda x_t, y2, y1, a, b: x_t + a * y1 + b * y2, sequences=x,
                      outputs_info=[dict(initial=y0, taps=[-2, -1])], non_sequences=[a, b], return_updates=False)
    run = pytensor.function([a, b, x, y0], pt.grad((y**2).sum(), [a, b]), mode="NUMBA")
    run.trust_input = True
    arguments = [np.asarray(inputs[n]) for n in ("a", "b", "x", "y0")]
    return lambda: run(*arguments)


def ar2_inputs(steps: int) -> Inputs:
    x = np.random.default_rng(0).normal(size=steps)
    return {"a": np.float64(0.5), "b": np.float64(-0.3), "x": x, "y0": np.array([0.1, 0.2])}


# -- GARCH -----------------------------------------------------------------------------------------------------------


def garch(xp, sc, omega, alpha, beta, r, **options):
    def step(r, s, omega, alpha, beta):
        s = omega + alpha * r * r + beta * s
        return s, np.log(s) + r * r / s

    return sc.scan(step, r, [1.0, None], [omega, alpha, beta], **options)[1].sum()


def garch_jax(jnp, jax, omega, alpha, beta, r):
    def step(s, r):
        s = omega + alpha * r * r + beta * s
        return s, jnp.log(s) + r * r / s

    return jax.lax.scan(step, jnp.float64(1.0), r)[1].sum()


def garch_njit(inputs: Inputs) -> Callable[[], Any]:
    @peers.numba().njit(fastmath=peers.FMA)
    def gradient(omega, alpha, beta, r):
        s = np.empty(len(r) + 1)
        s[0] = 1.0
        for t in range(len(r)):
            s[t + 1] = omega + alpha * r[t] * r[t] + beta * s[t]
        d = g0 = g1 = g2 = 0.0
        for t in range(len(r) - 1, -1, -1):
            square = r[t] * r[t]
            inverse = 1.0 / s[t + 1]
            d = inverse - square * inverse * inverse + beta * d
            g0 += d
            g1 += d * square
            g2 += d * s[t]
        return g0, g1, g2

    arguments = [inputs[n] for n in ("omega", "alpha", "beta", "r")]
    return lambda: [np.asarray(g) for g in gradient(*arguments)]


def garch_inputs(steps: int) -> Inputs:
    r = np.random.default_rng(0).normal(size=steps)
    return {"omega": np.float64(0.1), "alpha": np.float64(0.1), "beta": np.float64(0.8), "r": r}


# -- Lorenz ----------------------------------------------------------------------------------------------------------


def lorenz_step(xp, u, sigma, rho, beta):
    def rate(u):
        return xp.stack([sigma * (u[1] - u[0]), u[0] * (rho - u[2]) - u[1], u[0] * u[1] - beta * u[2]])

    h = 0.01
    k1 = rate(u)
    k2 = rate(u + h / 2 * k1)
    k3 = rate(u + h / 2 * k2)
    return u + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(u + h * k3))


def lorenz(xp, sc, u0, sigma, rho, beta, steps):
    path = sc.scan(lambda _, u, s, r, b: lorenz_step(np, u, s, r, b), steps, u0, [sigma, rho, beta])
    return (path**2).sum()


def lorenz_jax(jnp, jax, u0, sigma, rho, beta, steps):
    def step(u, _):
        u = lorenz_step(jnp, u, sigma, rho, beta)
        return u, u

    return (jax.lax.scan(step, u0, steps)[1] ** 2).sum()


def lorenz_inputs(steps: int) -> Inputs:
    numbers = {"sigma": np.float64(10.0), "rho": np.float64(8.0), "beta": np.float64(8 / 3)}
    return {"u0": np.ones(3), **numbers, "steps": np.zeros(steps)}


# -- Kalman ----------------------------------------------------------------------------------------------------------


def kalman_step(xp, y, m, P, F, H, Q, R):
    m, P = F @ m, F @ P @ F.T + Q
    v, S = y - H @ m, H @ P @ H.T + R
    det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
    inverse = xp.stack([xp.stack([S[1, 1], -S[0, 1]]), xp.stack([-S[1, 0], S[0, 0]])]) / det
    K = P @ H.T @ inverse
    return m + K @ v, P - K @ S @ K.T, -0.5 * (v @ inverse @ v + xp.log(det))


def kalman(xp, sc, F, H, Q, R, y, m0, P0):
    return sc.scan(partial(kalman_step, np), y, [m0, P0, None], [F, H, Q, R])[2].sum()


def kalman_jax(jnp, jax, F, H, Q, R, y, m0, P0):
    def step(carry, y):
        m, P, density = kalman_step(jnp, y, *carry, F, H, Q, R)
        return (m, P), density

    return jax.lax.scan(step, (m0, P0), y)[1].sum()


def kalman_inputs(steps: int) -> Inputs:
    from kalman import make_inputs

    return make_inputs(steps)


# -- RNN -------------------------------------------------------------------------------------------------------------


def rnn(xp, sc, W, U, b, x, h0):
    h = sc.scan(lambda x, h, W, U, b: np.tanh(x @ U + h @ W + b), x, h0, [W, U, b])
    return (h[-1] ** 2).sum()


def rnn_jax(jnp, jax, W, U, b, x, h0):
    h, _ = jax.lax.scan(lambda h, x: (jnp.tanh(x @ U + h @ W + b), None), h0, x)
    return (h**2).sum()


def rnn_inputs(steps: int, width: int, rows: int) -> Inputs:
    r = np.random.default_rng(0)
    shape = (width,) if rows == 1 else (rows, width)
    found = {"W": r.normal(size=(width, width)) / np.sqrt(width), "U": r.normal(size=(width, width)) / np.sqrt(width),
             "b": np.zeros(width), "x": r.normal(size=(steps, *shape)), "h0": np.zeros(shape)}  # fmt: skip
    return {k: v.astype(np.float32) for k, v in found.items()}


# -- a batch of lanes ------------------------------------------------------------------------------------------------


def _viewed(lane: Callable, view: str) -> Callable:
    """The lane's rows, the last of them, or the sum of their squares."""
    views = {"whole": lambda y: y, "last": lambda y: y[-1], "loss": lambda y: (y * y).sum()}
    return lambda *args: views[view](lane(*args))


def batch_scancc(view: str, inputs: Inputs) -> Callable[[], Any]:
    sc = peers.scancc()

    def lane(x, y0, a, b):
        return sc.scan(lambda x, y2, y1, a, b: x + a * y1 + b * y2, x, [dict(initial=y0, taps=[-2, -1])], [a, b])

    run = sc.jit(sc.vmap(_viewed(lane, view), in_axes=(1, 0, None, None), out_axes=-1))
    return lambda: run(inputs["x"], inputs["y0"], inputs["a"], inputs["b"])


def batch_jax(view: str, inputs: Inputs) -> Callable[[], Any]:
    jax = peers.jax()

    def lane(x, y0, a, b):
        def step(carry, x):
            y = x + a * carry[1] + b * carry[0]
            return (carry[1], y), y

        return jax.lax.scan(step, (y0[0], y0[1]), x)[1]

    run = jax.jit(jax.vmap(_viewed(lane, view), in_axes=(1, 0, None, None), out_axes=-1))
    arguments = [jax.numpy.asarray(inputs[n]) for n in ("x", "y0", "a", "b")]
    return lambda: run(*arguments).block_until_ready()


def batch_inputs(steps: int, lanes: int) -> Inputs:
    r = np.random.default_rng(0)
    return {"x": r.normal(size=(steps, lanes)), "y0": r.normal(size=(lanes, 2)), "a": np.float64(0.5),
            "b": np.float64(-0.3)}  # fmt: skip


def workloads(quick: bool) -> list[Workload]:
    def race(name: str, steps: int, make: Callable, loss: Callable, jax_loss: Callable, order: str, wrt: int,
             more: dict[str, Callable] | None = None, tolerance: float = 1e-9) -> Workload:  # fmt: skip
        names = tuple(order.split())
        found = {"scancc": by_scancc(loss, names, wrt), "jax.grad": by_jax(jax_loss, names, wrt), **(more or {})}
        return Workload(f"gradients/{name}", steps, partial(make, steps), found, tolerance)

    long = 10**4 if quick else 10**6
    found = [
        race("ar2", long, ar2_inputs, ar2, ar2_jax, "a b x y0", 2, {
            "njit by hand": ar2_njit,
            "PyTensor": ar2_pytensor,
        }),
        race("garch", long, garch_inputs, garch, garch_jax, "omega alpha beta r", 3, {
            "scancc, checkpoint": by_scancc(partial(garch, checkpoint="sqrt"), ("omega", "alpha", "beta", "r"), 3),
            "njit by hand": garch_njit,
        }),
        race("lorenz", long // 50, lorenz_inputs, lorenz, lorenz_jax, "u0 sigma rho beta steps", 4),
        race("kalman", 500 if quick else 5000, kalman_inputs, kalman, kalman_jax, "F H Q R y m0 P0", 4),
        *(Workload(
            f"gradients/batch-{view}", 100 * 10_000, partial(batch_inputs, 100, 10_000),
            {"scancc": partial(batch_scancc, view), "jax.vmap": partial(batch_jax, view)},
        ) for view in ("whole", "last", "loss")),
    ]  # fmt: skip
    for width, rows, steps in ((128, 1, 2000), (256, 64, 100)):
        make = partial(rnn_inputs, width=width, rows=rows)
        found.append(race(f"rnn-{width}-{rows}", steps // (20 if quick else 1), make, rnn, rnn_jax, "W U b x h0", 3,
                          tolerance=1e-4))  # fmt: skip
    for name, loss, make, steps, order in (
        ("ar2", ar2, ar2_inputs, long, "a b x y0"),
        ("garch", garch, garch_inputs, long, "omega alpha beta r"),
        ("lorenz", lorenz, lorenz_inputs, long // 50, "u0 sigma rho beta steps"),
    ):
        found.append(Workload(f"gradients/{name}-forward", steps, partial(make, steps),
                              {"scancc": forward(loss, tuple(order.split()))}))  # fmt: skip
    return found
