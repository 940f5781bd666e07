"""Figures of a compiled program that noise cannot touch, for baselines, for `scancc explain`, and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scancc.backends.cpu import CpuProgram
from scancc.inspection import Inspection
from scancc.static import processors
from scancc.static.assembly import Function, parse, shown
from scancc.static.counts import (
    launches_of,
    ops_of,
    statements_of,
    step_loops,
    step_ops_of,
    storage_bytes,
    transfers_of,
)
from scancc.static.critical_path import Dependencies, critical_path, dependencies
from scancc.static.hot_loop import around, hot_loops, loop_calls, loops_within, rest_lines, rows_at_once, step_lines
from scancc.static.loops import Loop
from scancc.static.machine_model import throughput, vector_bits
from scancc.static.stack import stack_accesses
from scancc.static.steps import steps_per_iteration
from scancc.static.symbols import callees, is_allocator, readable


@dataclass(frozen=True, slots=True)
class LoopFigures:
    """The hot loop: of the innermost loops that a call runs the one with the most work.

    instructions           of one iteration of the machine loop
    vector_bits            widest registers that arithmetic uses: 64 is scalar, 0 none but integers one by one
    calls                  functions called within the loop or those around it, sorted, with their names in the source
    spills                 loads and stores of stack slots within the loop
    critical_path_cycles   of one iteration: the longest chain of operations from one iteration to the next
    throughput_cycles      of one iteration: what the ports of a core need for its instructions, if none waits
    stride_bytes           the shortest way that a load or store moves from one iteration to the next, if it is known
    text                   its assembly
    """

    instructions: int
    vector_bits: int
    calls: tuple[str, ...]
    spills: int
    critical_path_cycles: float
    throughput_cycles: float
    stride_bytes: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a program.

    cpu                    what the machine code was made for, as in "x86-64-v3"
    hot                    None where no loop is left, for a device, and on machines other than x86-64
    beside                 the hottest loop that runs no steps, such as work on all rows before them; None without one
    loop_calls             functions that any loop of the kernel calls, sorted
    steps_per_iteration    steps of the scan that an iteration of the hot loop makes, if it can be told; of nested scans
                           those of the innermost
    allocations            calls of allocators in the kernel
    storage_bytes          of all buffers that a call allocates, if that is known before it
    loops                  loops over steps in the loop IR
    launches, transfers    of a call whose arguments and results are on the host; 0 on the CPU
    ops                    of the scan IR after all passes by name, those of bodies included
    step_ops               those of bodies alone: what every step does
    statements             of the generated source
    llvm                   LLVM instructions, of the run-time functions it calls too, as they are written
    llvm_optimised         those that are left for the processor's code generator; both 0 for a device
    """

    cpu: str
    hot: LoopFigures | None
    beside: LoopFigures | None
    loop_calls: tuple[str, ...]
    steps_per_iteration: int | None
    allocations: int
    storage_bytes: int | None
    loops: int
    launches: int
    transfers: int
    ops: dict[str, int]
    step_ops: dict[str, int]
    statements: int
    llvm: int = 0
    llvm_optimised: int = 0


def figures_of(program: Inspection, given: Mapping[str, Any] | None = None) -> Figures:
    """Figures of a compiled program.

    `given` are arguments by input name; lengths of those that are missing are the ones of the call it was traced for.
    """
    made = program.compilation
    functions: list[Function] = []
    loops: list[Loop] = []
    hot: Loop | None = None
    beside: Loop | None = None
    compiled = program.compiled
    code = compiled.code.inspected() if isinstance(compiled, CpuProgram) else None
    if code is not None and processors.is_x86():
        functions = parse(code.asm)
        loops = loops_within(functions)
        hot, beside = hot_loops(functions, loops, step_lines(compiled.source), rest_lines(compiled.source))
    needs = dependencies(hot) if hot is not None else None
    steps: int | None = None
    if hot is not None and needs is not None:
        steps = steps_per_iteration(made, hot, needs, outermost=len(around(hot, loops)) == 1)
        steps = steps and steps * rows_at_once(compiled.source, hot)
    return Figures(
        cpu=processors.current() if processors.is_x86() else processors.machine(),
        hot=_loop_figures(hot, needs, loops) if hot is not None and needs is not None else None,
        beside=_loop_figures(beside, dependencies(beside), loops) if beside is not None else None,
        loop_calls=tuple(sorted({readable(name) for name in loop_calls(loops)})),
        steps_per_iteration=steps,
        allocations=sum(is_allocator(name) for f in functions for names in callees(f).values() for name in names),
        storage_bytes=storage_bytes(made, made.traced, given or {}),
        loops=step_loops(made),
        launches=launches_of(made),
        transfers=transfers_of(made),
        ops=ops_of(made.graph),
        step_ops=step_ops_of(made.graph),
        statements=statements_of(program.source()),
        llvm=code.before if code is not None else 0,
        llvm_optimised=code.after if code is not None else 0,
    )


def _loop_figures(hot: Loop, needs: Dependencies, loops: list[Loop]) -> LoopFigures:
    instructions = list(hot.instructions())
    return LoopFigures(
        instructions=len(instructions),
        vector_bits=vector_bits(instructions),
        calls=tuple(sorted({readable(name) for name in loop_calls(around(hot, loops))})),
        spills=stack_accesses(hot),
        critical_path_cycles=round(critical_path(needs), 2),
        throughput_cycles=round(throughput(needs.instructions), 2),
        stride_bytes=min(needs.strides(), default=None),
        text="\n".join(shown(hot.body())),
    )
