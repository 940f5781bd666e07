"""The textual form of the scan IR.

    program    ::= 'program' name block
    block      ::= line* 'return' [name '=' %id {',' name '=' %id}]
    line       ::= 'dim' name '=' %id | statement
    statement  ::= %id ':' Type '=' op %id* {key '=' value}
                 | %id ':' Type '=' 'input' name
                 | %id ':' Type '=' 'tap' name '[' integer ']'
                 | %id ':' Type '=' 'read' name
                 | %id ':' Type '=' 'const' literal
                 | %id ':' Type '=' 'slice' %id '[' [start] ':' [stop] [':' step] {',' ...} ']'
                 | %id ':' Type '=' 'get' %id [name] ('trace' | 'last' integer | 'final' | 'length' | 'branch')
                 | %id '=' 'scan' name 'steps' %id operand* 'body' block
                 | %id '=' 'cond' %id nonseq* 'then' block 'else' block
    operand    ::= ('sequence' | 'carry') name 'taps' '[' integer {',' integer} ']' '=' %id | nonseq | 'output' name
    nonseq     ::= 'nonseq' name '=' %id
    literal    ::= number | 'true' | 'false' | '(' number ',' number ')' | '[' literal* ']' | 'base64' string
    value      ::= literal | name | string | 'none' | '[' value {',' value} ']'

A name that is not a dotted identifier is written as a JSON string. A complex number is a pair. `shape=` and
`dtype=` are left out where the declared type says the same. Numbers are the shortest decimals that read back to
the same bits; a NaN other than the default one is `nan:0x<bits>`. Nodes are numbered in each block on their own,
inputs first and then operands before users in the order of the results, so that the text depends on the
structure of the graph only: it serves as a cache key. Indentation means nothing; every block ends at its
`return`. `# comments` and `<-- marks` run to the end of the line.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import PurePath
from typing import Any

import numpy as np

from scancc.ir.graph import Graph, Node, ScanSpec, body_graphs, mentioned_dims
from scancc.ir.types import DTYPE_NAMES, Dim, Type

IDENTIFIER = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
MAX_LISTED = 64  # elements of a constant written as numbers; larger ones are base64
RESERVED = frozenset({"true", "false", "none", "nan", "inf", "base64"})

# Attributes that the declared type gives already.
IMPLIED: dict[str, Callable[[Type], Any]] = {"shape": lambda t: t.shape, "dtype": lambda t: t.dtype}


def show(
    graph: Graph, name: str = "main", marks: Mapping[Node, str] | None = None, comments: bool = False
) -> str:
    """The text of a program, without a final newline. `parser.parse` reads it back.

    `marks` appends `<-- message` to the lines of some nodes. With `comments` the user's file and line follow each
    statement; without, locations leave no trace in the text.
    """
    printer = _Printer(marks or {}, comments)
    printer.lines.append(f"program {word(name)}")
    printer.block(graph, "  ")
    return "\n".join(printer.lines)


def word(name: str) -> str:
    """A name as the grammar has it: bare if it is a dotted identifier, else quoted."""
    return name if IDENTIFIER.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def show_type(t: Type) -> str:
    dims = ", ".join(word(d.name) if isinstance(d, Dim) else str(d) for d in t.shape)
    return f"{show_dtype(t.dtype)}[{dims}]"


def show_dtype(dtype: np.dtype) -> str:
    return DTYPE_NAMES.get(dtype.name, dtype.name)


def ordered(graph: Graph) -> tuple[list[Node], dict[str, Node]]:
    """The nodes of a block in the order of their numbers, and the node that defines each defined dimension.

    A dimension may be mentioned with its definition in one type and without in another (a row type that comes
    from a body has none), so definitions go by name here. Unlike `Graph.nodes`, this ends on a cyclic graph too:
    the verifier shows those.
    """
    roots = (*graph.inputs, *graph.results.values())
    order = _postorder(roots, {})
    defines: dict[str, Node] = {}
    for node in order:
        for d in mentioned_dims(node):
            if d.define is not None:
                defines.setdefault(d.name, d.define)
    return (_postorder(roots, defines) if defines else order), defines


def _postorder(roots: Iterable[Node], defines: Mapping[str, Node]) -> list[Node]:
    order: list[Node] = []
    entered: set[Node] = set()
    for root in roots:
        stack: list[tuple[Node, bool]] = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                order.append(node)
            elif node not in entered:
                entered.add(node)
                stack.append((node, True))
                needs = list(node.args)
                for d in mentioned_dims(node):
                    define = defines.get(d.name, d.define)
                    if define is not None:
                        needs.append(define)
                stack.extend((need, False) for need in reversed(needs) if need not in entered)
    return order


class _Printer:
    def __init__(self, marks: Mapping[Node, str], comments: bool) -> None:
        self.lines: list[str] = []
        self.marks = marks
        self.comments = comments
        self.types: dict[Type, str] = {}

    def block(self, graph: Graph, indent: str) -> None:
        order, defines = ordered(graph)
        number = {node: f"%{i}" for i, node in enumerate(order)}
        defined: set[str] = set()
        for node in order:
            if defines:
                for d in mentioned_dims(node):
                    if d.name in defines and d.name not in defined:
                        defined.add(d.name)
                        self.lines.append(f"{indent}dim {word(d.name)} = {number[defines[d.name]]}")
            if body_graphs_of(node):
                self.nested(node, number, indent)
            else:
                text = f"{indent}{number[node]}: {self.type(node.type)} = {statement(node, number)}"
                self.lines.append(text + self.remark(node))
        results = ", ".join(f"{word(name)} = {number[node]}" for name, node in graph.results.items())
        self.lines.append(f"{indent}return {results}".rstrip())

    def nested(self, node: Node, number: Mapping[Node, str], indent: str) -> None:
        args = [number[a] for a in node.args]
        inner = indent + "  "
        if node.op == "scan":
            spec: ScanSpec = node.attrs["spec"]
            head = f"scan {word(spec.name)} steps {args[0] if args else '?'}"
            head += f" in {spec.strategy}" if spec.strategy != "steps" else ""
            for f in fields(spec.backward):
                wanted = getattr(spec.backward, f.name)
                head += "" if wanted is None else f" {f.name} {show_value(wanted)}"
            parts = [
                *(f"sequence {word(s.name)} taps {values(s.taps)}" for s in spec.sequences),
                *(f"carry {word(c.name)} taps {values(c.taps)}" for c in spec.carries),
                *(f"nonseq {word(name)}" for name in spec.nonseqs),
            ]
            tail = [f"output {word(name)}" for name in spec.outputs]
            bodies: tuple[tuple[str, Graph], ...] = (("body", spec.body),)
        else:
            head = f"cond {args[0] if args else '?'}"
            parts, tail = [f"nonseq {word(name)}" for name in node.attrs["names"]], []
            bodies = (("then", node.attrs["then"]), ("else", node.attrs["orelse"]))
        self.lines.append(f"{indent}{number[node]} = {head}{self.remark(node)}")
        # An operand too few or too many is an error that must still be shown.
        count = max(len(parts), len(args) - 1)
        parts += ["nonseq ?"] * (count - len(parts))
        args += ["?"] * (count + 1 - len(args))
        self.lines += [f"{inner}{part} = {arg}" for part, arg in zip(parts, args[1:], strict=True)]
        self.lines += [f"{inner}{line}" for line in tail]
        for keyword, graph in bodies:
            self.lines.append(f"{inner}{keyword}")
            self.block(graph, inner + "  ")

    def type(self, t: Type) -> str:
        text = self.types.get(t)
        if text is None:
            text = self.types[t] = show_type(t)
        return text

    def remark(self, node: Node) -> str:
        text = ""
        if self.comments and node.loc is not None:
            text = f"  # {PurePath(node.loc.file).name}:{node.loc.line}"
        if node in self.marks:
            text += f"  <-- {self.marks[node]}"
        return text


def body_graphs_of(node: Node) -> tuple[Graph, ...]:
    """Nested graphs of a node; none where a malformed node lacks them."""
    try:
        return body_graphs(node)
    except KeyError:
        return ()


def statement(node: Node, number: Mapping[Node, str]) -> str:
    """The right-hand side of a statement other than `scan` and `cond`."""
    attrs = dict(node.attrs)
    attrs.pop("rule", None)  # of derivatives, which have been taken when a program is printed
    attrs.pop("bound", None)  # which array an input stands for is no part of the program
    parts = [node.op, *(number[a] for a in node.args)]
    for taken, syntax in SYNTAX.get(node.op, ()):
        if all(key in attrs for key in taken):
            parts.append(syntax(*(attrs.pop(key) for key in taken)))
    for key, value in attrs.items():
        if key not in IMPLIED or IMPLIED[key](node.type) != value:
            parts.append(f"{key}={show_value(value)}")
    return " ".join(part for part in parts if part)


def show_slices(starts: tuple, stops: tuple, steps: tuple) -> str:
    def one(start: int | None, stop: int | None, step: int | None) -> str:
        text = f"{'' if start is None else start}:{'' if stop is None else stop}"
        return text if step is None else f"{text}:{step}"

    return f"[{', '.join(one(*bounds) for bounds in zip(starts, stops, steps, strict=True))}]"


# How the attributes of some ops are written; all others are `key=value`.
SYNTAX: dict[str, tuple[tuple[tuple[str, ...], Callable[..., str]], ...]] = {
    "input": ((("name",), word),),
    "read": ((("name",), word),),
    "tap": ((("name", "offset"), lambda name, offset: f"{word(name)}[{offset}]"),),
    "const": ((("value",), lambda value: show_array(np.asarray(value))),),
    "slice": ((("starts", "stops", "steps"), show_slices),),
    "get": ((("name", "view"), lambda name, view: view if not name else f"{word(name)} {view}"),),
}


def values(items: Iterable[Any]) -> str:
    return f"[{', '.join(map(show_value, items))}]"


def show_value(value: Any) -> str:
    """An attribute's value."""
    match value:
        case bool() | np.bool_():
            return "true" if value else "false"
        case None:
            return "none"
        case str():
            quoted = value in RESERVED or value in DTYPES_WRITTEN
            return json.dumps(value, ensure_ascii=False) if quoted else word(value)
        case int() | np.integer():
            return str(int(value))
        case float():
            return show_real(value, np.dtype("float64"))
        case np.dtype():
            return show_dtype(value)
        case Dim():
            return word(value.name)
        case tuple() | list():
            return values(value)
        case _:
            return json.dumps(str(value))


DTYPES_WRITTEN = frozenset(DTYPE_NAMES.values())


def show_array(array: np.ndarray) -> str:
    """A constant's value: exact, as numbers when it is small."""
    if array.size > MAX_LISTED:
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        return f'base64 "{base64.b64encode(data).decode()}"'
    return _nested(array.shape, iter([show_number(x) for x in array.ravel()]))


def _nested(shape: tuple[int, ...], items: Iterator[str]) -> str:
    if not shape:
        return next(items)
    return f"[{', '.join(_nested(shape[1:], items) for _ in range(shape[0]))}]"


def show_number(x: np.generic) -> str:
    match x.dtype.kind:
        case "b":
            return "true" if x else "false"
        case "f":
            return show_real(x, x.dtype)
        case "c":
            part = x.real.dtype
            return f"({show_real(x.real, part)}, {show_real(x.imag, part)})"
        case "i" | "u":
            return str(int(x))
        case _:
            return json.dumps(str(x))


def show_real(x: Any, dtype: np.dtype) -> str:
    if x != x:
        bits = np.asarray(x, dtype).view(f"u{dtype.itemsize}")
        default = np.asarray(np.nan, dtype).view(f"u{dtype.itemsize}")
        return "nan" if bits == default else f"nan:0x{int(bits):x}"
    if dtype.itemsize < 8:
        # The shortest decimal of a float32 is read through float64, which could round twice.
        short = str(x)
        return short if dtype.type(float(short)) == x else repr(float(x))
    return repr(float(x))
