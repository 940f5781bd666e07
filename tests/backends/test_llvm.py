"""Kernels as LLVM IR: elements of arrays of every dtype, by every kind of index and statement, as NumPy has them."""

from __future__ import annotations

import ctypes

import ml_dtypes
import numpy as np
import pytest
from kernels import in_python, kernel, machine_code

from scancc.backends.llvm.allocations import FIRST_ROWS
from scancc.backends.llvm.body import NO_MEMORY
from scancc.backends.llvm.interrupts import HEADER
from scancc.backends.machine_code import array_at
from scancc.ir.loop import (
    BOOL,
    INT64,
    Alloc,
    Assign,
    Break,
    Buffer,
    Const,
    Declare,
    Fail,
    For,
    Grow,
    If,
    Kernel,
    Let,
    Load,
    Op,
    Store,
    Var,
    add,
    const_int,
)
from scancc.ir.types import DTYPES, in_memory, is_half

BY_NAME = {d.name: d for d in (*DTYPES.values(), np.dtype(ml_dtypes.bfloat16))}
ROWS, COLUMNS = 2 * FIRST_ROWS + 5, 3


def values(dtype: np.dtype, *shape: int) -> np.ndarray:
    """Numbers that use all bytes of an element; of halves any bits, NaNs too."""
    r = np.random.default_rng(dtype.itemsize)
    if dtype.kind == "b":
        return r.integers(0, 2, shape).astype(dtype)
    bits = r.integers(0, 256, (*shape, dtype.itemsize), np.uint8)
    return bits.view(in_memory(dtype)).reshape(shape)


def words(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1).view(np.uint8)


def both(made: Kernel, *given: object, stack: dict | None = None, **more: object) -> None:
    """Machine code and the printed source get equal arrays and change them in the same way; at least one changes."""
    stack = stack or {}
    dtypes = {p.name: in_memory(p.dtype) for p in made.params}
    results = []
    for run, own in ((in_python(made), True), (machine_code(made, stack=stack, **more).call, False)):
        arguments = iter([a.copy() if isinstance(a, np.ndarray) else a for a in given])
        taken = [np.zeros(stack[p.name], dtypes[p.name]) if p.name in stack else next(arguments) for p in made.params]
        assert run(*[a for a, p in zip(taken, made.params, strict=True) if own or p.name not in stack]) == 0
        results.append([a for a, p in zip(taken, made.params, strict=True) if p.name not in stack])
    changed = False
    for before, expected, have in zip(given, *results, strict=True):
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(words(have), words(expected))
            changed = changed or not np.array_equal(words(have), words(before))
    assert changed


M, W, LAST, T, C = (Var(name, INT64) for name in ("m", "w", "i", "t", "c"))


def number(value: int) -> Const:
    return const_int(value)


@pytest.mark.parametrize("last", [1, ROWS - 1])
@pytest.mark.parametrize("name", BY_NAME)
def test_elements(name, last):
    """By constants, variables, counters and sums; of arrays whose lengths the kernel knows, is given, or computes."""
    dtype = BY_NAME[name]
    j, k = Var("j", np.dtype("int32")), Var("k", np.dtype("uint8"))
    j64, k64 = (Op("cast", (v,), INT64) for v in (j, k))
    x, row, known = Buffer("x", dtype, (M, W), "input"), Buffer("row", dtype, (M,), "output"), Buffer(
        "known", dtype, (number(2), number(COLUMNS)), "input")  # fmt: skip
    out = Buffer("out", dtype, (M, add(W, 1), number(2)), "output")
    given, v, first = Var("given", dtype), Var("v", dtype), Var("first", dtype)
    body = [
        Store(out, (number(0), number(0), number(0)), Load(x, (LAST, number(1)))),
        Store(out, (number(0), number(1), number(1)), Load(known, (number(1), number(2)))),
        Store(out, (number(1), k64, number(0)), Load(known, (k64, number(0)))),
        Store(out, (j64, number(0), number(1)), Load(row, (LAST,))),
        Let(v, Load(x, (j64, k64))),
        Let(first, Load(row, (number(0),))),
        Store(row, (k64,), v),
        Store(out, (number(3), W, number(1)), Load(row, (k64,))),
        Store(out, (number(3), number(0), number(0)), first),
        Store(out, (add(M, -1), W, number(1)), given),
        For(T, number(4), add(M, -1), [
            For(C, number(0), W, [Store(out, (T, add(C, 1), number(0)), Load(x, (add(T, -1), C)))]),
        ]),
    ]  # fmt: skip
    scalar = values(dtype, 1)[0]
    both(
        kernel([x, row, known, M, W, LAST, j, k, given, out], body), values(dtype, ROWS, COLUMNS), values(dtype, ROWS),
        values(dtype, 2, COLUMNS), ROWS, COLUMNS, last, np.int32(2), np.uint8(1), scalar,
        np.zeros((ROWS, COLUMNS + 1, 2), in_memory(dtype)), lengths=["m", "w"],
    )  # fmt: skip


@pytest.mark.parametrize("name", BY_NAME)
def test_statements(name):
    """Variables that change, branches, loops that end early, memory on the stack, and memory that grows."""
    dtype = BY_NAME[name]
    x, out = Buffer("x", dtype, (M, W), "input"), Buffer("out", dtype, (M, W), "output")
    ring, rows = Buffer("ring", dtype, (number(2),), "scratch"), Buffer("rows", dtype, (number(0), W), "local")
    block = Buffer("block", dtype, (W,), "local")
    held = Var("held", dtype)
    odd = Op("equal", (Op("remainder", (T, number(2)), INT64), number(1)), BOOL)
    body = [
        Declare(held, Load(x, (number(0), number(1)))),
        Alloc(rows),
        For(T, number(0), M, [
            If(Op("equal", (T, LAST), BOOL), [Break()]),
            Store(ring, (Op("remainder", (T, number(2)), INT64),), held),
            If(odd, [Assign(held, Load(x, (T, number(0))))], [Assign(held, Load(x, (T, add(W, -1))))]),
            Grow(rows, T),
            Alloc(block),  # again in each step
            For(C, number(0), W, [Store(block, (C,), Load(x, (T, C)))]),
            If(odd, [Store(block, (number(1),), held)]),
            For(C, number(0), W, [Store(rows, (T, C), Load(block, (C,)))]),
        ]),
        For(T, number(0), LAST, [For(C, number(0), W, [Store(out, (T, C), Load(rows, (T, C)))])]),
        Store(out, (LAST, number(0)), Load(ring, (number(0),))),
        Store(out, (LAST, number(1)), Load(ring, (number(1),))),
        Store(out, (LAST, number(2)), held),
    ]  # fmt: skip
    both(
        kernel([x, M, W, LAST, ring, out], body), values(dtype, ROWS, COLUMNS), ROWS, COLUMNS, ROWS - 2,
        np.zeros((ROWS, COLUMNS), in_memory(dtype)), stack={"ring": (2,)}, lengths=["m", "w"],
    )  # fmt: skip


@pytest.mark.parametrize("name", [n for n, d in BY_NAME.items() if is_half(d)])
def test_halves_are_converted(name):
    dtype, wide = BY_NAME[name], np.dtype("float32")
    x, out, single = Buffer("x", dtype, (M,), "input"), Buffer("out", dtype, (M,), "output"), Buffer(
        "single", wide, (M,), "output")  # fmt: skip
    v = Var("v", wide)
    body = [For(T, number(0), M, [
        Let(v, Op("multiply", (Op("cast", (Load(x, (T,)),), wide), Const(1.5, wide)), wide)),
        Store(single, (T,), v),
        Store(out, (T,), Op("cast", (v,), dtype)),
    ])]  # fmt: skip
    numbers = np.arange(2**16, dtype=np.uint16)  # all there are
    numbers = numbers[np.isfinite(numbers.view(dtype).astype(wide))]
    n = len(numbers)
    both(kernel([x, M, out, single], body), numbers, n, np.zeros(n, "u2"), np.zeros(n, wide), lengths=["m"])


@pytest.mark.parametrize("name", BY_NAME)
def test_arrays_that_the_kernel_returns(name):
    dtype = BY_NAME[name]
    x = Buffer("x", dtype, (M, W), "input")
    rows = Buffer("rows", dtype, (number(0), W), "output")
    body = [Alloc(rows), For(T, number(0), LAST, [
        Grow(rows, T), For(C, number(0), W, [Store(rows, (T, C), Load(x, (T, C)))]),
    ])]  # fmt: skip
    made = Kernel("k", [x, M, W, LAST], body, [], [rows])
    run, free = machine_code(made).call, ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    array = values(dtype, ROWS, COLUMNS)
    for n in (0, 1, FIRST_ROWS, FIRST_ROWS + 1, ROWS):
        found = np.zeros(3, np.int64)
        assert run(array, ROWS, COLUMNS, n, found) == 0
        code, expected = in_python(made)(array, ROWS, COLUMNS, n)
        assert code == 0 and tuple(found[1:]) == expected.shape
        have = array_at(int(found[0]), tuple(found[1:].tolist()), rows).copy()
        free(int(found[0]) - HEADER)
        np.testing.assert_array_equal(words(have[:n]), words(expected[:n]))


def test_failures_leave_the_kernel_at_once():
    out, local = Buffer("out", INT64, (M,), "output"), Buffer("local", INT64, (M, M), "local")
    body = [Alloc(local), For(T, number(0), M, [
        If(Op("equal", (T, LAST), BOOL), [Fail(7)]),
        Store(local, (T, number(1)), T),
        Store(out, (T,), add(Load(local, (T, number(1))), 1)),
    ])]  # fmt: skip
    made = kernel([M, LAST, out], body)
    for run in (machine_code(made).call, in_python(made)):
        array = np.zeros(5, np.int64)
        assert run(5, 3, array) == 7
        np.testing.assert_array_equal(array, [1, 2, 3, 0, 0])
        assert run(5, 5, array) == 0
    for n in (2**29, 2**31, 2**62):  # elements that no memory has, and a number of them that 64 bits do not have
        assert machine_code(made).call(n, 0, np.zeros(1, np.int64)) == NO_MEMORY
