"""A character RNN learns English: trained by gradient descent (Adam) through all of its steps.

The network is that of `text_rnn.py`. Each of 60 updates runs the whole text forward and back in one compiled loop each;
weight gradients are single matrix products after the loop. The loss falls from the logarithm of the alphabet's size to
below half of it. Peer: JAX's gradient at the start, where JAX is installed.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from report import Agreement, missing_peers, optional, show
from text_rnn import load_text

import scancc as sc

HIDDEN, UPDATES, RATE = 64, 60, 0.01


def initial(alphabet: int) -> dict[str, np.ndarray]:
    r = np.random.default_rng(0)
    return {
        "embedding": r.normal(size=(alphabet, HIDDEN)) * 0.1,
        "W": r.normal(size=(HIDDEN, HIDDEN)) / np.sqrt(HIDDEN),
        "b": np.zeros(HIDDEN),
        "V": r.normal(size=(HIDDEN, alphabet)) * 0.1,
        "c": np.zeros(alphabet),
    }


def loss(weights, characters):
    """Mean cross-entropy of the next character, in nats."""
    x = sc.take(weights["embedding"], characters[:-1], axis=0)
    h = sc.scan(lambda x, h, W, b: np.tanh(x + h @ W + b), x, np.zeros(HIDDEN), [weights["W"], weights["b"]])
    scores = h @ weights["V"] + weights["c"]
    top = np.max(scores, axis=1)
    logs = np.log(np.sum(np.exp(scores - top[:, None]), axis=1)) + top
    targets = np.equal(characters[1:, None], np.arange(scores.shape[1]))
    return (logs - np.where(targets, scores, 0.0).sum(axis=1)).mean()


def train(characters: np.ndarray, weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[float]]:
    """Adam (D. Kingma and J. Ba, 2015): (weights, the loss before each update)."""
    step = sc.value_and_grad(loss)
    m = {k: np.zeros_like(v) for k, v in weights.items()}
    v = {k: np.zeros_like(w) for k, w in weights.items()}
    losses = []
    for t in range(1, UPDATES + 1):
        value, g = step(weights, characters)
        losses.append(float(value))
        for k in weights:
            m[k] = 0.9 * m[k] + 0.1 * g[k]
            v[k] = 0.999 * v[k] + 0.001 * g[k] ** 2
            rate = RATE / (np.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
            weights = {**weights, k: weights[k] - rate * m[k] / (1 - 0.9**t)}
    return weights, losses


def jax_gradient(jax: Any, weights: dict[str, np.ndarray], characters: np.ndarray) -> dict[str, np.ndarray]:
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def jax_loss(w):
        def step(h, x):
            h = jnp.tanh(x + h @ w["W"] + w["b"])
            return h, h

        _, h = jax.lax.scan(step, jnp.zeros(HIDDEN), w["embedding"][characters[:-1]])
        logs = jax.nn.log_softmax(h @ w["V"] + w["c"])
        return -logs[jnp.arange(len(characters) - 1), characters[1:]].mean()

    return jax.grad(jax_loss)(weights)


def compare() -> tuple[list[Agreement], list[str]]:
    characters, alphabet = load_text()
    weights = initial(len(alphabet))
    rows: list[Agreement] = []
    if jax := optional("jax"):
        ours, theirs = sc.grad(loss)(weights, characters), jax_gradient(jax, weights, characters)
        rows += [Agreement(f"gradient of {k}", ours[k], "JAX", np.asarray(theirs[k]), tolerance=1e-9) for k in weights]
    _, losses = train(characters, weights)
    rows.append(Agreement("the loss is less than half", float(losses[-1] < losses[0] / 2), "yes", 1.0))
    return rows, [f"loss {losses[0]:.3f} nats a character before, {losses[-1]:.3f} after {UPDATES} updates",
                  *missing_peers("jax")]  # fmt: skip


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Speeches: RNN trained", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
