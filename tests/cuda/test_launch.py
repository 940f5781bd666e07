"""Arguments as the driver finds them: the convention of numba's kernels, without numba."""

import ctypes
from types import SimpleNamespace

import numpy as np

from scancc.backends.cuda.launch import Launch
from scancc.ir.loop import INT64, Buffer, Kernel, Var, const_int

N = Var("n", INT64)
DTYPES = ("bool", "int8", "uint16", "float16", "int32", "float32", "int64", "float64", "complex64", "complex128")


def array(shape, dtype, address):
    a = np.empty(shape, dtype)
    return SimpleNamespace(gpu_data=SimpleNamespace(device_pointer=address), size=a.size, dtype=a.dtype, shape=a.shape,
                           strides=a.strides)  # fmt: skip


def packed(params, args):
    """What the driver would read: the bytes at each parameter's address, as many as it has."""
    launch = Launch(lambda: None, Kernel("f", params, [], []), False)
    memory = launch._pack([*args, array((1,), "int64", 7)])
    sizes = [np.dtype(c).itemsize for p in params for c in fields(p)] + [8] * 7
    addresses = (ctypes.c_uint64 * len(sizes)).from_buffer(memory)
    inside = range(ctypes.addressof(memory), ctypes.addressof(memory) + len(memory))
    assert all(a in inside and a + size - 1 in inside for a, size in zip(addresses, sizes, strict=True))
    return [ctypes.string_at(a, size) for a, size in zip(addresses, sizes, strict=True)], list(addresses)


def fields(p):
    if isinstance(p, Buffer):
        return ["int64"] * (5 + 2 * len(p.shape))
    return {"complex64": ["float32"] * 2, "complex128": ["float64"] * 2}.get(p.dtype.name, [p.dtype.name])


def test_an_array_is_its_owners_size_address_lengths_and_strides():
    x = Buffer("x", np.dtype("float32"), (N, const_int(3)), "input")
    found, _ = packed([x], [array((5, 3), "float32", 4096)])
    numbers = [int.from_bytes(b, "little") for b in found]
    assert numbers == [0, 0, 15, 4, 4096, 5, 3, 12, 4, 0, 0, 1, 8, 7, 1, 8]


def test_numbers_of_every_dtype_are_aligned_and_equal():
    values = {d: np.dtype(d).type(1.0 if d == "bool" else 3 + 2j if "complex" in d else 3) for d in DTYPES}
    params = [Var(d, np.dtype(d)) for d in DTYPES for _ in range(2)]
    found, addresses = packed(params, [values[d] for d in DTYPES for _ in range(2)])
    kinds = [np.dtype(c) for p in params for c in fields(p)]
    numbers = [np.frombuffer(b, k)[0] for b, k in zip(found, kinds, strict=False)]
    expected = [part for p in params for part in parts(values[p.name])]
    assert numbers == expected
    assert all(a % k.itemsize == 0 for a, k in zip(addresses, kinds, strict=False))


def parts(value):
    return [value.real, value.imag] if np.iscomplexobj(value) else [value]


def test_calls_do_not_share_memory():
    launch = Launch(lambda: None, Kernel("f", [Var("a", INT64)], [], []), False)
    first, second = (launch._pack([k, array((1,), "int64", 7)]) for k in (1, 2))
    assert bytes(first)[-64:-56] != bytes(second)[-64:-56]
