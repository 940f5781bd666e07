"""What the printer writes the parser reads back, to the same text and the same results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scancc as sc
from scancc.ir import build
from scancc.ir.graph import Graph
from scancc.ir.parser import ParseError, parse, parse_program
from scancc.ir.printer import show
from scancc.ir.types import DTYPES, Dim
from scancc.ir.verify import verify

CASES = sorted((Path(__file__).parent.parent / "cases").glob("*/*.scan"))


def round_trip(graph: Graph) -> Graph:
    text = show(graph)
    again = parse(text)
    verify(again)
    assert show(again) == text
    return again


@pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_text_cases(path):
    round_trip(parse(path.read_text()))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_constants_of_every_dtype(dtype):
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        values = np.array([info.min, 0, 1, info.max], dtype)
    elif dtype.kind == "b":
        values = np.array([True, False])
    else:
        part = np.empty(0, dtype).real.dtype
        tiny = 1e-310 if part.itemsize == 8 else 1e-40
        real = np.array([0.0, -0.0, 0.1, tiny, np.inf, -np.inf, np.nan, 1.0], part)
        values = real.view(dtype) if dtype.kind == "c" else real
    many = np.resize(values, (10, 13))
    graph = round_trip(Graph((), {"few": build.const(values), "many": build.const(many)}))
    for name, want in (("few", values), ("many", many)):
        assert graph.results[name].attrs["value"].tobytes() == want.tobytes()


def test_payloads_of_nans_survive():
    strange = np.array([0x7FF8000000000123], np.uint64).view(np.float64)
    graph = round_trip(Graph((), {"r": build.const(strange)}))
    assert graph.results["r"].attrs["value"].tobytes() == strange.tobytes()


def test_names_that_are_no_identifiers():
    x = build.make("input", type=build.integer(0).type.with_shape((Dim('a "b" # <-- c'),)), name="über # x")
    round_trip(Graph((x,), {"true": x, "a b": x}))


def test_traced_programs():
    @sc.jit
    def nested(x, h, w):
        def outer(row, total):
            inner = sc.scan(lambda v, s: (v * s, sc.until(s > 3)), row, np.float64(1))
            return total + inner[-1] + (w[1:] * 2).sum()

        ys = sc.scan(outer, x, h, go_backwards=True)
        return ys[-1], ys[-2:], ys.sum(), np.where(x > 0, x, -x)[:, ::2]

    program = nested.lower(np.ones((4, 3)), 0.5, np.ones(5))
    for stage in ("trace", *(p.name for p in program.compilation.passes)):
        text = program.ir(stage)
        assert show(parse(text), "nested") == "\n".join(line.split("  #")[0] for line in text.splitlines())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        ("program p\n  %0: f64[] = nonsense\n  return", r"line 2: there is no op 'nonsense'[^^]*\^"),
        ("program p\n  %1: f64[] = exp %0\n  return", "line 2: %0 is not defined"),
        ("program p\n  %0: f99[] = const 1\n  return", "a dtype expected, not f99"),
        ("program p\n  %0: f64[] = const 1.0", "has no return"),
        ("program p\n  return\n  return", "the program has ended"),
        ("program p\n  %0: f64[] = const ?\n  return", "no such token"),
        ("program p\n  %0 = add\n  return", "scan or cond expected"),
    ],
)
def test_errors_point_at_the_place(text, message):
    with pytest.raises(ParseError, match=message):
        parse(text)


def test_name():
    assert parse_program("program main.step\n  return")[0] == "main.step"
