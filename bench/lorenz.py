"""The Lorenz equations by the classical Runge-Kutta method, all states kept, float64; and a gradient through the
solver.

    x' = sigma (y - x)        y' = x (rho - z) - y        z' = x y - beta z        step 0.01

The state is a vector of three, as most people write it; "components" has three states that are numbers. rho = 8, where
the path spirals into a fixed point, since in the chaotic range roundings would grow. The gradient of the path's sum of
squares is by the start and the three parameters; the hand-written one goes back stage by stage.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import peers
from numba import njit

import scancc as sc
from scancc.measure import Inputs, Workload

H = 0.01
NAMES = ("u0", "sigma", "rho", "beta", "steps")


def make_inputs(steps: int) -> dict[str, Any]:
    """u0 = (x, y, z) at the start, and the parameters."""
    return {"u0": np.ones(3), "sigma": 10.0, "rho": 8.0, "beta": 8 / 3, "steps": steps}


def vector_step(u, sigma, rho, beta, xp=np):
    def rate(u):
        return xp.stack([sigma * (u[1] - u[0]), u[0] * (rho - u[2]) - u[1], u[0] * u[1] - beta * u[2]])

    k1 = rate(u)
    k2 = rate(u + H / 2 * k1)
    k3 = rate(u + H / 2 * k2)
    k4 = rate(u + H * k3)
    return u + H / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def components_step(x, y, z, sigma, rho, beta):
    def rate(x, y, z):
        return sigma * (y - x), x * (rho - z) - y, x * y - beta * z

    def ahead(h, k):
        return x + h * k[0], y + h * k[1], z + h * k[2]

    k1 = rate(x, y, z)
    k2 = rate(*ahead(H / 2, k1))
    k3 = rate(*ahead(H / 2, k2))
    k4 = rate(*ahead(H, k3))
    return ahead(H / 6, [a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True)])


@sc.jit
def lorenz(u0, sigma, rho, beta, steps):
    return sc.scan(vector_step, outputs_info=u0, non_sequences=[sigma, rho, beta], n_steps=steps)


@sc.jit
def lorenz_components(u0, sigma, rho, beta, steps):
    path = sc.scan(components_step, outputs_info=[u0[0], u0[1], u0[2]], non_sequences=[sigma, rho, beta],
                   n_steps=steps)  # fmt: skip
    return np.stack(path, axis=1)


lorenz_gradient = sc.jit(sc.grad(lambda *arguments: (lorenz(*arguments) ** 2).sum(), (0, 1, 2, 3)))
lorenz_components_gradient = sc.jit(sc.grad(lambda *a: (lorenz_components(*a) ** 2).sum(), (0, 1, 2, 3)))


def scancc_example_inputs() -> dict[str, tuple]:
    arguments = tuple(make_inputs(10**4)[n] for n in NAMES)
    return {"lorenz": arguments, "lorenz_components": arguments, "lorenz_gradient": arguments,
            "lorenz_components_gradient": arguments}  # fmt: skip


@njit(fastmath=peers.FMA)
def rate(x, y, z, sigma, rho, beta):
    return sigma * (y - x), x * (rho - z) - y, x * y - beta * z


@njit(fastmath=peers.FMA)
def rate_adjoint(x, y, z, sigma, rho, beta, a, b, c):
    """What (a, b, c) on the rates is on x, y, z, sigma, rho, beta."""
    return (b * (rho - z) + c * y) - sigma * a, (sigma * a + c * x) - b, -b * x - beta * c, a * (y - x), b * x, -c * z


def loop(u0, sigma, rho, beta, steps):
    path = np.empty((steps, 3))
    x, y, z = u0
    for t in range(steps):
        p1, q1, r1 = rate(x, y, z, sigma, rho, beta)
        p2, q2, r2 = rate(x + H / 2 * p1, y + H / 2 * q1, z + H / 2 * r1, sigma, rho, beta)
        p3, q3, r3 = rate(x + H / 2 * p2, y + H / 2 * q2, z + H / 2 * r2, sigma, rho, beta)
        p4, q4, r4 = rate(x + H * p3, y + H * q3, z + H * r3, sigma, rho, beta)
        x += H / 6 * (p1 + 2 * p2 + 2 * p3 + p4)
        y += H / 6 * (q1 + 2 * q2 + 2 * q3 + q4)
        z += H / 6 * (r1 + 2 * r2 + 2 * r3 + r4)
        path[t, 0], path[t, 1], path[t, 2] = x, y, z
    return path


def adjoint(u0, s, r, b, steps):
    path = np.empty((steps + 1, 3))
    path[0] = u0
    x, y, z = u0
    for t in range(steps):
        p1, q1, r1 = rate(x, y, z, s, r, b)
        p2, q2, r2 = rate(x + H / 2 * p1, y + H / 2 * q1, z + H / 2 * r1, s, r, b)
        p3, q3, r3 = rate(x + H / 2 * p2, y + H / 2 * q2, z + H / 2 * r2, s, r, b)
        p4, q4, r4 = rate(x + H * p3, y + H * q3, z + H * r3, s, r, b)
        x += H / 6 * (p1 + 2 * p2 + 2 * p3 + p4)
        y += H / 6 * (q1 + 2 * q2 + 2 * q3 + q4)
        z += H / 6 * (r1 + 2 * r2 + 2 * r3 + r4)
        path[t + 1, 0], path[t + 1, 1], path[t + 1, 2] = x, y, z
    dx = dy = dz = ds = dr = db = 0.0
    for t in range(steps - 1, -1, -1):
        x, y, z = path[t, 0], path[t, 1], path[t, 2]
        x1, y1, z1 = rate(x, y, z, s, r, b)
        x2, y2, z2 = x + H / 2 * x1, y + H / 2 * y1, z + H / 2 * z1
        p2, q2, r2 = rate(x2, y2, z2, s, r, b)
        x3, y3, z3 = x + H / 2 * p2, y + H / 2 * q2, z + H / 2 * r2
        p3, q3, r3 = rate(x3, y3, z3, s, r, b)
        x4, y4, z4 = x + H * p3, y + H * q3, z + H * r3
        dx, dy, dz = dx + 2 * path[t + 1, 0], dy + 2 * path[t + 1, 1], dz + 2 * path[t + 1, 2]
        e, f, g = H / 6 * dx, H / 6 * dy, H / 6 * dz  # on the fourth rate, and on the first
        p4, q4, r4, s4, t4, b4 = rate_adjoint(x4, y4, z4, s, r, b, e, f, g)
        p3, q3, r3, s3, t3, b3 = rate_adjoint(x3, y3, z3, s, r, b, 2 * e + H * p4, 2 * f + H * q4, 2 * g + H * r4)
        p2, q2, r2, s2, t2, b2 = rate_adjoint(
            x2, y2, z2, s, r, b, 2 * e + H / 2 * p3, 2 * f + H / 2 * q3, 2 * g + H / 2 * r3)  # fmt: skip
        p1, q1, r1, s1, t1, b1 = rate_adjoint(x, y, z, s, r, b, e + H / 2 * p2, f + H / 2 * q2, g + H / 2 * r2)
        dx, dy, dz = dx + p1 + p2 + p3 + p4, dy + q1 + q2 + q3 + q4, dz + r1 + r2 + r3 + r4
        ds, dr, db = ds + s1 + s2 + s3 + s4, dr + t1 + t2 + t3 + t4, db + b1 + b2 + b3 + b4
    return np.array([dx, dy, dz]), ds, dr, db


C = """
typedef struct { double x, y, z; } V;
void run(const double *restrict u0, double sigma, double rho, double beta, long n, double *restrict path) {
    const double h = 0.01;
    double x = u0[0], y = u0[1], z = u0[2];
    #define RATE(X, Y, Z) (V){sigma * ((Y) - (X)), (X) * (rho - (Z)) - (Y), (X) * (Y) - beta * (Z)}
    for (long t = 0; t < n; t++) {
        V u = {x, y, z}, a = RATE(u.x, u.y, u.z);
        u = (V){x + h / 2 * a.x, y + h / 2 * a.y, z + h / 2 * a.z};
        V b = RATE(u.x, u.y, u.z);
        u = (V){x + h / 2 * b.x, y + h / 2 * b.y, z + h / 2 * b.z};
        V c = RATE(u.x, u.y, u.z);
        u = (V){x + h * c.x, y + h * c.y, z + h * c.z};
        V d = RATE(u.x, u.y, u.z);
        path[3 * t] = x += h / 6 * (a.x + 2 * b.x + 2 * c.x + d.x);
        path[3 * t + 1] = y += h / 6 * (a.y + 2 * b.y + 2 * c.y + d.y);
        path[3 * t + 2] = z += h / 6 * (a.z + 2 * b.z + 2 * c.z + d.z);
    }
}
"""


def by_jax(jax, u0, sigma, rho, beta, steps, unroll=1):
    def step(u, _):
        u = vector_step(u, sigma, rho, beta, jax.numpy)
        return u, u

    return jax.lax.scan(step, u0, length=steps, unroll=unroll)[1]


def jax_components(jax, u0, sigma, rho, beta, steps, unroll=1):
    def step(u, _):
        u = components_step(*u, sigma, rho, beta)
        return u, u

    path = jax.lax.scan(step, (u0[0], u0[1], u0[2]), length=steps, unroll=unroll)[1]
    return jax.numpy.stack(path, axis=1)


def jax_gradient(jax, *arguments, function, **options):
    return jax.grad(lambda *arguments: (function(jax, *arguments, **options) ** 2).sum(), (0, 1, 2, 3))(*arguments)


def of_known_length(inputs: Inputs, function: Any, **options: Any) -> Any:
    """XLA's scan without inputs has a number of steps that it knows: it compiles anew for another one."""
    return peers.by_jax(partial(function, steps=inputs["steps"], **options), *NAMES[:-1])(inputs)


def by_pytensor(pytensor, u0, sigma, rho, beta, steps):
    from pytensor import tensor

    path = pytensor.scan(components_step, outputs_info=[u0[0], u0[1], u0[2]], non_sequences=[sigma, rho, beta],
                         n_steps=steps, return_updates=False)  # fmt: skip
    return tensor.stack(path, axis=1)


def pytensor_loss(pytensor, *symbols):
    return (by_pytensor(pytensor, *symbols) ** 2).sum()


def workloads(quick: bool) -> list[Workload]:
    forward = {
        "scancc": peers.by_scancc(lorenz, *NAMES),
        "scancc, components": peers.by_scancc(lorenz_components, *NAMES),
        "numba": peers.by_numba(loop, *NAMES),
        "c": peers.by_c(C, lambda inputs: [np.empty((inputs["steps"], 3))], *NAMES),
        "jax": partial(of_known_length, function=by_jax),
        "jax, components": partial(of_known_length, function=jax_components),
        "jax, components, unroll=4": partial(of_known_length, function=jax_components, unroll=4),
        "pytensor": peers.by_pytensor(by_pytensor, *NAMES),
    }
    gradient = {
        "scancc": peers.by_scancc(lorenz_gradient, *NAMES),
        "scancc, components": peers.by_scancc(lorenz_components_gradient, *NAMES),
        "numba": peers.by_numba(adjoint, *NAMES),
        "jax": partial(of_known_length, function=partial(jax_gradient, function=by_jax)),
        "jax, components": partial(of_known_length, function=partial(jax_gradient, function=jax_components)),
        "pytensor": peers.by_pytensor(peers.pytensor_gradient(pytensor_loss, (0, 1, 2, 3)), *NAMES),
    }
    size, steps = ("1e3", 10**3) if quick else ("2e4", 2 * 10**4)
    inputs = partial(make_inputs, steps)
    return [
        Workload(f"lorenz/{size}", steps, inputs, peers.raced(forward, quick), group="scalar",
                 oracle=peers.interpreted(lorenz, *NAMES)),
        Workload(f"lorenz-gradient/{size}", steps, inputs, peers.raced(gradient, quick), group="scalar", gradient=True,
                 oracle=peers.interpreted(lorenz_gradient, *NAMES)),
    ]  # fmt: skip
