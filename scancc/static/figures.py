"""Figures of a compiled program that noise cannot touch, for baselines, for `scancc explain`, and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scancc.inspection import Inspection
from scancc.static.counts import ops_of, statements_of, step_loops, storage_bytes


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """The hot loop: of the innermost loops that a call runs the one with the most work.

    instructions           of one iteration of the machine loop
    vector_bits            widest registers that arithmetic uses: 64 is scalar, 0 none but integers one by one
    calls                  functions called within the loop, sorted, with the names that they have in their source
    spills                 loads and stores of stack slots within the loop
    critical_path_cycles   of one iteration: the longest chain of operations from one iteration to the next
    throughput_cycles      of one iteration: what the ports of a core need for its instructions, if none waits
    text                   its assembly
    """

    instructions: int
    vector_bits: int
    calls: tuple[str, ...]
    spills: int
    critical_path_cycles: float
    throughput_cycles: float
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a program.

    cpu                    what the machine code was made for, as in "x86-64-v3"
    hot                    None where no loop is left, for a device, and for processors other than x86-64
    steps_per_iteration    steps of the scan that an iteration of the hot loop makes, if it can be told
    allocations            calls of allocators in the kernel
    storage_bytes          of all buffers that a call allocates, if that is known before it
    loops                  loops over steps in the loop IR
    launches, transfers    of a call whose arguments are on the host; 0 on the CPU
    ops                    of the scan IR after all passes by name, those of bodies included
    statements             of the generated source
    """

    cpu: str
    hot: LoopFigures | None
    steps_per_iteration: int | None
    allocations: int
    storage_bytes: int | None
    loops: int
    launches: int
    transfers: int
    ops: dict[str, int]
    statements: int


def figures_of(program: Inspection, given: Mapping[str, Any] | None = None) -> Figures:
    """Figures of a compiled program.

    `given` are arguments by input name; lengths of those that are missing are the ones of the call it was traced for.
    """
    made = program.compilation
    return Figures(
        cpu="", hot=None, steps_per_iteration=None, allocations=0,
        storage_bytes=storage_bytes(made, made.traced, given or {}),
        loops=step_loops(made), launches=0, transfers=0, ops=ops_of(made.graph),
        statements=statements_of(program.source()),
    )  # fmt: skip
