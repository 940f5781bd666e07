"""Reads the textual form of the scan IR back: the grammar stands in `printer`. show(parse(show(p))) == show(p)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

import numpy as np

from scancc.errors import ScanError
from scancc.ir.build import scan
from scancc.ir.graph import Backward, Carry, Graph, Node, ScanSpec, Sequence
from scancc.ir.ops import OPS
from scancc.ir.types import INT, Dim, Type, dtype_of

TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")
          |(?P<id>%\d+)
          |(?P<nan>nan:0x[0-9a-f]+)
          |(?P<number>-?(?:inf|nan|\d+(?:\.\d*)?(?:e[+-]?\d+)?)(?![\w.]))
          |(?P<word>[^\W\d]\w*(?:\.\w+)*)
          |(?P<mark>[:=\[\](),]))""",
    re.X,
)
END = ("end", "the end of the line")


class ParseError(ScanError, ValueError):
    """Text that is not scan IR."""

BACKWARD = tuple(f.name for f in fields(Backward))


@dataclass
class Line:
    """One line as tokens, with the place of each for errors."""

    number: int
    text: str
    tokens: list[tuple[str, str]] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    at: int = 0

    def __post_init__(self) -> None:
        position = 0
        text = re.sub(r"(?:#|<--).*$", "", self.text) if '"' not in self.text else _without_remark(self.text)
        text = text.rstrip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None:
                self.columns.append(position)
                self.at = len(self.tokens)
                self.fail("there is no such token")
            kind = match.lastgroup
            assert kind is not None
            self.tokens.append((kind, match.group(kind)))
            self.columns.append(match.start(kind))
            position = match.end()

    def fail(self, what: str) -> NoReturn:
        column = self.columns[self.at] if self.at < len(self.columns) else len(self.text)
        raise ParseError(f"line {self.number}: {what}\n  {self.text}\n  {' ' * column}^")

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else END

    def next(self, kind: str | None = None, value: str | None = None) -> str:
        found, text = self.peek()
        if (kind is not None and found != kind) or (value is not None and text != value):
            self.fail(f"{value or kind} expected, not {text!r}" if found != "end" else f"{value or kind} expected")
        self.at += 1
        return text

    def accept(self, value: str) -> bool:
        if self.peek()[1] == value and self.peek()[0] in ("mark", "word"):
            self.at += 1
            return True
        return False

    def name(self) -> str:
        kind, text = self.peek()
        if kind == "string":
            self.at += 1
            return str(json.loads(text))
        return self.next("word")

    def integer(self) -> int:
        text = self.next("number")
        try:
            return int(text)
        except ValueError:
            self.fail(f"an integer expected, not {text}")

    def end(self) -> None:
        if self.peek() != END:
            self.fail("nothing more expected")

    def listed(self, item: Callable[[], Any]) -> tuple[Any, ...]:
        """'[' item {',' item} ']'"""
        self.next("mark", "[")
        items: list[Any] = []
        while not self.accept("]"):
            if items:
                self.next("mark", ",")
            items.append(item())
        return tuple(items)


def _without_remark(text: str) -> str:
    """Strings may contain what starts a remark elsewhere."""
    match = re.match(r'(?:[^"#<]|<(?!--)|"(?:[^"\\]|\\.)*")*', text)
    return match.group(0) if match else text


def parse(text: str) -> Graph:
    """The graph of a program. Raises ParseError (a ValueError) with the line and a caret."""
    return parse_program(text)[1]


def parse_program(text: str) -> tuple[str, Graph]:
    """The name and the graph of a program."""
    lines = iter([line for i, t in enumerate(text.splitlines(), 1) if (line := Line(i, t)).tokens])
    head = next(lines, None)
    if head is None:
        raise ParseError("a program starts with 'program', but the text is empty")
    head.next("word", "program")
    name = head.name()
    head.end()
    graph = _Block(lines, head).read()
    extra = next(lines, None)
    if extra is not None:
        extra.fail("the program has ended")
    return name, graph


class _Block:
    """Statements up to a `return`. Dimensions are known by name in their block."""

    def __init__(self, lines: Iterator[Line], head: Line) -> None:
        self.lines, self.head = lines, head
        self.nodes: dict[str, Node] = {}
        self.inputs: list[Node] = []
        self.defines: dict[str, Node] = {}

    def line(self) -> Line:
        line = next(self.lines, None)
        if line is None:
            self.head.fail("the block that starts here has no return")
        return line

    def read(self) -> Graph:
        while True:
            line = self.line()
            if line.accept("return"):
                return Graph(tuple(self.inputs), self.results(line))
            if line.accept("dim"):
                name = line.name()
                line.next("mark", "=")
                self.defines[name] = self.ref(line)
                line.end()
            else:
                self.statement(line)

    def results(self, line: Line) -> dict[str, Node]:
        results: dict[str, Node] = {}
        while line.peek() != END:
            if results:
                line.next("mark", ",")
            name = line.name()
            line.next("mark", "=")
            results[name] = self.ref(line)
        return results

    def ref(self, line: Line) -> Node:
        text = line.next("id")
        if text not in self.nodes:
            line.at -= 1
            line.fail(f"{text} is not defined in this block")
        return self.nodes[text]

    def statement(self, line: Line) -> None:
        label = line.next("id")
        if line.accept(":"):
            type_ = self.type(line)
            line.next("mark", "=")
            node = self.op(line, type_)
            line.end()
        else:
            line.next("mark", "=")
            keyword = line.next("word")
            if keyword not in ("scan", "cond"):
                line.at -= 1
                line.fail("scan or cond expected; other statements have a type")
            node = self.scan(line) if keyword == "scan" else self.cond(line)
        self.nodes[label] = node

    def dim(self, line: Line) -> int | Dim:
        if line.peek()[0] == "number":
            return line.integer()
        name = line.name()
        return Dim(name, None, self.defines.get(name))

    def type(self, line: Line) -> Type:
        word = line.next("word")
        dtype = dtype_of(word)
        if dtype is None:
            line.at -= 1
            line.fail(f"a dtype expected, not {word}")
        return Type(dtype, line.listed(lambda: self.dim(line)))

    # -- ops -----------------------------------------------------------------------------------------------------
    def op(self, line: Line, type_: Type) -> Node:
        op = line.next("word")
        if op not in OPS or op in ("scan", "cond"):
            line.at -= 1
            line.fail(f"there is no op {op!r}")
        args = []
        while line.peek()[0] == "id":
            args.append(self.ref(line))
        attrs: dict[str, Any] = SYNTAX[op](line, type_) if op in SYNTAX else {}
        while line.peek()[0] == "word":
            key = line.next("word")
            line.next("mark", "=")
            attrs[key] = self.value(line)
        implied = {"shape": type_.shape, "dtype": type_.dtype, "rule": None}
        attrs |= {k: implied[k] for k in OPS[op].attrs if k in implied and k not in attrs}
        node = Node(op, tuple(args), type_, attrs)
        if op == "input":
            self.inputs.append(node)
        return node

    def value(self, line: Line) -> Any:
        kind, text = line.peek()
        if text == "[":
            return line.listed(lambda: self.value(line))
        line.at += 1
        match kind:
            case "string":
                return json.loads(text)
            case "number":
                return float(text) if re.search(r"[.einf]", text) else int(text)
            case "word":
                words: dict[str, Any] = {"true": True, "false": False, "none": None}
                return dtype_of(text) or words.get(text, text)
            case _:
                line.at -= 1
                line.fail("a value expected")

    # -- scan and cond -------------------------------------------------------------------------------------------
    def scan(self, line: Line) -> Node:
        name = line.name()
        line.next("word", "steps")
        steps = self.ref(line)
        strategy = line.next("word") if line.accept("in") else "steps"
        wanted: dict[str, Any] = {}
        while line.peek()[1] in BACKWARD:
            key = line.next("word")
            wanted[key] = self.value(line)
        line.end()
        args: dict[str, list[Node]] = {"sequence": [], "carry": [], "nonseq": []}
        sequences: list[Sequence] = []
        carries: list[Carry] = []
        nonseqs: list[str] = []
        outputs: list[str] = []
        while True:
            part = self.line()
            role = part.next("word")
            if role == "body":
                part.end()
                break
            if role == "output":
                outputs.append(part.name())
                part.end()
                continue
            if role not in args:
                part.at -= 1
                part.fail(f"sequence, carry, nonseq, output or body expected, not {role}")
            label = part.name()
            if role != "nonseq":
                part.next("word", "taps")
                taps = part.listed(part.integer)
                if role == "sequence":
                    sequences.append(Sequence(label, taps))
                else:
                    carries.append(Carry(label, taps))
            else:
                nonseqs.append(label)
            part.next("mark", "=")
            args[role].append(self.ref(part))
            part.end()
        body = _Block(self.lines, part).read()
        spec = ScanSpec(name, tuple(sequences), tuple(carries), tuple(nonseqs), tuple(outputs), body, strategy,
                        Backward(**wanted))
        return scan(spec, (steps, *args["sequence"], *args["carry"], *args["nonseq"]))

    def cond(self, line: Line) -> Node:
        args = [self.ref(line)]
        line.end()
        names: list[str] = []
        part = self.line()
        while part.accept("nonseq"):
            names.append(part.name())
            part.next("mark", "=")
            args.append(self.ref(part))
            part.end()
            part = self.line()
        part.next("word", "then")
        then = _Block(self.lines, part).read()
        other = self.line()
        other.next("word", "else")
        orelse = _Block(self.lines, other).read()
        return Node("cond", tuple(args), INT, {"names": tuple(names), "then": then, "orelse": orelse})


# -- the syntax of single ops --------------------------------------------------------------------------------------


def _tap(line: Line, type_: Type) -> dict[str, Any]:
    name = line.name()
    (offset,) = line.listed(line.integer)
    return {"name": name, "offset": offset}


def _get(line: Line, type_: Type) -> dict[str, Any]:
    if line.peek() in (("word", "length"), ("word", "effects")) and line.at + 1 == len(line.tokens):
        line.at += 1
        return {"name": "", "view": line.tokens[line.at - 1][1]}
    name, view = line.name(), line.next("word")
    if view in ("last", "tail"):
        view = f"{view} {line.integer()}"
    return {"name": name, "view": view}


def _slice(line: Line, type_: Type) -> dict[str, Any]:
    def bound() -> int | None:
        return line.integer() if line.peek()[0] == "number" else None

    def one() -> tuple[int | None, int | None, int | None]:
        start = bound()
        line.next("mark", ":")
        stop = bound()
        return start, stop, line.integer() if line.accept(":") else None

    bounds = line.listed(one)
    starts, stops, steps = zip(*bounds, strict=True) if bounds else ((), (), ())
    return {"starts": starts, "stops": stops, "steps": steps}


def _const(line: Line, type_: Type) -> dict[str, Any]:
    if not type_.is_static:
        line.fail("a constant has a static shape")
    shape = tuple(int(d) for d in type_.shape)  # type: ignore[arg-type]
    if line.accept("base64"):
        data = base64.b64decode(json.loads(line.next("string")))
        little = type_.dtype.newbyteorder("<")
        value = np.frombuffer(data, little).astype(type_.dtype).reshape(shape)
    else:
        value = np.empty(shape, type_.dtype)
        for index, x in zip(np.ndindex(shape), _elements(line, type_.dtype), strict=True):
            value[index] = x
    value.setflags(write=False)
    return {"value": value}


def _elements(line: Line, dtype: np.dtype) -> list[Any]:
    """The numbers of a nested list, in order."""
    if line.peek()[1] == "[":
        return [x for part in line.listed(lambda: _elements(line, dtype)) for x in part]
    if line.accept("("):
        real = _real(line, np.empty(0, dtype).real.dtype)
        line.next("mark", ",")
        imaginary = _real(line, real.dtype)
        line.next("mark", ")")
        pair = np.empty((), dtype)
        pair.real, pair.imag = real, imaginary
        return [pair[()]]
    if dtype.kind == "b":
        return [line.next("word") == "true"]
    return [_real(line, dtype) if dtype.kind == "f" else line.integer()]


def _real(line: Line, dtype: np.dtype) -> Any:
    kind, text = line.peek()
    if kind == "nan":
        line.at += 1
        bits = np.array(int(text.partition(":")[2], 16), f"u{dtype.itemsize}")
        return bits.view(dtype)[()]
    if kind == "word" and text in ("nan", "inf"):
        line.at += 1
        return dtype.type(text)
    return dtype.type(float(line.next("number")))


SYNTAX: dict[str, Callable[[Line, Type], dict[str, Any]]] = {
    "input": lambda line, type_: {"name": line.name()},
    "read": lambda line, type_: {"name": line.name()},
    "tap": _tap,
    "const": _const,
    "slice": _slice,
    "get": _get,
}
