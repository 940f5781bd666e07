"""A Kalman filter with 4 states and 2 observations: full covariance recursion and log-likelihood, float64.

    m, P = F m, F P F' + Q                      predict
    v, S = y[t] - H m, H P H' + R               innovation and its covariance
    m, P = m + K v, P - K S K',  K = P H' S^-1  update
    log L += -1/2 (v' S^-1 v + log det S + 2 log 2 pi)

The model is a point in the plane with its velocity, of which the position is observed; no implementation
may use the zeros of F and H. Kept are the filtered means of all steps and the log-likelihood. 10,000 steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
from straight_line import Matrix, Writer, entries, transpose

from scancc.measure import Inputs, Workload

STATES, OBSERVED = 4, 2
LOG_2PI = math.log(2.0 * math.pi)


def make_inputs(steps: int) -> dict[str, np.ndarray]:
    """y (steps, 2), m0 (4,), P0 (4, 4), F (4, 4), H (2, 4), Q (4, 4), R (2, 2)."""
    rng = np.random.default_rng(42)
    F = np.kron(np.array([[1.0, 0.1], [0.0, 0.98]]), np.eye(2))
    H = np.kron(np.array([[1.0, 0.0]]), np.eye(2))
    Q = 0.01 * np.kron(np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]), np.eye(2)) + 1e-4 * np.eye(STATES)
    R = np.array([[0.5, 0.1], [0.1, 0.4]])
    y, state = np.empty((steps, OBSERVED)), np.zeros(STATES)
    drift, noise = np.linalg.cholesky(Q), np.linalg.cholesky(R)
    for t in range(steps):
        state = F @ state + drift @ rng.normal(size=STATES)
        y[t] = H @ state + noise @ rng.normal(size=OBSERVED)
    return {"y": y, "m0": np.zeros(STATES), "P0": np.eye(STATES), "F": F, "H": H, "Q": Q, "R": R}


def filter_step(xp: Any, inverse_2x2: bool) -> Callable[..., Any]:
    """The step in the NumPy of `xp` (numpy or jax.numpy), S inverted by LAPACK or by the formula for 2x2."""

    def invert(S: Any) -> tuple[Any, Any]:
        if not inverse_2x2:
            return xp.linalg.inv(S), xp.linalg.slogdet(S)[1]
        det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
        return xp.stack([xp.stack([S[1, 1], -S[0, 1]]), xp.stack([-S[1, 0], S[0, 0]])]) / det, xp.log(det)

    def step(y_t, m, P, F, H, Q, R):
        m, P = F @ m, F @ P @ F.T + Q
        v, S = y_t - H @ m, H @ P @ H.T + R
        inverse, log_det = invert(S)
        K = P @ H.T @ inverse
        density = -0.5 * (v @ inverse @ v + log_det + OBSERVED * LOG_2PI)
        return m + K @ v, P - K @ S @ K.T, density

    return step


def numpy_loop(inputs: Inputs) -> Callable[[], Any]:
    step = filter_step(np, inverse_2x2=True)
    y, m0, P0, *model = inputs.values()

    def run():
        means, log_likelihood, m, P = np.empty((len(y), STATES)), 0.0, m0, P0
        for t in range(len(y)):
            m, P, density = step(y[t], m, P, *model)
            means[t] = m
            log_likelihood += density
        return means, log_likelihood

    return run


def jax_scan(inputs: Inputs, inverse_2x2: bool) -> Callable[[], Any]:
    jax = peers.jax()
    update = filter_step(jax.numpy, inverse_2x2)

    @jax.jit
    def run(y, m0, P0, *model):
        def step(carry, y_t):
            m, P, density = update(y_t, *carry, *model)
            return (m, P), (m, density)

        means, densities = jax.lax.scan(step, (m0, P0), y)[1]
        return means, densities.sum()

    arguments = [jax.numpy.asarray(value) for value in inputs.values()]
    return lambda: jax.block_until_ready(run(*arguments))


def njit_blas(inputs: Inputs) -> Callable[[], Any]:
    """The NumPy loop under njit as it stands: every small product is a BLAS call and an allocation."""

    @peers.numba().njit(fastmath=peers.FMA)
    def run(y, m0, P0, F, H, Q, R):
        means, log_likelihood, m, P = np.empty((len(y), STATES)), 0.0, m0, P0
        F_T, H_T = np.ascontiguousarray(F.T), np.ascontiguousarray(H.T)
        for t in range(len(y)):
            m, P = F @ m, F @ P @ F_T + Q
            v, S = y[t] - H @ m, H @ P @ H_T + R
            det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
            inverse = np.array([[S[1, 1], -S[0, 1]], [-S[1, 0], S[0, 0]]]) / det
            K = P @ H_T @ inverse
            m, P = m + K @ v, P - K @ S @ np.ascontiguousarray(K.T)
            means[t] = m
            log_likelihood -= 0.5 * (v @ inverse @ v + np.log(det) + OBSERVED * LOG_2PI)
        return means, log_likelihood

    return lambda: run(**inputs)


def njit_straight_line(inputs: Inputs) -> Callable[[], Any]:
    """The same formulas written out entry by entry."""
    namespace: dict[str, Any] = {"np": np}
    exec(straight_line_source(), namespace)
    run = peers.numba().njit(fastmath=peers.FMA)(namespace["run"])
    return lambda: run(**inputs)


def straight_line_source() -> str:
    """Python text of `run(y, m0, P0, F, H, Q, R)`; the model's entries are locals, loaded once."""
    setup, w = Writer(), Writer()
    F, H, Q, R = (
        setup.assign(entries(name, rows, columns), name.lower())
        for name, rows, columns in (("F", 4, 4), ("H", 2, 4), ("Q", 4, 4), ("R", 2, 2))
    )
    m: Matrix = setup.assign([[f"m0[{i}]"] for i in range(STATES)], "m")
    P = setup.assign(entries("P0", STATES, STATES), "p")
    mean = w.product(F, m)
    predicted = w.sum(w.product(w.product(F, P), transpose(F)), Q)
    v = w.sum([[f"y[t, {i}]"] for i in range(OBSERVED)], w.product(H, mean), "-")
    cross = w.product(predicted, transpose(H))
    S = w.sum(w.product(H, cross), R)
    inverse, det = w.inverse_2x2(S)
    K = w.product(cross, inverse)
    ((mahalanobis,),) = w.product(w.product(transpose(v), inverse), v)
    correction = w.product(w.product(K, S), transpose(K))
    w.assign(w.sum(mean, w.product(K, v)), "m")
    w.assign(w.sum(predicted, correction, "-"), "p")
    w.lines += [f"means[t, {i}] = {m[i][0]}" for i in range(STATES)]
    w.lines.append(f"log_likelihood -= 0.5 * ({mahalanobis} + np.log({det}) + {OBSERVED * LOG_2PI!r})")
    head = [
        "def run(y, m0, P0, F, H, Q, R):",
        f"    means, log_likelihood = np.empty((len(y), {STATES})), 0.0",
    ]
    loop = ["    for t in range(len(y)):", *(f"        {line}" for line in w.lines)]
    return "\n".join(
        [*head, *(f"    {line}" for line in setup.lines), *loop, "    return means, log_likelihood"]
    )


def scancc(inputs: Inputs, inverse_2x2: bool) -> Callable[[], Any]:
    sc = peers.scancc()
    step = filter_step(np, inverse_2x2)
    y, m0, P0, *model = inputs.values()

    @sc.jit
    def run(y, m0, P0, F, H, Q, R):
        means, _, densities = sc.scan(
            step, sequences=y, outputs_info=[m0, P0, None], non_sequences=[F, H, Q, R]
        )
        return means, np.sum(densities)

    return lambda: run(y, m0, P0, *model)


def workloads(quick: bool) -> list[Workload]:
    name, steps = ("1e3", 1000) if quick else ("1e4", 10000)
    implementations = {
        "NumPy loop": numpy_loop,
        "njit, BLAS": njit_blas,
        "njit, straight line": njit_straight_line,
        "jax.lax.scan, linalg.inv": lambda inputs: jax_scan(inputs, inverse_2x2=False),
        "jax.lax.scan, 2x2 by hand": lambda inputs: jax_scan(inputs, inverse_2x2=True),
        "scancc": lambda inputs: scancc(inputs, inverse_2x2=True),
        "scancc, linalg.inv": lambda inputs: scancc(inputs, inverse_2x2=False),
    }
    return [Workload(f"kalman/{name}", steps, lambda: make_inputs(steps), implementations)]
