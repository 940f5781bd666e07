"""Each rule of the loop IR: a kernel that breaks it is rejected."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.errors import VerificationError
from scancc.ir.loop import (
    INT64,
    Assign,
    Break,
    Buffer,
    Call,
    Const,
    Declare,
    Fail,
    For,
    Kernel,
    Let,
    Load,
    Op,
    Place,
    Store,
    Var,
    const_int,
)
from scancc.ir.verify_loop import verify_kernel

F64 = np.dtype("float64")
X = Buffer("x", F64, (const_int(4),), "input")
Y = Buffer("y", F64, (const_int(4),), "output")
RING = Buffer("y_ring", F64, (const_int(3),), "scratch")
V, STEP, SLOT = Var("v", F64), Var("i", INT64), Var("y_slot", INT64)
ZERO = Const(0.0, F64)


def kernel(*body) -> Kernel:
    return Kernel("k", [X, Y, RING], list(body), [])


RIGHT = (
    Declare(V, ZERO),
    For(STEP, const_int(0), const_int(4), [Assign(V, Op("add", (V, Load(X, (STEP,))), F64)), Store(Y, (STEP,), V)]),
)


def test_a_right_kernel_passes():
    verify_kernel(kernel(*RIGHT))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ([Store(Y, (const_int(0),), V)], "v is used before"),
        ([Let(V, ZERO), Assign(V, ZERO)], "set v, which is not a variable that may change"),
        ([Declare(V, ZERO), Let(V, ZERO)], "defined again by a let"),
        ([Store(X, (const_int(0),), ZERO)], "store to the input x"),
        ([Store(Y, (const_int(0), const_int(0)), ZERO)], "y has 1 axes, 2 are indexed"),
        ([Store(Buffer("z", F64, (), "local"), (), ZERO)], "neither a parameter nor allocated"),
        ([Store(Y, (const_int(0),), const_int(1))], "y is float64, what is stored int64"),
        ([Let(V, const_int(1))], "v is float64, its value int64"),
        ([Let(V, Op("add", (ZERO, const_int(1)), F64))], "operands of float64, int64"),
        ([Break()], "break outside of a loop"),
        ([Fail(1)], "fail 1 means nothing"),
        ([Call("f", (Place(Y, ()),))], "0 are indexed"),
        ([For(STEP, const_int(0), const_int(4), []), Let(V, Load(X, (STEP,)))], "i is used before"),
    ],
)
def test_faults(body, fault):
    with pytest.raises(VerificationError, match=fault):
        verify_kernel(kernel(*body))


def test_parameters_have_names_of_their_own():
    with pytest.raises(VerificationError, match="two parameters"):
        verify_kernel(Kernel("k", [X, X], [], []))


def _step(*statements) -> Kernel:
    return kernel(Declare(SLOT, const_int(0)), For(STEP, const_int(0), const_int(4), list(statements)))


def test_a_ring_is_read_before_it_is_written():
    oldest = Var("row", INT64)
    read, write = Let(V, Load(RING, (oldest,))), Store(RING, (SLOT,), ZERO)
    verify_kernel(_step(Let(oldest, SLOT), read, write))
    with pytest.raises(VerificationError, match="after the step has overwritten it"):
        verify_kernel(_step(Let(oldest, SLOT), write, read))
    verify_kernel(_step(write, Let(V, Load(RING, (SLOT,)))))  # the new row, by the name that it was stored under


def test_an_emitted_ring_is_checked():
    """The check must see what lowering emits, or it guards nothing: swap the statements of a real kernel."""
    y = sc.jit(lambda x, y0: sc.scan(lambda v, y2: v + y2, x, dict(initial=y0, taps=[-50]))[-1])
    emitted = y.lower(np.ones(10), np.ones(50)).compiled.lowered.kernel
    verify_kernel(emitted)
    loop = next(s for s in emitted.body if isinstance(s, For) and s.note)
    stored = next(s for s in loop.body if isinstance(s, Store))
    loop.body.remove(stored)
    loop.body.insert(0, Store(stored.buffer, stored.index, ZERO))
    with pytest.raises(VerificationError, match="after the step has overwritten it"):
        verify_kernel(emitted)
