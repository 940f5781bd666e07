"""Kalman filters: full covariance recursion and log-likelihood, float64; and the gradient of the latter by the model.

    m, P = F m, F P F' + Q                      predict
    v, S = y[t] - H m, H P H' + R               innovation and its covariance
    m, P = m + K v, P - K S K',  K = P H' S^-1  update
    log L += -1/2 (v' S^-1 v + log det S + dimension of y * log 2 pi)

Sizes are states x observations. 2x1 is a local linear trend, 4x2 a point in the plane with its velocity, of which the
position is observed; no implementation may use the zeros of F and H. Kept are the filtered means of all steps and the
log-likelihood. scancc inverts S by `np.linalg`; the closed form, which suits the others better, is given to them. The
gradient is by F, H, Q and R; those by the covariances are symmetric, as these are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import kalman_gradient
import numpy as np
import peers
import straight_line

import scancc as sc
from scancc.measure import Inputs, Workload

NAMES = ("y", "m0", "P0", "F", "H", "Q", "R")
STEPS = 10_000
LOG_2PI = math.log(2.0 * math.pi)


def make_inputs(states: int, observed: int, steps: int) -> dict[str, Any]:
    """y (steps, observed), m0 (states,), P0, F, Q (states, states), H (observed, states), R (observed, observed)."""
    rng = np.random.default_rng(42)
    axes = np.eye(observed)  # each of them has a place and a velocity
    F = np.kron(np.array([[1.0, 0.1], [0.0, 0.98]]), axes)
    H = np.kron(np.array([[1.0, 0.0]]), axes)
    Q = 0.01 * np.kron(np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]]), axes) + 1e-4 * np.eye(states)
    R = np.array([[0.5, 0.1], [0.1, 0.4]])[:observed, :observed]
    y, state = np.empty((steps, observed)), np.zeros(states)
    drift, noise = np.linalg.cholesky(Q), np.linalg.cholesky(R)
    for t in range(steps):
        state = F @ state + drift @ rng.normal(size=states)
        y[t] = H @ state + noise @ rng.normal(size=observed)
    return {"y": y, "m0": np.zeros(states), "P0": np.eye(states), "F": F, "H": H, "Q": Q, "R": R, "steps": steps}


def kalman_step(y_t, m, P, F, H, Q, R):
    m, P = F @ m, F @ P @ F.T + Q
    v, S = y_t - H @ m, H @ P @ H.T + R
    S_inv = np.linalg.inv(S)
    K = P @ H.T @ S_inv
    density = -0.5 * (v @ S_inv @ v + np.linalg.slogdet(S)[1] + len(v) * LOG_2PI)
    return m + K @ v, P - K @ S @ K.T, density


def kalman(y, m0, P0, F, H, Q, R):
    means, _, densities = sc.scan(kalman_step, y, [m0, P0, None], [F, H, Q, R])
    return means, densities.sum()


def log_likelihood(y, m0, P0, F, H, Q, R):
    return kalman(y, m0, P0, F, H, *of_symmetric(Q, R))[1]


def of_symmetric(Q, R):
    """The covariances as functions of symmetric matrices, so that their derivatives are symmetric."""
    return 0.5 * (Q + Q.T), 0.5 * (R + R.T)


# One for each size, so that `scancc check` and `scancc explain` look at both.
kalman_2x1 = sc.jit(kalman)
kalman_4x2 = sc.jit(kalman)
kalman_2x1_gradient = sc.jit(sc.grad(log_likelihood, (3, 4, 5, 6)))
kalman_4x2_gradient = sc.jit(sc.grad(log_likelihood, (3, 4, 5, 6)))
COMPILED = {"2x1": (kalman_2x1, kalman_2x1_gradient), "4x2": (kalman_4x2, kalman_4x2_gradient)}


def scancc_example_inputs() -> dict[str, tuple]:
    small, large = (tuple(make_inputs(n, k, 1000)[name] for name in NAMES) for n, k in ((2, 1), (4, 2)))
    return {"kalman_2x1": small, "kalman_2x1_gradient": small, "kalman_4x2": large, "kalman_4x2_gradient": large}


# -- Numba, C, statsmodels -------------------------------------------------------------------------------------------


def blas_2x1(y, m0, P0, F, H, Q, R):
    """The NumPy loop under njit as it stands: every small product is a BLAS call and an allocation."""
    means, log_l, m, P = np.empty((len(y), len(m0))), 0.0, m0, P0
    F_T, H_T = np.ascontiguousarray(F.T), np.ascontiguousarray(H.T)
    for t in range(len(y)):
        m, P = F @ m, F @ P @ F_T + Q
        v, S = y[t] - H @ m, H @ P @ H_T + R
        inverse = 1.0 / S
        K = P @ H_T @ inverse
        m, P = m + K @ v, P - K @ S @ np.ascontiguousarray(K.T)
        means[t] = m
        log_l -= 0.5 * (v @ inverse @ v + np.log(S[0, 0]) + LOG_2PI)
    return means, log_l


def blas_4x2(y, m0, P0, F, H, Q, R):
    means, log_l, m, P = np.empty((len(y), len(m0))), 0.0, m0, P0
    F_T, H_T = np.ascontiguousarray(F.T), np.ascontiguousarray(H.T)
    for t in range(len(y)):
        m, P = F @ m, F @ P @ F_T + Q
        v, S = y[t] - H @ m, H @ P @ H_T + R
        det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
        inverse = np.array([[S[1, 1], -S[0, 1]], [-S[1, 0], S[0, 0]]]) / det
        K = P @ H_T @ inverse
        m, P = m + K @ v, P - K @ S @ np.ascontiguousarray(K.T)
        means[t] = m
        log_l -= 0.5 * (v @ inverse @ v + np.log(det) + 2 * LOG_2PI)
    return means, log_l


def written_out(states: int, observed: int) -> tuple[list[str], list[str]]:
    """(what comes before the loop, a step) as assignments of scalars; the model's entries are locals, loaded once.

    Of symmetric matrices one triangle is computed, and K S K' is K times what S^-1 made K of.
    """
    setup, w = straight_line.Writer(), straight_line.Writer()
    entries, transpose = straight_line.entries, straight_line.transpose
    F, Q = (setup.assign(entries(name, states, states), name.lower()) for name in "FQ")
    H = setup.assign(entries("H", observed, states), "h")
    R = setup.assign(entries("R", observed, observed), "r")
    m = setup.assign([[f"m0[{i}]"] for i in range(states)], "m")
    P = setup.assign(entries("P0", states, states), "p", symmetric=True)
    mean = w.product(F, m)
    predicted = w.sum(w.product(w.product(F, P), transpose(F), symmetric=True), Q, symmetric=True)
    v = w.sum([[f"y[t, {i}]"] for i in range(observed)], w.product(H, mean), "-")
    cross = w.product(predicted, transpose(H))
    S = w.sum(w.product(H, cross, symmetric=True), R, symmetric=True)
    inverse, det = w.inverse(S, symmetric=True)
    K = w.product(cross, inverse)
    ((mahalanobis,),) = w.product(w.product(transpose(v), inverse), v)
    correction = w.product(K, transpose(cross), symmetric=True)
    w.assign(w.sum(mean, w.product(K, v)), "m")
    w.assign(w.sum(predicted, correction, "-", symmetric=True), "p", symmetric=True)
    w.lines += [f"means[t, {i}] = {m[i][0]}" for i in range(states)]
    w.lines.append(f"log_l = log_l - 0.5 * ({mahalanobis} + log({det}) + {observed * LOG_2PI!r})")
    return setup.lines, w.lines


def by_numba_written_out(states: int, observed: int, inputs: Inputs) -> Callable[[], Any]:
    setup, step = written_out(states, observed)
    source = "\n".join([
        f"def run({', '.join(NAMES)}):",
        f"    means, log_l = np.empty((len(y), {states})), 0.0",
        *(f"    {line}" for line in setup),
        "    for t in range(len(y)):",
        *(f"        {line}" for line in step),
        "    return means, log_l",
    ])  # fmt: skip
    namespace: dict[str, Any] = {"np": np, "log": math.log}
    exec(source, namespace)
    return peers.by_numba(namespace["run"], *NAMES)(inputs)


def by_c(states: int, observed: int, inputs: Inputs) -> Callable[[], Any]:
    """The same assignments in C."""
    setup, step = written_out(states, observed)
    widths = {"y": observed, "means": states} | {n: inputs[n].shape[-1] for n in NAMES[2:]}
    before, inside = straight_line.in_c([setup, step], widths, assigned={"log_l"})
    arrays = ", ".join(f"const double *restrict {n}" for n in NAMES)
    source = "\n".join([
        "#include <math.h>",
        f"void run({arrays}, long n, double *restrict means, double *restrict out) {{",
        "    double log_l = 0;",
        *before,
        "    for (long t = 0; t < n; t++) {",
        *inside,
        "    }",
        "    out[0] = log_l;",
        "}",
    ])  # fmt: skip
    run = peers.by_c(source, lambda inputs: [np.empty((inputs["steps"], states)), np.empty(1)], *NAMES, "steps")(inputs)

    def call() -> Any:
        means, log_l = run()
        return means, log_l[0]

    return call


def by_statsmodels(inputs: Inputs) -> Callable[[], Any]:
    """Its compiled filter, which keeps the means only.

    It starts from a prediction. With a tolerance of zero it never takes the covariance for constant: no other does.
    """
    from statsmodels.tsa.statespace import kalman_filter

    y, m0, P0, F, H, Q, R = (inputs[n] for n in NAMES)
    model = kalman_filter.KalmanFilter(len(H), len(F), tolerance=0)
    model.bind(y)
    parts = {"transition": F, "design": H, "state_cov": Q, "obs_cov": R, "selection": np.eye(len(F))}
    for part, value in parts.items():
        model[part] = value
    model.initialize_known(F @ m0, F @ P0 @ F.T + Q)
    kept = kalman_filter.MEMORY_NO_FILTERED_MEAN | kalman_filter.MEMORY_NO_LIKELIHOOD
    model.conserve_memory = kalman_filter.MEMORY_CONSERVE & ~kept

    def run() -> Any:
        found = model.filter()
        return found.filtered_state.T, found.llf

    return run


# -- JAX and PyTensor ------------------------------------------------------------------------------------------------


def inverted(stack: Callable[..., Any], log: Callable[..., Any], S: Any, observed: int) -> tuple[Any, Any]:
    """(inverse, logarithm of the determinant) of S by its entries."""
    if observed == 1:
        return 1.0 / S, log(S[0, 0])
    det = S[0, 0] * S[1, 1] - S[0, 1] * S[1, 0]
    return stack([stack([S[1, 1], -S[0, 1]]), stack([-S[1, 0], S[0, 0]])]) / det, log(det)


def step_in(module: Any, observed: int) -> Callable[..., Any]:
    """The step for jax.numpy or pytensor.tensor, S inverted by its entries."""

    def step(y_t, m, P, F, H, Q, R):
        m, P = F @ m, F @ P @ F.T + Q
        v, S = y_t - H @ m, H @ P @ H.T + R
        S_inv, log_det = inverted(module.stack, module.log, S, observed)
        K = P @ H.T @ S_inv
        return m + K @ v, P - K @ S @ K.T, -0.5 * (v @ S_inv @ v + log_det + observed * LOG_2PI)

    return step


def by_jax(jax, y, m0, P0, *model, unroll=1, closed=True):
    numpy = jax.numpy

    def with_linalg(y_t, m, P, F, H, Q, R):
        m, P = F @ m, F @ P @ F.T + Q
        v, S = y_t - H @ m, H @ P @ H.T + R
        S_inv = numpy.linalg.inv(S)
        K = P @ H.T @ S_inv
        density = -0.5 * (v @ S_inv @ v + numpy.linalg.slogdet(S)[1] + len(v) * LOG_2PI)
        return m + K @ v, P - K @ S @ K.T, density

    update = step_in(numpy, y.shape[1]) if closed else with_linalg

    def step(carry, y_t):
        m, P, density = update(y_t, *carry, *model)
        return (m, P), (m, density)

    means, densities = jax.lax.scan(step, (m0, P0), y, unroll=unroll)[1]
    return means, densities.sum()


def gradient_by_jax(jax, *inputs, **options):
    def loss(*inputs):
        return by_jax(jax, *inputs[:-2], *of_symmetric(*inputs[-2:]), **options)[1]

    return jax.grad(loss, (3, 4, 5, 6))(*inputs)


def by_pytensor(pytensor, y, m0, P0, *model, observed):
    means, _, densities = pytensor.scan(step_in(pytensor.tensor, observed), y, [m0, P0, None], list(model),
                                        return_updates=False)  # fmt: skip
    return means, densities.sum()


def gradient_by_pytensor(pytensor, *inputs, observed):
    loss = by_pytensor(pytensor, *inputs[:-2], *of_symmetric(*inputs[-2:]), observed=observed)[1]
    return pytensor.grad(loss, list(inputs[3:]))


# -- workloads -------------------------------------------------------------------------------------------------------


def workloads(quick: bool) -> list[Workload]:
    steps = 1000 if quick else STEPS
    return [w for states, observed in ((2, 1), (4, 2)) for w in sized(states, observed, steps, quick)]


def sized(states: int, observed: int, steps: int, quick: bool) -> list[Workload]:
    size = f"{states}x{observed}"
    filtering, gradient_of = COMPILED[size]
    forward = {
        "scancc": peers.by_scancc(filtering, *NAMES),
        "numba, straight line": partial(by_numba_written_out, states, observed),
        "numba, BLAS": peers.by_numba(blas_4x2 if observed == 2 else blas_2x1, *NAMES),
        "c": partial(by_c, states, observed),
        "jax": peers.by_jax(by_jax, *NAMES),
        "jax, linalg": peers.by_jax(partial(by_jax, closed=False), *NAMES),
        "jax, unroll=4": peers.by_jax(partial(by_jax, unroll=4), *NAMES),
        "statsmodels": by_statsmodels,
        "pytensor": peers.by_pytensor(partial(by_pytensor, observed=observed), *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(gradient_of, *NAMES),
        "numba, straight line": partial(kalman_gradient.by_numba, states, observed),
        "c, straight line": partial(kalman_gradient.by_c_straight, states, observed),
        "c, rows": partial(kalman_gradient.by_c_rows, states, observed),
        "jax": peers.by_jax(gradient_by_jax, *NAMES),
        "jax, unroll=4": peers.by_jax(partial(gradient_by_jax, unroll=4), *NAMES),
        "pytensor": peers.by_pytensor(partial(gradient_by_pytensor, observed=observed), *NAMES),
    }
    if quick:
        del forward["pytensor"], gradient["pytensor"]
    inputs = partial(make_inputs, states, observed, steps)
    return [
        Workload(f"kalman/{size}", steps, inputs, forward, group="matrix", oracle=peers.interpreted(filtering, *NAMES)),
        Workload(f"kalman-gradient/{size}", steps, inputs, gradient, group="matrix", gradient=True,
                 oracle=peers.interpreted(gradient_of, *NAMES)),
    ]  # fmt: skip
