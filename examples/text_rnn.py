"""A character RNN reads English: the forward pass and the cross-entropy of every next character.

    h[t]     = tanh(x[t] @ U + h[t-1] @ W + b),    x[t] the embedding of character t
    loss[t]  = -log softmax(h[t] @ V + c)[character t+1]

The weights are random with a fixed seed, so the loss is near the log of the alphabet's size: the example
shows a recurrence on vectors, a look-up inside the step and a projection that need not be in the loop.
Peers: a plain NumPy loop and, where it is installed, JAX.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from report import DATA, Agreement, Contenders, missing_peers, optional, show

import scancc as sc

EMBEDDING, HIDDEN = 32, 64  # widths
Weights = tuple[np.ndarray, ...]  # U (32, 64), W (64, 64), b (64,), V (64, n), c (n,)


def rnn_step(x_t, next_character, h, U, W, b, V, c):
    """(hidden state, cross-entropy of the next character in nats)."""
    h = np.tanh(x_t @ U + h @ W + b)
    scores = h @ V + c
    highest = np.max(scores)  # subtracted so that no exponential overflows
    return h, np.log(np.sum(np.exp(scores - highest))) + highest - scores[next_character]


rnn = sc.scan_compile(rnn_step)


@sc.jit
def bits_per_character(characters, embedding, U, W, b, V, c):
    """The mean cross-entropy: no hidden state is kept."""
    _, loss = sc.scan(
        rnn_step,
        sequences=[embedding[characters[:-1]], characters[1:]],
        outputs_info=[np.zeros(HIDDEN), None],
        non_sequences=[U, W, b, V, c],
    )
    return np.mean(loss) / math.log(2.0)


def load_text() -> tuple[np.ndarray, str]:
    """(the text as indices into its alphabet, the alphabet)."""
    text = (DATA / "speeches.txt").read_text(encoding="utf-8")
    alphabet = "".join(sorted(set(text)))
    return np.array([alphabet.index(character) for character in text]), alphabet


def random_weights(alphabet: int) -> tuple[np.ndarray, Weights]:
    """(embedding table, weights), normal with the usual 1/sqrt(fan-in) scale; biases are small, not zero."""
    rng = np.random.default_rng(2026)

    def matrix(rows: int, columns: int) -> np.ndarray:
        return rng.normal(size=(rows, columns)) / math.sqrt(rows)

    weights = (
        matrix(EMBEDDING, HIDDEN),
        matrix(HIDDEN, HIDDEN),
        0.1 * rng.normal(size=HIDDEN),
        matrix(HIDDEN, alphabet),
        0.1 * rng.normal(size=alphabet),
    )
    return rng.normal(size=(alphabet, EMBEDDING)), weights


def numpy_rnn(
    characters: np.ndarray, embedding: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray]:
    """(hidden states, losses) by a loop over NumPy rows, projections of the input left in the loop."""
    U, W, b, V, c = weights
    states, losses = np.empty((len(characters) - 1, HIDDEN)), np.empty(len(characters) - 1)
    h = np.zeros(HIDDEN)
    for t in range(len(characters) - 1):
        h = np.tanh(embedding[characters[t]] @ U + h @ W + b)
        scores = h @ V + c
        highest = scores.max()
        states[t] = h
        losses[t] = math.log(np.exp(scores - highest).sum()) + highest - scores[characters[t + 1]]
    return states, losses


def jax_rnn(jax: Any, characters: np.ndarray, embedding: np.ndarray, weights: Weights) -> Any:
    """A closure that returns (hidden states, losses); both projections are one product outside the scan."""
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    @jax.jit
    def forward(characters, embedding, U, W, b, V, c):
        def step(h, projected):
            h = jnp.tanh(projected + h @ W)
            return h, h

        states = jax.lax.scan(step, jnp.zeros(HIDDEN), (embedding @ U + b)[characters[:-1]])[1]
        scores = jax.nn.log_softmax(states @ V + c)
        return states, -jnp.take_along_axis(scores, characters[1:, None], axis=1)[:, 0]

    return lambda: jax.block_until_ready(forward(characters, embedding, *weights))


def run_scancc(characters: np.ndarray, embedding: np.ndarray, weights: Weights) -> Any:
    return rnn(
        sequences=[embedding[characters[:-1]], characters[1:]],
        outputs_info=[np.zeros(HIDDEN), None],
        non_sequences=list(weights),
    )


def compare() -> tuple[list[Agreement], list[str]]:
    """Every quantity of the example beside its peers', and the peers that are missing."""
    characters, alphabet = load_text()
    embedding, weights = random_weights(len(alphabet))
    states, losses = run_scancc(characters, embedding, weights)
    bits = bits_per_character(characters, embedding, *weights)
    answers = {"NumPy loop": numpy_rnn(characters, embedding, weights)}
    if jax := optional("jax"):
        answers["JAX"] = jax_rnn(jax, characters, embedding, weights)()
    rows: list[Agreement] = []
    for peer, (their_states, their_losses) in answers.items():
        theirs = float(np.mean(their_losses)) / math.log(2.0)
        rows += [
            Agreement("hidden states", states, peer, their_states),
            Agreement("cross-entropy, nats", losses, peer, their_losses),
            Agreement("bits per character", bits, peer, theirs),
        ]
    return rows, missing_peers("jax")


def contenders() -> Contenders:
    """The forward pass over the text as it is."""
    characters, alphabet = load_text()
    embedding, weights = random_weights(len(alphabet))
    found: Contenders = {
        "Python loop": lambda: numpy_rnn(characters, embedding, weights),
        "scancc": lambda: run_scancc(characters, embedding, weights),
    }
    if numba := optional("numba"):
        found["njit"] = njit_rnn(numba, characters, embedding, weights)
    if jax := optional("jax"):
        found["JAX"] = jax_rnn(jax, characters, embedding, weights)
    return found


def njit_rnn(numba: Any, characters: np.ndarray, embedding: np.ndarray, weights: Weights) -> Any:
    """A closure that returns (hidden states, losses), with BLAS for the products."""

    @numba.njit
    def forward(characters, embedding, U, W, b, V, c):
        steps = len(characters) - 1
        projected, states, losses = embedding @ U + b, np.empty((steps, len(b))), np.empty(steps)
        h = np.zeros(len(b))
        for t in range(steps):
            h = np.tanh(projected[characters[t]] + h @ W)
            states[t] = h
        scores = states @ V + c
        for t in range(steps):
            highest = scores[t].max()
            losses[t] = math.log(np.exp(scores[t] - highest).sum()) + highest - scores[t, characters[t + 1]]
        return states, losses

    return lambda: forward(characters, embedding, *weights)


def scancc_example_inputs() -> dict[str, dict[str, Any]]:
    """Arguments that each decorated step of this file can be compiled and run with."""
    characters, alphabet = load_text()
    embedding, weights = random_weights(len(alphabet))
    sequences = [embedding[characters[:-1]], characters[1:]]
    return {
        "rnn": dict(sequences=sequences, outputs_info=[np.zeros(HIDDEN), None], non_sequences=list(weights))
    }


def __getattr__(name: str) -> Any:
    if name == "SCANCC_EXAMPLE_INPUTS":  # built when asked for, so that importing the example reads no file
        return scancc_example_inputs()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    agreements, notes = compare()
    return 1 if show("Speeches: a character RNN", agreements, notes) else 0


if __name__ == "__main__":
    sys.exit(main())
