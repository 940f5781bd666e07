"""Gradients of the sums of squares of discounted returns R and of advantages A, by hand and in JAX, PyTensor and torch.

With nd[t] = 1 - done[t], and the derivative by each step's row b[t] = 2 R[t] + gamma nd[t-1] b[t-1] of returns and
b[t] = 2 A[t] + gamma lambda nd[t-1] b[t-1] of advantages:

    returns       d r[t] = b[t],  d last = gamma nd[T-1] b[T-1],  d gamma = sum nd[t] R[t+1] b[t]
    advantages    d v[t] = gamma nd[t-1] b[t-1] - b[t],  d gamma = sum nd[t] (v[t+1] + lambda A[t+1]) b[t],
                  d lambda = sum gamma nd[t] A[t+1] b[t]

By hand one tile of environments is swept after the other, back for returns and forth for derivatives, and the returns
wait in the second cache for what takes their place. Sums over time are kept by environment.
"""

from __future__ import annotations

import numpy as np
import peers

TILE = 512  # environments; of Numba, for which a tile of a row is a slice that costs some nanoseconds


def returns_back(reward, done, gamma, state, row):
    for i in range(len(row)):
        state[i] = reward[i] + (np.float32(1) - np.float32(done[i])) * gamma * state[i]
    row[:] = state


def returns_forth(done, following, gamma, b, sums, row):
    for i in range(len(row)):
        slope = row[i] + row[i] + b[i]
        going_on = (np.float32(1) - np.float32(done[i])) * slope
        sums[i] += going_on * following[i]
        b[i] = gamma * going_on
        row[i] = slope


def returns_sweeps(back, forth):
    def run(rewards, dones, last_value, gamma):
        steps, width = rewards.shape
        out, state = np.empty_like(rewards), last_value.copy()
        by_last, sums = np.zeros_like(last_value), np.zeros_like(last_value)
        for first in range(0, width, TILE):
            tile = slice(first, min(first + TILE, width))
            tile_state, b, tile_sums = state[tile], by_last[tile], sums[tile]
            for t in range(steps - 1, -1, -1):
                back(rewards[t, tile], dones[t, tile], gamma, tile_state, out[t, tile])
            for t in range(steps):
                following = last_value[tile] if t == steps - 1 else out[t + 1, tile]
                forth(dones[t, tile], following, gamma, b, tile_sums, out[t, tile])
        return out, by_last, sums.sum()

    return run


def gae_back(reward, done, value, next_value, gamma, lam, state, row):
    for i in range(len(row)):
        going_on = (np.float32(1) - np.float32(done[i])) * gamma
        state[i] = (reward[i] - value[i]) + going_on * (next_value[i] + lam * state[i])
    row[:] = state


def gae_forth(done, next_value, following, gamma, lam, by_next, sums, others, row):
    for i in range(len(row)):
        slope = row[i] + row[i] + lam * by_next[i]
        going_on = (np.float32(1) - np.float32(done[i])) * slope
        sums[i] += going_on * next_value[i]
        others[i] += going_on * following[i]
        row[i] = by_next[i] - slope
        by_next[i] = gamma * going_on


def gae_sweeps(back, forth):
    def run(rewards, dones, values, gamma, lam):
        steps, width = rewards.shape
        out, state = np.empty_like(values), np.zeros_like(values[0])  # advantages, then derivatives by values
        sums, others = np.zeros_like(state), np.zeros_like(state)
        out[steps] = np.float32(0)
        for first in range(0, width, TILE):
            tile = slice(first, min(first + TILE, width))
            here, tile_sums, tile_others = state[tile], sums[tile], others[tile]
            for t in range(steps - 1, -1, -1):
                back(rewards[t, tile], dones[t, tile], values[t, tile], values[t + 1, tile], gamma, lam, here,
                     out[t, tile])  # fmt: skip
            here[:] = np.float32(0)
            for t in range(steps):
                forth(dones[t, tile], values[t + 1, tile], out[t + 1, tile], gamma, lam, here, tile_sums, tile_others,
                      out[t, tile])  # fmt: skip
            out[steps, tile] = here
        by_lam = others.sum()
        return out, sums.sum() + lam * by_lam, gamma * by_lam

    return run


def by_numba(make, names, *rows):
    """Loops of functions for a row, which are compiled by themselves: so LLVM knows enough to vectorise them."""

    def factory(inputs):
        njit = peers.numba().njit(fastmath=peers.FMA)
        run = njit(make(*map(njit, rows)))
        arguments = [inputs[n] for n in names]
        return lambda: run(*arguments)

    return factory


C_RETURNS = """
enum { TILE = 128 };  /* rows of a tile, by functions whose arguments do not overlap, so that they are vectorised */
typedef unsigned char bit;

static void back(long n, const float *restrict reward, const bit *restrict done, float gamma, float *restrict state,
                  float *restrict row) {
    for (long i = 0; i < n; i++) row[i] = state[i] = reward[i] + (1 - done[i]) * gamma * state[i];
}

static void forth(long n, const bit *restrict done, const float *restrict following, float gamma,
                  float *restrict b, float *restrict sums, float *restrict row) {
    for (long i = 0; i < n; i++) {
        float slope = 2 * row[i] + b[i], going_on = (1 - done[i]) * slope;
        sums[i] += going_on * following[i];
        b[i] = gamma * going_on;
        row[i] = slope;
    }
}

void run(const float *restrict rewards, const _Bool *restrict dones, const float *restrict last, float gamma,
         long steps, long width, float *restrict out, float *restrict by_last, float *restrict by_gamma) {
    const bit *done = (const bit *)dones;
    double total = 0;
    for (long first = 0; first < width; first += TILE) {
        long count = width - first < TILE ? width - first : TILE, end = (steps - 1) * width + first;
        float b[TILE] = {0}, sums[TILE] = {0}, state[TILE];
        for (long i = 0; i < count; i++) state[i] = last[first + i];
        for (long at = end; at >= 0; at -= width) back(count, rewards + at, done + at, gamma, state, out + at);
        for (long at = first; at < end; at += width)
            forth(count, done + at, out + at + width, gamma, b, sums, out + at);
        forth(count, done + end, last + first, gamma, b, sums, out + end);
        for (long i = 0; i < count; i++) { by_last[first + i] = b[i]; total += sums[i]; }
    }
    *by_gamma = total;
}
"""

C_GAE = """
enum { TILE = 128 };
typedef unsigned char bit;

static void back(long n, const float *restrict reward, const bit *restrict done, const float *restrict value,
                 const float *restrict next_value, float gamma, float lam, float *restrict state, float *restrict row) {
    for (long i = 0; i < n; i++)
        row[i] = state[i] = (reward[i] - value[i]) + (1 - done[i]) * gamma * (next_value[i] + lam * state[i]);
}

static void forth(long n, const bit *restrict done, const float *restrict next_value, const float *restrict following,
                  float gamma, float lam, float *restrict by_next, float *restrict sums, float *restrict others,
                  float *restrict row) {
    for (long i = 0; i < n; i++) {
        float slope = 2 * row[i] + lam * by_next[i], going_on = (1 - done[i]) * slope;
        sums[i] += going_on * next_value[i];
        others[i] += going_on * following[i];
        row[i] = by_next[i] - slope;
        by_next[i] = gamma * going_on;
    }
}

void run(const float *restrict rewards, const _Bool *restrict dones, const float *restrict values,
         float gamma, float lam, long steps, long width,
         float *restrict out, float *restrict by_gamma, float *restrict by_lam) {
    const bit *done = (const bit *)dones;
    double of_values = 0, of_advantages = 0;
    for (long first = 0; first < width; first += TILE) {
        long count = width - first < TILE ? width - first : TILE, end = steps * width + first;
        float by_next[TILE] = {0}, sums[TILE] = {0}, others[TILE] = {0}, state[TILE] = {0};
        for (long i = 0; i < count; i++) out[end + i] = 0;
        for (long at = end - width; at >= 0; at -= width)
            back(count, rewards + at, done + at, values + at, values + at + width, gamma, lam, state, out + at);
        for (long at = first; at < end; at += width)
            forth(count, done + at, values + at + width, out + at + width, gamma, lam, by_next, sums, others, out + at);
        for (long i = 0; i < count; i++) {
            out[end + i] = by_next[i];
            of_values += sums[i];
            of_advantages += others[i];
        }
    }
    *by_gamma = of_values + lam * of_advantages;
    *by_lam = gamma * of_advantages;
}
"""


def returns_by_torch(torch, rewards, dones, last_value, gamma):
    with torch.enable_grad():
        wrt = [rewards.detach().requires_grad_(), last_value.detach().requires_grad_(),
               torch.tensor(gamma, requires_grad=True)]  # fmt: skip
        (following, gamma), rows = wrt[1:], []
        going_on = gamma * ~dones
        for reward, decay in zip(reversed(wrt[0].unbind()), reversed(going_on.unbind()), strict=True):
            following = torch.addcmul(reward, decay, following)
            rows.append(following)
        return torch.autograd.grad((torch.stack(rows) ** 2).sum(), wrt)


def gae_by_torch(torch, rewards, dones, values, gamma, lam):
    with torch.enable_grad():
        wrt = [values.detach().requires_grad_(), torch.tensor(gamma, requires_grad=True),
               torch.tensor(lam, requires_grad=True)]  # fmt: skip
        values, gamma, lam = wrt
        going_on = gamma * ~dones
        errors, decays = torch.addcmul(rewards - values[:-1], going_on, values[1:]), lam * going_on
        advantage, rows = torch.zeros_like(rewards[0]), []
        for error, decay in zip(reversed(errors.unbind()), reversed(decays.unbind()), strict=True):
            advantage = torch.addcmul(error, decay, advantage)
            rows.append(advantage)
        return torch.autograd.grad((torch.stack(rows) ** 2).sum(), wrt)
