"""Arrays on a device are used where they are, and results stay there. The simulator's device has the host's memory."""

from __future__ import annotations

import os

import numpy as np
import pytest

import scancc as sc
from scancc.backends.cuda import arrays
from scancc.backends.cuda.arrays import DeviceArray, dlpack_interface
from scancc.backends.cuda.toolkit import TRAFFIC
from scancc.errors import DeviceError

R = np.random.default_rng(0)
X = R.normal(size=(6, 5))
smooth = sc.jit(lambda x: sc.scan(lambda x, y: 0.9 * y + 0.1 * x, x, np.zeros(5)), target="cuda")
WANT = smooth(X, mode="interpret")

# Memory and functions of the host stand for those of a device; a real one would fail from the first such address on.
simulated = pytest.mark.skipif(os.environ.get("SCANCC_TEST_DEVICE") == "1", reason="only on the simulator")


class Foreign:
    """An array of another library, by the interface of Numba and CuPy."""

    def __init__(self, a):
        self._owner = a
        self.__cuda_array_interface__ = {**a.__array_interface__, "version": 3}


class Capsule:
    """An array that only speaks DLPack, and says that it lies on a CUDA device."""

    def __init__(self, a):
        self._a = a

    def __dlpack_device__(self):
        return (arrays.CUDA_DEVICE, 0)

    def __dlpack__(self, **_):
        return self._a.__dlpack__()


def test_there_and_back():
    there = sc.device_put({"a": X, "b": [2, np.float32(3)]})
    assert isinstance(there["a"], DeviceArray)
    back = sc.device_get(there)
    assert np.array_equal(back["a"], X)
    assert back["b"][1].dtype == np.float32
    assert np.array_equal(np.asarray(there["a"]), X)
    assert sc.device_put(there["a"]) is there["a"]
    with pytest.raises(TypeError, match="cannot be moved to a device"):
        sc.device_put("text")


def test_no_transfer_of_what_is_there():
    there = sc.device_put(X)
    smooth(there)
    TRAFFIC.clear()
    y = smooth(there)
    assert TRAFFIC["to host"] == 0
    assert TRAFFIC["launch"] == 1
    assert TRAFFIC["to device"] <= 1  # what the function captured
    assert isinstance(y, DeviceArray)
    assert np.allclose(sc.device_get(y), WANT)


@simulated
@pytest.mark.parametrize("wrap", [Foreign, Capsule])
def test_of_other_libraries(wrap):
    y = smooth(wrap(X))
    assert isinstance(y, DeviceArray)  # on a real device an array of the library itself
    assert np.allclose(y.copy_to_host(), WANT)
    interface = y.__cuda_array_interface__
    assert interface["shape"] == WANT.shape
    assert interface["typestr"] == "<f8"


@simulated
def test_a_library_sees_its_memory():
    x = X.copy()
    foreign = Foreign(x)
    smooth(foreign)
    x *= 2.0
    assert np.allclose(sc.device_get(smooth(foreign)), smooth(x, mode="interpret"))


@simulated
@pytest.mark.parametrize("view", [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a.T.copy().T, lambda a: a[1:]])
def test_views_of_other_libraries(view):
    x = view(X)
    assert np.allclose(sc.device_get(smooth(Foreign(x))), smooth(np.ascontiguousarray(x), mode="interpret"))


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "c16", "?"])
def test_dlpack(dtype):
    a = np.ones((3, 4), dtype).T
    found = dlpack_interface(a.__dlpack__())
    assert (found["shape"], found["typestr"], found["data"][0]) == (a.shape, a.dtype.str, a.ctypes.data)
    assert found["strides"] == a.strides


def test_results_are_arguments():
    """Results of batches are views of what the kernel wrote, in another order of the axes."""
    f = sc.jit(sc.vmap(lambda x: sc.scan(lambda x, y: 0.5 * y + x, x, 0.0)), target="cuda")
    want = f(f(X, mode="interpret"), mode="interpret")
    assert np.allclose(sc.device_get(f(f(sc.device_put(X)))), want)


def test_step_functions():
    @sc.scan_compile(target="cuda")
    def step(x, y, a):
        return a * y + x

    y = step(sc.device_put(X), np.zeros(5), sc.device_put(np.full(5, 0.5)))
    assert isinstance(y, DeviceArray)
    assert np.allclose(sc.device_get(y), step(X, np.zeros(5), np.full(5, 0.5), mode="interpret"))


def test_shared_variables_stay():
    total = sc.shared(np.zeros(5))
    f = sc.jit(lambda x: sc.scan(lambda x: {total: total + x}, x), target="cuda")
    f(X)
    TRAFFIC.clear()
    f(X)
    assert TRAFFIC["to host"] == 0
    assert TRAFFIC["to device"] == 1  # the sequence
    assert np.allclose(total.get_value(), 2 * X.sum(0))
    total.set_value(np.ones(5))
    f(X)
    assert np.allclose(total.get_value(), 1 + X.sum(0))
    sc.scan(lambda x: {total: total + x}, X, target="cpu")
    assert np.allclose(total.get_value(), 1 + 2 * X.sum(0))


def test_on_the_cpu_they_are_copied():
    f = sc.jit(lambda x: sc.scan(lambda x, y: y + x, x, np.zeros(5)), target="cpu")
    assert np.allclose(f(sc.device_put(X)), X.cumsum(0))
    with pytest.raises(ValueError, match="a stream is for programs that run on a device"):
        f(X, stream=1)


def test_streams():
    from numba import cuda

    stream = cuda.stream()
    assert np.allclose(smooth(X, stream=stream), WANT)


def test_text_is_refused():
    with pytest.raises(TypeError):
        smooth("text")


@simulated
def test_room(monkeypatch):
    """What does not fit is an error that names the program, the strategy and the bytes."""
    from scancc.backends.cuda import toolkit

    known = toolkit.cuda().device_array

    def full(shape, dtype, **_):
        if np.prod(shape) > 20:
            raise MemoryError("out of memory")
        return known(shape, dtype)

    monkeypatch.setattr(toolkit.cuda(), "device_array", full)
    with pytest.raises(RuntimeError, match=r"strategy lane.* no room for 240 bytes"):
        smooth(X)


@pytest.mark.parametrize("module", ["numba.cuda.cudadrv.driver", "cuda.core._utils.cuda_utils", "scancc.errors"])
def test_a_launch_that_fails(module):
    """It is an error that names the program, the strategy and the lanes, whichever library says so."""

    class CUDAError(Exception):
        pass

    CUDAError.__module__ = module
    kind = DeviceError if module == "scancc.errors" else CUDAError

    def launch(*args, **options):
        raise kind("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES")

    f = sc.jit(sc.vmap(lambda x: sc.scan(lambda x, y: y + x, x, 0.0), in_axes=1), target="cuda")
    f.lower(X).compiled._kernel = launch
    with pytest.raises(RuntimeError, match=r"strategy lane with 5 lanes: the launch failed: CUDA_ERROR_LAUNCH"):
        f(X)
