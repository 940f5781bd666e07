"""Each rule of the scan IR: a graph that breaks it is rejected, with the fault at its node."""

from __future__ import annotations

import numpy as np
import pytest

from scancc.errors import VerificationError
from scancc.ir import build
from scancc.ir.graph import Graph, Node
from scancc.ir.parser import parse
from scancc.ir.types import Dim, Type
from scancc.ir.verify import verify

SCAN = """program p
  %0: f64[n] = input x
  %1: f64[] = input y0
  %2: i64[] = dim %0 axis=0
  %3 = scan s steps %2
    sequence x taps [0] = %0
    carry y taps [-1] = %1
    body
      %0: f64[] = tap x[0]
      %1: f64[] = tap y[-1]
      %2: f64[] = add %0 %1
      return y = %2
  %4: f64[n] = get %3 y trace
  return r = %4
"""


def test_a_right_program_passes():
    verify(parse(SCAN))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("%2: f64[] = add", "%2: f32[] = add", "add gives f64"),
        ("tap x[0]", "tap x[1]", r"x has taps \(0,\)"),
        ("tap y[-1]", "tap z[-1]", "no sequence or carry 'z'"),
        ("tap x[0]", "read x", "no non-sequence 'x'"),
        ("tap x[0]", "input x", "a body has no input"),
        ("return y = %2", "return z = %2", r"the body returns \['z'\]"),
        ("return y = %2", "return y = %2, until = %2", "stopping condition is f64"),
        ("taps [-1] = %1", "taps [1] = %1", "carry y has taps"),
        ("taps [-1] = %1", "taps [-2] = %1", "needs 2 initial rows"),
        ("sequence x taps [0] = %0", "sequence x taps [0] = %1", "sequence x is a scalar"),
        ("scan s steps %2", "scan s steps %1", "the step count is f64"),
        ("get %3 y trace", "get %3 z trace", "no result 'z'"),
        ("get %3 y trace", "get %3 y first", "no view 'first'"),
        ("%4: f64[n] = get %3 y trace", "%4: f64[n, 2] = get %3 y trace", "rows are f64"),
        ("%4: f64[n] = get %3 y trace", "%4: f64[n] = exp %3", "read by get only"),
        ("%2: i64[] = dim %0 axis=0", "%2: i64[] = step", "step outside of a body"),
        ("%2: i64[] = dim %0 axis=0", "%2: i64[] = dim %0 axis=0 perm=[1]", "the attributes of dim are axis"),
        ("%2: i64[] = dim %0 axis=0", "%2: i64[] = dim %0 %1 axis=0", "takes 1 operands, not 2"),
        ("add %0 %1", "where %0 %1 %1", "where takes a bool"),
    ],
)
def test_faults(old, new, fault):
    assert old in SCAN
    with pytest.raises(VerificationError, match=fault) as caught:
        verify(parse(SCAN.replace(old, new)), "test")
    assert "after pass 'test'" in str(caught.value)
    assert any("<-- " in line for line in str(caught.value).splitlines())


def test_a_final_value_is_that_of_a_carry():
    text = SCAN.replace("return y = %2", "return y = %2, o = %0").replace("    body", "    output o\n    body", 1)
    with pytest.raises(VerificationError, match="it is not a carry"):
        verify(parse(text.replace("%4: f64[n] = get %3 y trace", "%4: f64[] = get %3 o final")))


def test_mixed_dtypes():
    a, b = build.const(1.0), build.const(1, "int64")
    with pytest.raises(VerificationError, match="operands have dtypes float64, int64"):
        verify(Graph((), {"r": Node("add", (a, b), a.type)}))


def test_the_fault_is_marked_at_its_node():
    a = build.const(1.0)
    wrong = Node("exp", (a,), Type(np.dtype("float32"), ()))
    right = build.make("sqrt", wrong)
    with pytest.raises(VerificationError) as caught:
        verify(Graph((), {"r": right}))
    (line,) = [line for line in str(caught.value).splitlines() if "<--" in line]
    assert "exp" in line


def test_a_cycle_is_found():
    a = build.const(1.0)
    b = Node("exp", (a,), a.type)
    c = Node("sqrt", (b,), a.type)
    object.__setattr__(b, "args", (c,))
    with pytest.raises(VerificationError, match="depends on itself"):
        verify(Graph((), {"r": c}))


def test_an_input_must_be_declared():
    x = build.make("input", type=Type(np.dtype("float64"), ()), name="x")
    with pytest.raises(VerificationError, match="not among the inputs"):
        verify(Graph((), {"r": x}))


def test_one_dimension_has_one_definition():
    one, two = build.integer(1), build.integer(2)
    x = build.const(1.0)
    a = build.broadcast_to(x, (Dim("n", None, one),))
    b = build.broadcast_to(x, (Dim("n", None, two),))
    with pytest.raises(VerificationError, match="dimension n is defined twice"):
        verify(Graph((), {"a": a, "b": b}))


def test_branches_agree():
    text = """program p
  %0: bool[] = input c
  %1: f64[] = input x
  %2 = cond %0
    nonseq x = %1
    then
      %0: f64[] = read x
      return r = %0
    else
      %0: f64[] = const 1.0
      return r = %0
  %3: f64[] = get %2 r branch
  return r = %3
"""
    verify(parse(text))
    with pytest.raises(VerificationError, match="in one branch and i64"):
        verify(parse(text.replace("%0: f64[] = const 1.0", "%0: i64[] = const 1")))
    with pytest.raises(VerificationError, match="the condition is f64"):
        verify(parse(text.replace("cond %0", "cond %1")))


def test_a_deep_graph_does_not_recurse():
    node = build.const(1.0)
    for _ in range(20_000):
        node = build.make("sqrt", node)
    verify(Graph((), {"r": node}))
