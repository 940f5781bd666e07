"""Discounted returns and generalised advantage estimates (GAE) of 4,096 environments over 1,024 steps, float32,
backwards.

    R[t] = r[t] + gamma (1 - done[t]) R[t+1]                            from R[T], the value of the last state
    A[t] = (r[t] + gamma (1 - done[t]) v[t+1] - v[t]) + gamma lambda (1 - done[t]) A[t+1]     from A[T] = 0

Rows are steps, as rollouts are stored; an episode ends where `done` is set. Memory bounds both: of four arrays read or
written once. Times are per environment and step. Gradients are those of the sums of squares: of returns by rewards, the
last value and gamma, of advantages by values, gamma and lambda (Z. Xu, H. van Hasselt and D. Silver, "Meta-gradient
reinforcement learning", 2018, learns these two so).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import peers
import returns_gradient as by_hand

import scancc as sc
from scancc.measure import Workload

GAMMA, LAMBDA = np.float32(0.99), np.float32(0.95)
OF_RETURNS = ("rewards", "dones", "last_value", "gamma")
OF_GAE = ("rewards", "dones", "values", "gamma", "lam")
SHAPE = ("steps", "environments")
BY_RETURNS, BY_GAE = (0, 2, 3), (2, 3, 4)  # what the derivatives are by


def make_inputs(steps: int, environments: int) -> dict[str, Any]:
    """rewards (steps, environments) and dones, values (steps + 1, environments), last_value (environments,)."""
    r = np.random.default_rng(1024)
    values = r.normal(size=(steps + 1, environments)).astype(np.float32)
    return {"rewards": r.normal(size=(steps, environments)).astype(np.float32),
            "dones": r.uniform(size=(steps, environments)) < 0.01, "values": values, "last_value": values[-1].copy(),
            "gamma": GAMMA, "lam": LAMBDA, "steps": steps, "environments": environments}  # fmt: skip


@sc.jit
def discounted_returns(rewards, dones, last_value, gamma):
    def step(reward, done, following, gamma):
        return reward + gamma * np.where(done, np.float32(0), following)

    return sc.scan(step, [rewards, dones], last_value, gamma, go_backwards=True)[::-1]


@sc.jit
def gae(rewards, dones, values, gamma, lam):
    def step(reward, done, value, next_value, advantage, gamma, lam):
        going_on = np.where(done, np.float32(0), gamma)
        return (reward + going_on * next_value - value) + lam * going_on * advantage

    return sc.scan(step, [rewards, dones, values[:-1], values[1:]], np.zeros_like(values[0]), [gamma, lam],
                   go_backwards=True)[::-1]  # fmt: skip


returns_gradient = sc.jit(sc.grad(lambda *given: (discounted_returns(*given) ** 2).sum(), BY_RETURNS))
gae_gradient = sc.jit(sc.grad(lambda *given: (gae(*given) ** 2).sum(), BY_GAE))


def scancc_example_inputs() -> dict[str, tuple]:
    inputs = make_inputs(1024, 4096)
    of_returns, of_gae = (tuple(inputs[n] for n in names) for names in (OF_RETURNS, OF_GAE))
    return {"discounted_returns": of_returns, "gae": of_gae, "returns_gradient": of_returns, "gae_gradient": of_gae}


def returns_row(reward, done, gamma, following, row):
    for i in range(len(row)):
        row[i] = reward[i] + (np.float32(1) - np.float32(done[i])) * gamma * following[i]


def returns_loop(row_of):
    def run(rewards, dones, last_value, gamma):
        out, following = np.empty_like(rewards), last_value
        for t in range(len(rewards) - 1, -1, -1):
            row_of(rewards[t], dones[t], gamma, following, out[t])
            following = out[t]
        return out

    return run


def gae_row(reward, done, value, next_value, gamma, lam, following, row):
    for i in range(len(row)):
        going_on = (np.float32(1) - np.float32(done[i])) * gamma
        row[i] = (reward[i] - value[i]) + going_on * (next_value[i] + lam * following[i])


def gae_loop(row_of):
    def run(rewards, dones, values, gamma, lam):
        out, following = np.empty_like(rewards), np.zeros_like(values[0])
        for t in range(len(rewards) - 1, -1, -1):
            row_of(rewards[t], dones[t], values[t], values[t + 1], gamma, lam, following, out[t])
            following = out[t]
        return out

    return run


C_RETURNS = """
typedef unsigned char bit;

/* A row by a function whose arguments do not overlap, so that it is vectorised. */
static void back(long n, const float *restrict reward, const bit *restrict done, float gamma,
                 const float *restrict following, float *restrict row) {
    for (long i = 0; i < n; i++) row[i] = reward[i] + (1 - done[i]) * gamma * following[i];
}

void run(const float *restrict rewards, const _Bool *restrict dones, const float *restrict last, float gamma,
         long steps, long width, float *restrict out) {
    const float *following = last;
    for (long at = (steps - 1) * width; at >= 0; at -= width) {
        back(width, rewards + at, (const bit *)dones + at, gamma, following, out + at);
        following = out + at;
    }
}
"""

C_GAE = """
#include <stdlib.h>
typedef unsigned char bit;

static void back(long n, const float *restrict reward, const bit *restrict done, const float *restrict value,
                 const float *restrict next_value, float gamma, float lam, const float *restrict following,
                 float *restrict row) {
    for (long i = 0; i < n; i++)
        row[i] = (reward[i] - value[i]) + (1 - done[i]) * gamma * (next_value[i] + lam * following[i]);
}

void run(const float *restrict rewards, const _Bool *restrict dones, const float *restrict values,
         float gamma, float lam, long steps, long width, float *restrict out) {
    float *zero = calloc(width, sizeof *zero);
    const float *following = zero;
    for (long at = (steps - 1) * width; at >= 0; at -= width) {
        back(width, rewards + at, (const bit *)dones + at, values + at, values + at + width, gamma, lam, following,
             out + at);
        following = out + at;
    }
    free(zero);
}
"""


def returns_by_jax(jax, rewards, dones, last_value, gamma):
    def step(following, given):
        reward, done = given
        following = reward + gamma * jax.numpy.where(done, 0, following)
        return following, following

    return jax.lax.scan(step, last_value, (rewards, dones), reverse=True)[1]


def gae_by_jax(jax, rewards, dones, values, gamma, lam):
    """What does not wait for the next step, for all of them before the loop."""
    going_on = jax.numpy.where(dones, jax.numpy.float32(0), gamma)
    errors = rewards + going_on * values[1:] - values[:-1]

    def step(advantage, given):
        error, decay = given
        advantage = error + decay * advantage
        return advantage, advantage

    return jax.lax.scan(step, jax.numpy.zeros_like(values[0]), (errors, lam * going_on), reverse=True)[1]


def gae_by_jax_inside(jax, rewards, dones, values, gamma, lam):
    def step(advantage, given):
        reward, done, value, next_value = given
        going_on = jax.numpy.where(done, jax.numpy.float32(0), gamma)
        advantage = (reward - value) + going_on * next_value + lam * going_on * advantage
        return advantage, advantage

    start, given = jax.numpy.zeros_like(values[0]), (rewards, dones, values[:-1], values[1:])
    return jax.lax.scan(step, start, given, reverse=True)[1]


def returns_by_torch(torch, rewards, dones, last_value, gamma):
    out, following, going_on = torch.empty_like(rewards), last_value, gamma * ~dones
    for t in range(len(rewards) - 1, -1, -1):
        following = torch.addcmul(rewards[t], going_on[t], following, out=out[t])
    return out


def gae_by_torch(torch, rewards, dones, values, gamma, lam):
    going_on = gamma * ~dones
    out = torch.addcmul(rewards - values[:-1], going_on, values[1:])
    decay = lam * going_on
    for t in range(len(rewards) - 2, -1, -1):
        out[t].addcmul_(decay[t], out[t + 1])
    return out


def returns_by_numpy(rewards, dones, last_value, gamma):
    out, following, going_on = np.empty_like(rewards), last_value, gamma * ~dones
    for t in range(len(rewards) - 1, -1, -1):
        np.multiply(going_on[t], following, out=out[t])
        out[t] += rewards[t]
        following = out[t]
    return out


def gae_by_numpy(rewards, dones, values, gamma, lam):
    going_on = gamma * ~dones
    out = rewards + going_on * values[1:] - values[:-1]
    decay = lam * going_on
    for t in range(len(rewards) - 2, -1, -1):
        out[t] += decay[t] * out[t + 1]
    return out


def returns_by_pytensor(pytensor, rewards, dones, last_value, gamma):
    from pytensor import tensor

    def step(reward, done, following, gamma):
        return reward + gamma * tensor.switch(done, np.float32(0), following)

    return pytensor.scan(step, sequences=[rewards, dones], outputs_info=last_value, non_sequences=gamma,
                         go_backwards=True, return_updates=False)[::-1]  # fmt: skip


def gae_by_pytensor(pytensor, rewards, dones, values, gamma, lam):
    from pytensor import tensor

    def step(reward, done, value, next_value, advantage, gamma, lam):
        going_on = tensor.switch(done, np.float32(0), gamma)
        return (reward + going_on * next_value - value) + lam * going_on * advantage

    return pytensor.scan(step, sequences=[rewards, dones, values[:-1], values[1:]],
                         outputs_info=tensor.zeros_like(values[0]), non_sequences=[gamma, lam], go_backwards=True,
                         return_updates=False)[::-1]  # fmt: skip


def workloads(quick: bool) -> list[Workload]:
    def of_shape(*names: str) -> Any:
        return lambda inputs: [np.empty_like(inputs[n]) for n in names]

    of_returns = {
        "scancc": peers.by_scancc(discounted_returns, *OF_RETURNS),
        "numba": by_hand.by_numba(returns_loop, OF_RETURNS, returns_row),
        "c": peers.by_c(C_RETURNS, of_shape("rewards"), *OF_RETURNS, *SHAPE),
        "jax": peers.by_jax(returns_by_jax, *OF_RETURNS),
        "pytensor": peers.by_pytensor(returns_by_pytensor, *OF_RETURNS),
        "torch": peers.by_torch(returns_by_torch, *OF_RETURNS),
        "numpy": peers.by_call(returns_by_numpy, *OF_RETURNS),
    }
    of_gae = {
        "scancc": peers.by_scancc(gae, *OF_GAE),
        "numba": by_hand.by_numba(gae_loop, OF_GAE, gae_row),
        "c": peers.by_c(C_GAE, of_shape("rewards"), *OF_GAE, *SHAPE),
        "jax": peers.by_jax(gae_by_jax, *OF_GAE),
        "jax, all in the loop": peers.by_jax(gae_by_jax_inside, *OF_GAE),
        "pytensor": peers.by_pytensor(gae_by_pytensor, *OF_GAE),
        "torch": peers.by_torch(gae_by_torch, *OF_GAE),
        "numpy": peers.by_call(gae_by_numpy, *OF_GAE),
    }

    def squares(function: Any) -> Any:
        return lambda module, *given: (function(module, *given) ** 2).sum()

    def jax_gradient(function: Any, wrt: tuple[int, ...], names: tuple[str, ...]) -> Any:
        return peers.by_jax(peers.jax_gradient(squares(function), wrt), *names)

    def pytensor_gradient(function: Any, wrt: tuple[int, ...], names: tuple[str, ...]) -> Any:
        return peers.by_pytensor(peers.pytensor_gradient(squares(function), wrt), *names)

    of_returns_gradient = {
        "scancc": peers.by_scancc(returns_gradient, *OF_RETURNS),
        "numba": by_hand.by_numba(by_hand.returns_sweeps, OF_RETURNS, by_hand.returns_back, by_hand.returns_forth),
        "c": peers.by_c(by_hand.C_RETURNS, of_shape("rewards", "last_value", "gamma"), *OF_RETURNS, *SHAPE),
        "jax": jax_gradient(returns_by_jax, BY_RETURNS, OF_RETURNS),
        "pytensor": pytensor_gradient(returns_by_pytensor, BY_RETURNS, OF_RETURNS),
        "torch": peers.by_torch(by_hand.returns_by_torch, *OF_RETURNS),
    }
    of_gae_gradient = {
        "scancc": peers.by_scancc(gae_gradient, *OF_GAE),
        "numba": by_hand.by_numba(by_hand.gae_sweeps, OF_GAE, by_hand.gae_back, by_hand.gae_forth),
        "c": peers.by_c(by_hand.C_GAE, of_shape("values", "gamma", "lam"), *OF_GAE, *SHAPE),
        "jax": jax_gradient(gae_by_jax, BY_GAE, OF_GAE),
        "jax, all in the loop": jax_gradient(gae_by_jax_inside, BY_GAE, OF_GAE),
        "pytensor": pytensor_gradient(gae_by_pytensor, BY_GAE, OF_GAE),
        "torch": peers.by_torch(by_hand.gae_by_torch, *OF_GAE),
    }
    steps, environments = (64, 256) if quick else (1024, 4096)
    inputs, size = partial(make_inputs, steps, environments), f"{environments}x{steps}"
    tolerance, of_sums = 1e-5, 1e-4  # float32, whose roundings die out as gamma^t, but not in sums of all
    return [
        Workload(f"returns/{size}", steps * environments, inputs, peers.raced(of_returns, quick), tolerance,
                 group="batch", oracle=peers.interpreted(discounted_returns, *OF_RETURNS)),
        Workload(f"returns-gae/{size}", steps * environments, inputs, peers.raced(of_gae, quick), tolerance,
                 group="batch", oracle=peers.interpreted(gae, *OF_GAE)),
        Workload(f"returns-gradient/{size}", steps * environments, inputs, peers.raced(of_returns_gradient, quick),
                 of_sums, group="batch", gradient=True, oracle=peers.interpreted(returns_gradient, *OF_RETURNS)),
        Workload(f"returns-gae-gradient/{size}", steps * environments, inputs, peers.raced(of_gae_gradient, quick),
                 of_sums, group="batch", gradient=True, oracle=peers.interpreted(gae_gradient, *OF_GAE)),
    ]  # fmt: skip
