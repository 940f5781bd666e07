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
        self._unit: Any = None
        self._scopes: dict[tuple[str, str], Any] = {}  # by function and file
        self._known: dict[tuple[str, str, int, int], Any] = {}
        self._before: dict[str, Any] = {}  # by function: of statements that come from no line

    def at(self, function: ir.Function, s: Stmt | None) -> Any:
        module = function.module
        if function.name not in self._before:
            self._begin(module, function)
        loc: Loc | None = getattr(s, "loc", None)
        if self.lines is not None:
            line = self.lines.get(id(s)) if s is not None else None
            key = ("", line, 1) if line is not None else None
        else:
            key = (loc.file, loc.line, loc.column + 1) if loc is not None else None
        if key is None:
            return self._before[function.name]
        file, line, column = key
        place = (function.name, *key)
        if place not in self._known:
            scope = self._scope(function, file)
            self._known[place] = module.add_debug_info("DILocation", {"line": line, "column": column, "scope": scope})
        self._before[function.name] = self._known[place]
        return self._known[place]

    def _begin(self, module: ir.Module, function: ir.Function) -> None:
        file = self._file(module, f"<scancc kernel {self.name}>")
        if self._unit is None:
            self._unit = self._begin_unit(module, file)
        kind = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([])})
        scope = module.add_debug_info("DISubprogram", {
            "name": self.name, "linkageName": function.name, "scope": file, "file": file, "line": 1, "scopeLine": 1,
            "type": kind, "isLocal": False, "isDefinition": True, "isOptimized": True, "unit": self._unit,
        }, is_distinct=True)  # fmt: skip
        function.set_metadata("dbg", scope)
        self._scopes[function.name, ""] = scope
        first = module.add_debug_info("DILocation", {"line": 1, "column": 1, "scope": scope})
        self._before[function.name] = first

    def _begin_unit(self, module: ir.Module, file: Any) -> Any:
        unit = module.add_debug_info("DICompileUnit", {
            "language": ir.DIToken("DW_LANG_C99"), "file": file, "producer": PRODUCER, "runtimeVersion": 0,
            "isOptimized": True, "emissionKind": ir.DIToken("LineTablesOnly"),
        }, is_distinct=True)  # fmt: skip
        module.add_named_metadata("llvm.dbg.cu", unit)
        flags = module.add_named_metadata("llvm.module.flags")
        for name, value in (("Dwarf Version", 4), ("Debug Info Version", 3)):
            flags.add(module.add_metadata([ir.IntType(32)(2), name, ir.IntType(32)(value)]))
        return unit

    def _scope(self, function: ir.Function, file: str) -> Any:
        module, key = function.module, (function.name, file)
        if key not in self._scopes:
            self._scopes[key] = module.add_debug_info("DILexicalBlockFile", {
                "scope": self._scopes[function.name, ""], "file": self._file(module, file), "discriminator": 0,
            })  # fmt: skip
        return self._scopes[key]

    def _file(self, module: ir.Module, path: str) -> Any:
        folder, name = os.path.split(path)
        return module.add_debug_info("DIFile", {"directory": folder, "filename": name})
