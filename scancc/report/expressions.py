"""Statements of the scan IR as short expressions in the user's notation: `a * y[t-1]`, `F @ %5`, `%15[0, 1]`.

What moves elements and computes nothing (subscripts, transposes, reshapes, conversions) is written where it is read,
as are constants and non-sequences, so that a picture of a step has a box for each piece of work only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scancc.ir.graph import Graph, Node, users
from scancc.ir.printer import show_dtype

INFIX = {
    "add": "+", "subtract": "-", "multiply": "*", "zero_product": "*", "either_zero_product": "*", "divide": "/",
    "floor_divide": "//", "remainder": "%", "power": "**", "matmul": "@", "less": "<", "less_equal": "<=",
    "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=", "bitwise_and": "&",
    "bitwise_or": "|", "bitwise_xor": "^", "logical_and": "and", "logical_or": "or", "left_shift": "<<",
    "right_shift": ">>",
}  # fmt: skip
PREFIXED = {"negative": "-", "invert": "~", "logical_not": "not "}
SHORT = {"reduce_sum": "sum", "reduce_prod": "prod", "reduce_min": "min", "reduce_max": "max", "reduce_any": "any",
         "reduce_all": "all", "reduce_logsumexp": "logsumexp", "absolute": "abs", "concatenate": "concat"}  # fmt: skip
MOVES = frozenset({"index", "slice", "transpose", "reshape", "broadcast_to", "expect", "flip", "cast", "alias",
                   "stop_gradient", "rows"})  # fmt: skip
LEAVES = frozenset({"const", "read", "step", "dim", "input"})
LONGEST = 26  # characters of an expression that is written inside of another
VIEWS = {"trace": "", "history": " with its first rows", "final": " at the end", "state": " at the end",
         "every": " every so many steps", "length": " made"}  # fmt: skip


def tap_text(name: str, offset: int) -> str:
    return f"{name}[t{offset:+d}]" if offset else f"{name}[t]"


class Expressions:
    """The text of every node of one block. `numbers` are those of the printed IR; `drawn` are nodes with a box."""

    def __init__(self, graph: Graph, numbers: Mapping[Node, int]) -> None:
        self._texts: dict[Node, str] = {}
        readers = users(graph)
        results = set(graph.results.values())
        self.drawn: list[Node] = []
        for node in graph.nodes():
            self._texts[node] = f"%{numbers[node]}"  # also where it is read by the view of a `cond`
            text = self.whole(node)
            alone = len(readers.get(node, ())) == 1 and node not in results
            short = len(text) <= LONGEST and (node.op in MOVES or (node.op in PREFIXED and alone))
            if node.op in LEAVES or node.op in ("tap", "get") or short:
                self._texts[node] = text
            else:
                self.drawn.append(node)

    def of(self, node: Node) -> str:
        """How a node is written where it is read."""
        return self._texts[node]

    def sources(self, roots: Iterable[Node]) -> list[Node]:
        """What values come from, through what is written inside of their readers: nodes with a box, and leaves.

        A `get` is its own source: it says which result of a scan is meant.
        """
        boxes = set(self.drawn)
        found: dict[Node, None] = {}
        stack = list(roots)[::-1]
        while stack:
            n = stack.pop()
            if n in boxes or n.op in LEAVES or n.op in ("tap", "get"):
                found[n] = None
            else:
                stack += reversed(n.args)
        return list(found)

    def whole(self, node: Node) -> str:
        """What a node computes."""
        args = [self._texts[a] for a in node.args]
        match node.op:
            case "const":
                return _constant(np.asarray(node.attrs["value"]))
            case "read" | "input":
                return str(node.attrs["name"])
            case "tap":
                return tap_text(node.attrs["name"], node.attrs["offset"])
            case "step":
                return "t"
            case "dim":
                return f"len({args[0]})"
            case "get":
                return _view(node, args[0])
            case "index":
                return _subscript(args[0], _at(node.attrs["axis"], str(node.attrs["position"])))
            case "slice":
                parts = zip(node.attrs["starts"], node.attrs["stops"], node.attrs["steps"], strict=True)
                return _subscript(args[0], ", ".join(_range(*p) for p in parts))
            case "transpose":
                reverse = list(node.attrs["perm"]) == list(range(node.type.ndim))[::-1]
                return f"{args[0]}.T" if reverse else f"transpose({args[0]})"
            case "flip":
                return f"{args[0]}[::-1]" if tuple(node.attrs["axes"]) == (0,) else f"flip({args[0]})"
            case "reshape" | "broadcast_to" | "expect" | "alias" | "stop_gradient":
                return args[0]
            case "rows":
                return f"{args[0]}[{args[1]}:]"
            case "cast":
                return f"{show_dtype(node.type.dtype)}({args[0]})"
            case "take":
                return f"{args[0]}[{args[1]}]"
            case "iota":
                return "0, 1, 2..."
            case op if op in INFIX and len(args) == 2:
                return f"{_atom(args[0])} {INFIX[op]} {_atom(args[1])}"
            case op if op in PREFIXED:
                return f"{PREFIXED[op]}{_atom(args[0])}"
            case op:
                return f"{SHORT.get(op, op)}({', '.join(args)})"


def _atom(text: str) -> str:
    return f"({text})" if text.startswith(("-", "~", "not ")) and not text[1:].replace(".", "").isdigit() else text


def _constant(value: np.ndarray) -> str:
    if value.ndim == 0:
        x = value[()]
        return str(x.item()) if value.dtype.kind in "biu" else f"{x:.6g}"
    return f"const[{', '.join(map(str, value.shape))}]"


def _at(axis: int, position: str) -> str:
    return ", ".join([":"] * axis + [position])


def _range(start: int | None, stop: int | None, step: int | None) -> str:
    text = f"{'' if start is None else start}:{'' if stop is None else stop}"
    return text if step in (None, 1) else f"{text}:{step}"


def _subscript(text: str, index: str) -> str:
    """A subscript of a subscript joins it where both take one element: S[0][1] is written S[0, 1]."""
    simple = index.lstrip("-").isdigit()
    inner = text.rpartition("[")[2]
    if simple and text.startswith("%") and text.endswith("]") and ":" not in inner:
        return f"{text[:-1]}, {index}]"
    return f"{text}[{index}]"


def _view(node: Node, source: str) -> str:
    view, name = node.attrs["view"], node.attrs["name"]
    if view == "branch":
        return f"{source}.{name}"
    if view.startswith(("last ", "tail ")):
        return f"{name}[-{view[5:]}:]"
    return f"{name or 'steps'}{VIEWS.get(view, ' ' + view)}"
