"""`theano.tensor.nnet`: the usual functions of neural networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.frontend import special


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return special.expit(x)


ultra_fast_sigmoid = sigmoid  # an approximation in Theano; here exact, and as fast


def hard_sigmoid(x: Any) -> Any:
    """clip(0.2 x + 0.5, 0, 1)."""
    return np.clip(x * 0.2 + 0.5, 0, 1)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return np.logaddexp(x, 0)


def softmax(x: Any) -> Any:
    """exp(x) / sum(exp(x)) along the last axis."""
    return special.softmax(x, axis=-1)


def logsoftmax(x: Any) -> Any:
    """log(softmax(x)) along the last axis."""
    return x - special.logsumexp(x, axis=-1, keepdims=True)


def relu(x: Any, alpha: Any = 0) -> Any:
    """x where positive, alpha * x elsewhere."""
    return np.maximum(x, 0) if isinstance(alpha, (int, float)) and alpha == 0 else np.where(x > 0, x, alpha * x)


def elu(x: Any, alpha: Any = 1) -> Any:
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def binary_crossentropy(output: Any, target: Any) -> Any:
    """-(target log(output) + (1 - target) log(1 - output))."""
    return -(target * np.log(output) + (1 - target) * np.log1p(-output))


def categorical_crossentropy(coding: Any, true: Any) -> Any:
    """Minus the logarithm of the probability of the true class: `true` holds classes, or a distribution a row."""
    if np.ndim(true) == np.ndim(coding):
        return -np.sum(true * np.log(coding), axis=-1)
    from scancc.theano.tensor.shapes import arange

    return -np.log(coding[arange(true.shape[0]), true])


def norm(x: Any, order: Any, axis: Any) -> Any:
    """The L-norm of the elements."""
    if order == 2:
        return np.sqrt(np.sum(np.square(x), axis=axis))
    if order == np.inf:
        return np.max(np.absolute(x), axis=axis)
    return np.sum(np.absolute(x) ** order, axis=axis) ** (1.0 / order)
