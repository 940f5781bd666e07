"""Where instructions come from, as debug information: `perf`, `gdb` and the static analysis read it.

    USER     a statement's line in the user's file
    SOURCE   its line in the text of `.source()`, which says of a loop what it is
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llvmlite import ir

from scancc.ir.graph import Loc
from scancc.ir.loop import Stmt

PRODUCER = "scancc"


class Locations:
    """`at(function, statement)` is the location of the instructions that follow."""

    def __init__(self, name: str, lines: Mapping[int, int] | None = None) -> None:
        """`lines` are those of `.source()`, by the identity of the statement; without them lines are the user's."""
        self.name, self.lines = name, lines
        self._scopes: dict[str, Any] = {}
        self._known: dict[tuple[str, int, int], Any] = {}
        self._before: Any = None  # of statements that come from no line

    def at(self, function: ir.Function, s: Stmt | None) -> Any:
        module = function.module
        if not self._scopes:
            self._begin(module, function)
        loc: Loc | None = getattr(s, "loc", None)
        if self.lines is not None:
            line = self.lines.get(id(s)) if s is not None else None
            key = ("", line, 1) if line is not None else None
        else:
            key = (loc.file, loc.line, loc.column + 1) if loc is not None else None
        if key is None:
            return self._before
        if key not in self._known:
            file, line, column = key
            self._known[key] = module.add_debug_info(
                "DILocation", {"line": line, "column": column, "scope": self._scope(module, file)}
            )
        self._before = self._known[key]
        return self._before

    def _begin(self, module: ir.Module, function: ir.Function) -> None:
        file = self._file(module, f"<scancc kernel {self.name}>")
        unit = module.add_debug_info("DICompileUnit", {
            "language": ir.DIToken("DW_LANG_C99"), "file": file, "producer": PRODUCER, "runtimeVersion": 0,
            "isOptimized": True, "emissionKind": ir.DIToken("LineTablesOnly"),
        }, is_distinct=True)  # fmt: skip
        kind = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([])})
        scope = module.add_debug_info("DISubprogram", {
            "name": self.name, "linkageName": function.name, "scope": file, "file": file, "line": 1, "scopeLine": 1,
            "type": kind, "isLocal": False, "isDefinition": True, "isOptimized": True, "unit": unit,
        }, is_distinct=True)  # fmt: skip
        function.set_metadata("dbg", scope)
        module.add_named_metadata("llvm.dbg.cu", unit)
        flags = module.add_named_metadata("llvm.module.flags")
        for name, value in (("Dwarf Version", 4), ("Debug Info Version", 3)):
            flags.add(module.add_metadata([ir.IntType(32)(2), name, ir.IntType(32)(value)]))
        self._scopes[""] = scope
        self._before = module.add_debug_info("DILocation", {"line": 1, "column": 1, "scope": scope})

    def _scope(self, module: ir.Module, file: str) -> Any:
        if file not in self._scopes:
            self._scopes[file] = module.add_debug_info("DILexicalBlockFile", {
                "scope": self._scopes[""], "file": self._file(module, file), "discriminator": 0,
            })  # fmt: skip
        return self._scopes[file]

    def _file(self, module: ir.Module, path: str) -> Any:
        folder, name = os.path.split(path)
        return module.add_debug_info("DIFile", {"directory": folder, "filename": name})
