"""A program of several launches: what one of them makes, the next one finds on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scancc.backends.cuda.products import ProductProgram
from scancc.backends.cuda.program import CudaProgram
from scancc.passes.pipeline import Compilation


def device_program(compilation: Compilation) -> CudaProgram:
    return StagedProgram(compilation) if compilation.stages else one_launch(compilation)


def one_launch(compilation: Compilation) -> CudaProgram:
    return ProductProgram(compilation) if compilation.strategy == "product" else CudaProgram(compilation)


class StagedProgram(CudaProgram):
    """Thread-safe, as its stages are."""

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation
        self.graph = compilation.graph
        self.lowered = compilation.lowered
        self.given_steps = []  # every stage checks its own
        self.inputs = tuple(node.attrs["name"] for node in self.graph.inputs)
        self.stages = [one_launch(stage) for stage in compilation.stages]
        self.source = "\n".join(stage.source for stage in self.stages)

    def loop_ir(self) -> str:
        return "\n".join(stage.loop_ir() for stage in self.stages)

    def ptx(self, cc: tuple[int, int]) -> str:
        return "\n".join(stage.ptx(cc) for stage in self.stages)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        known = dict(self.sent(inputs))
        for stage in self.stages:
            known |= stage.run({name: known[name] for name in stage.inputs})
        return {name: known[name] for name in self.graph.results}
