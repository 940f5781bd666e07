"""The few figures of a program that come first: each a number, and what it is."""

from __future__ import annotations

from scancc.report.explanation import Explanation
from scancc.report.storage import show_bytes


def headline(e: Explanation) -> list[tuple[str, str]]:
    """The figures at the top: a number, and what it is."""
    found: list[tuple[str, str]] = []
    if e.measured is not None:
        m = e.measured
        found.append((f"{m.ns:.3g} ns", "a step, measured") if m.ns is not None
                     else (f"{1e6 * m.call_s:.3g} µs", "a call, measured"))  # fmt: skip
    if e.limits:
        first = e.limits[0]
        found.append((f"{first.ns:.3g} ns", f"the limit: {first.name}, {first.cycles:.3g} cycles a step"))
    if e.times is not None:
        found.append((f"{e.times:.2f} x", "the limit, as measured"))
    if e.figures is not None and e.figures.hot is not None:
        hot = e.figures.hot
        wide = {0: "no floating-point arithmetic", 64: "one number at a time"}.get(
            hot.vector_bits, f"vectors of {hot.vector_bits} bits")  # fmt: skip
        found.append((f"{hot.instructions}", f"instructions in the hot loop, {wide}"))
    if e.stored is not None:
        less = f"; {show_bytes(e.as_written)} as written" if e.as_written is not None else ""
        found.append((show_bytes(e.stored), f"allocated by a call{less}"))
    if e.changes:
        before, after = e.ops
        found.append((f"{before} to {after}" if before != after else f"{after}", "ops, before and after the passes"))
    return found
