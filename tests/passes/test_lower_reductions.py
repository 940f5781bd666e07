"""Reductions whose results are broadcast again are computed once, not by every element that reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest

import scancc as sc


def depth(source: str) -> int:
    """Loops around the innermost statement."""
    open_loops: list[int] = []
    deepest = 0
    for line in source.splitlines():
        indentation = len(line) - len(line.lstrip())
        open_loops = [i for i in open_loops if i < indentation]
        if re.match(r"\s*for ", line):
            open_loops.append(indentation)
        deepest = max(deepest, len(open_loops))
    return deepest


def centred_twice(x):
    middle = x.mean(axis=1)[:, None]  # one reshape with two readers
    return np.exp(x - middle) * (x / middle)


@pytest.mark.parametrize("fn", [
    centred_twice,
    lambda x: sc.softmax(x, axis=1),
    sc.grad(lambda x: (sc.softmax(x, axis=1) ** 2).sum()),
], ids=["centred twice", "softmax", "gradient of softmax"])  # fmt: skip
def test_rows_are_reduced_once(fn):
    x = np.random.default_rng(0).normal(size=(24, 20)) + 5.0
    compiled = sc.jit(fn)
    assert depth(compiled.lower(x).source()) == 2
    np.testing.assert_allclose(compiled(x), compiled(x, mode="interpret"), rtol=1e-12, atol=1e-15)
