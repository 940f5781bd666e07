"""Arrays of CuPy, PyTorch, JAX and numba on a real device: used where they are, and results are theirs again."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.backends.cuda.toolkit import TRAFFIC, simulated

pytestmark = pytest.mark.skipif(simulated(), reason="other libraries have no arrays on the simulator")
R = np.random.default_rng(0)
X, W = R.normal(size=(50, 40)).astype("f4"), (R.normal(size=(40, 40)) / 9).astype("f4")


def cupy():
    library = pytest.importorskip("cupy")
    return library.asarray, library.asnumpy, library.ndarray


def torch():
    library = pytest.importorskip("torch")
    if not library.cuda.is_available():
        pytest.skip("torch sees no device")
    return lambda a: library.as_tensor(a).cuda(), lambda a: a.cpu().numpy(), library.Tensor


def jax():
    library = pytest.importorskip("jax")
    return library.device_put, np.asarray, library.Array


def numba():
    from numba import cuda

    return cuda.to_device, lambda a: a.copy_to_host(), cuda.devicearray.DeviceNDArray


@pytest.mark.parametrize("library", [cupy, torch, jax, numba])
def test_in_place_and_back(library):
    put, get, kind = library()
    f = sc.jit(lambda x, w: sc.scan(lambda x, h, w: np.tanh(x + h @ w), x, np.zeros(40, "f4"), [w]), target="cuda")
    x, w = put(X), put(W)
    f(x, w)
    TRAFFIC.clear()
    y = f(x, w)
    assert isinstance(y, kind)
    assert not TRAFFIC["to host"]
    np.testing.assert_allclose(get(y), f(X, W, mode="interpret"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("library", [cupy, torch])
def test_views(library):
    put, get, _ = library()
    f = sc.jit(lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, np.zeros(20, "f4")), target="cuda")
    for look in (lambda a: a[::2, :20], lambda a: a.T[:30, 5:25], lambda a: a[10:, 1::2]):
        np.testing.assert_allclose(get(f(look(put(X)))), f(np.ascontiguousarray(look(X)), mode="interpret"), rtol=1e-5)


def test_a_stream_of_torch():
    put, get, _ = torch()
    import torch as library

    f = sc.jit(lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, np.zeros(40, "f4")), target="cuda")
    stream = library.cuda.Stream()
    with library.cuda.stream(stream):
        x = put(X)
    y = f(x, stream=stream)
    stream.synchronize()
    np.testing.assert_allclose(get(y), f(X, mode="interpret"), rtol=1e-5)
