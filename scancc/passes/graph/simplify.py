"""Folds constants and applies identities that hold bit for bit; others only under `fastmath`.

    before   %2 = power %x (const 2.0); %4 = multiply %2 (const 1.0); %5 = reshape (reshape %4)
    after    %2 = multiply %x %x;       %5 = reshape %2

Exact means exact for every operand, signed zeros and NaNs included: x - 0.0 is x, but x + 0.0 is not (it turns -0.0
into 0.0). Lengths of axes become the scalars that define them, so that later passes see equal lengths as one node.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scancc import interpreter
from scancc.ir import build
from scancc.ir.graph import Graph, Node, map_bodies, rewrite
from scancc.ir.ops import OPS
from scancc.ir.types import Dim, is_half
from scancc.passes.graph.transposes import elementwise_of_transposed, view_of_transposed

MAX_FOLDED = 16  # elements of a constant that is worth making: what stays in registers
Rule = Callable[[Node], Node | None]


def simplify(graph: Graph, fastmath: bool = False) -> Graph:
    rules = (*EXACT, *(FAST if fastmath else ()))

    def apply(node: Node) -> Node | None:
        node = map_bodies(node, lambda body: simplify(body, fastmath))
        changed: Node = node
        for _ in range(8):  # one rewrite may enable another; chains end quickly
            found = next((new for rule in rules if (new := rule(changed)) is not None and new is not changed), None)
            if found is None:
                break
            changed = found
        return changed

    return rewrite(graph, apply)


def value_of(node: Node) -> np.ndarray | None:
    return node.attrs["value"] if node.op == "const" else None


def uniform(node: Node) -> np.generic | None:
    """The one value of a constant whose elements are all alike."""
    while node.op == "broadcast_to":
        node = node.args[0]
    value = value_of(node)
    if value is None or value.size == 0:
        return None
    flat = value.ravel()
    first: np.generic = flat[0]
    return first if flat.size == 1 or all(x.tobytes() == first.tobytes() for x in flat) else None


def _fold(node: Node) -> Node | None:
    """Evaluate an op whose operands are all constants, by the interpreter: the definition of every op."""
    kind = OPS[node.op].kind
    foldable = kind in ("elementwise", "view", "reduce", "contract") and node.op not in ("wrap_index", "expect")
    if not foldable or not node.args:
        return None
    size = node.type.size
    if size is None or size > MAX_FOLDED or any(a.op != "const" for a in node.args):
        return None
    if node.op == "reshape" and any(isinstance(d, Dim) for d in node.attrs["shape"]):
        return None
    with np.errstate(all="ignore"):
        try:
            value = interpreter.EVALUATE[node.op](*(a.attrs["value"] for a in node.args), **node.attrs)
        except ValueError:  # e.g. the minimum of nothing: an error when it runs, not now
            return None
    return build.const(np.asarray(value, node.type.dtype), loc=node.loc)


def _identity(node: Node) -> Node | None:
    """x * 1, x / 1, x - 0, integer x + 0, x ** 1, c and true: the operand, where it has the type of the result."""
    if node.op not in IDENTITIES:
        return None
    a, b = node.args
    right, commutes, only_exact = IDENTITIES[node.op]
    if node.type.dtype.kind in "fc" and not only_exact:
        return None
    if node.type.dtype.kind == "c" and node.op != "subtract":
        return None  # (inf + 0j) * (1 + 0j) is inf + nan j: one part times the other's zero
    for x, c in ((a, b), (b, a)) if commutes else ((a, b),):
        neutral = uniform(c)
        if neutral is not None and x.type == node.type and neutral == right and not np.signbit(np.real(neutral)):
            return x
    return None


# op -> (neutral operand, whether it may stand on either side, whether the identity is exact for floats)
IDENTITIES: dict[str, tuple[int, bool, bool]] = {
    "add": (0, True, False),
    "subtract": (0, False, True),
    "multiply": (1, True, True),
    "divide": (1, False, True),
    "power": (1, False, True),
    "bitwise_or": (0, True, True),
    "bitwise_xor": (0, True, True),
    "logical_and": (1, True, True),
    "logical_or": (0, True, True),
    "left_shift": (0, False, True),
    "right_shift": (0, False, True),
}


def _power(node: Node) -> Node | None:
    """x ** 2 is x * x, as NumPy computes it; x ** -1 is 1 / x; x ** 0 is 1 even for NaN."""
    if node.op != "power" or node.type.dtype.kind not in "fiu" or node.args[0].type != node.type:
        return None
    x, exponent = node.args[0], uniform(node.args[1])
    if exponent is None:
        return None
    if exponent == 2:
        return build.make("multiply", x, x, loc=node.loc)
    if exponent == 0:
        return build.broadcast_to(build.const(1, node.type.dtype), node.type.shape, node.loc)
    if exponent == -1 and node.type.dtype.kind == "f":
        return build.make("divide", build.const(1, node.type.dtype), x, loc=node.loc)
    return None


def _zero_product(node: Node) -> Node | None:
    """A product with a number that is finite and not 0 needs no care for zeros."""
    if node.op not in ("zero_product", "either_zero_product"):
        return None
    for a in node.args:
        number = uniform(a)
        if number is not None and np.isfinite(number) and number != 0:
            return build.make("multiply", *node.args, loc=node.loc)
    return None


def _involution(node: Node) -> Node | None:
    """-(-x), ~~x, conj(conj(x)): x. A cast to the dtype that is there already, too."""
    if node.op in ("negative", "invert", "conjugate", "logical_not") and node.args[0].op == node.op:
        inner = node.args[0].args[0]
        return inner if inner.type == node.type else None
    if node.op == "cast" and node.args[0].type == node.type:
        return node.args[0]
    if node.op == "cast" and node.args[0].op == "cast" and is_half(node.type.dtype):
        inner = node.args[0].args[0]  # 16 bits, made 32 and 16 again
        return inner if inner.type == node.type else None
    return None


def _choice(node: Node) -> Node | None:
    """where with a constant condition, or with equal branches."""
    if node.op != "where":
        return None
    condition, a, b = node.args
    if a is b and a.type == node.type:
        return a
    known = uniform(condition)
    if known is None:
        return None
    chosen = a if known else b
    return build.broadcast_to(chosen, node.type.shape, node.loc)


def _view_of_view(node: Node) -> Node | None:
    """Views that undo one another or do nothing."""
    if OPS[node.op].kind != "view":
        return None
    inner = node.args[0]
    same_type = inner.type == node.type
    if node.op in ("alias", "stop_gradient") or (node.op == "rows" and same_type):
        return inner
    if node.op in ("reshape", "broadcast_to", "expect") and same_type:
        return inner
    if node.op == "slice" and same_type and set(node.attrs["starts"]) | set(node.attrs["stops"]) == {None} and all(
        s in (None, 1) for s in node.attrs["steps"]
    ):
        return inner
    if node.op == "transpose" and node.attrs["perm"] == tuple(range(node.type.ndim)):
        return inner
    if inner.op != node.op:
        return None
    below = inner.args[0]
    if node.op == "flip" and sorted(node.attrs["axes"]) == sorted(inner.attrs["axes"]):
        return below
    if node.op == "transpose":
        perm = tuple(inner.attrs["perm"][p] for p in node.attrs["perm"])
        return build.make("transpose", below, loc=node.loc, perm=perm)
    if node.op in ("reshape", "broadcast_to"):
        return build.make(node.op, below, loc=node.loc, shape=node.attrs["shape"])
    return None


def _one_number(node: Node) -> Node | None:
    """An element-wise op on numbers that are broadcast is computed once, and its result broadcast."""
    if node.op == "broadcast_to" and node.args[0].type.size == 1 and node.args[0].type.ndim:
        return build.broadcast_to(build.reshape(node.args[0], (), node.loc), node.type.shape, node.loc)
    if OPS[node.op].kind != "elementwise" or node.op == "wrap_index" or not node.type.shape:
        return None
    numbers = [a.args[0] if a.op == "broadcast_to" else a for a in node.args]
    if any(x.type.shape for x in numbers):
        return None
    attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
    return build.broadcast_to(build.make(node.op, *numbers, loc=node.loc, **attrs), node.type.shape, node.loc)


def _reversed_rows(node: Node) -> Node | None:
    """Rows of a reversed array are reversed rows of it. A product whose inner axis is reversed on one side is one with
    the other side reversed: the order in which it sums is not specified, and what a loop made may be stored either way.
    """
    if node.op == "rows" and _upside_down(node.args[0]):
        x, start = node.args[0].args[0], node.args[1]
        ahead = build.make("subtract", build.dim_of(x, 0), build.make("add", start, build.dim_of(node, 0)))
        first = build.integer(0) if _adds_up(x, start, node) else ahead
        rows = build.rows(x, first, node.type.shape[0], node.loc)
        return build.make("flip", rows, loc=node.loc, axes=(0,))
    if node.op == "matmul" and node.args[0].op == "transpose" and node.args[0].type.ndim == 2:
        a, b = node.args[0].args[0], node.args[1]
        if _upside_down(a) and b.type.ndim == 2:
            other = b.args[0] if _upside_down(b) else build.make("flip", b, loc=node.loc, axes=(0,))
            left = build.make("transpose", a.args[0], loc=node.loc, perm=(1, 0))
            return build.make("matmul", left, other, loc=node.loc)
    return None


def _upside_down(x: Node) -> bool:
    return x.op == "flip" and x.attrs["axes"] == (0,)


def _adds_up(x: Node, start: Node, node: Node) -> bool:
    """Whether the rows from `start` on are all that follow: where one length is seen to be the other plus `start`."""
    d = x.type.shape[0]
    if not isinstance(d, Dim) or d.define is None or start.op != "const" or d.define.op != "add":
        return False
    rows, more = d.define.args
    n = node.type.shape[0]
    of_an_axis = rows.op == "dim" and rows.args[0].type.shape[rows.attrs["axis"]] == n
    same = isinstance(n, Dim) and (n.define is rows or of_an_axis)
    return same and more.op == "const" and bool(more.attrs["value"] == start.attrs["value"])


def _custom(node: Node) -> Node | None:
    """A value with a derivative of its own is the value."""
    if node.op != "get" or node.args[0].op != "custom":
        return None
    return node.args[0].args[int(node.attrs["name"].removeprefix("out"))]


def _length(node: Node) -> Node | None:
    """The length of an axis: a constant, the scalar that defines it, or the length of what it comes from.

    A length must not keep alive the array it is asked of.
    """
    if node.op != "dim":
        return None
    axis: int = node.attrs["axis"]
    (source,) = node.args
    d = source.type.shape[axis]
    if isinstance(d, int):
        return build.integer(d, node.loc)
    if d.define is not None:
        return d.define
    if source.op == "get":
        return build.length(source.args[0], node.loc) if source.attrs["view"] == "trace" and axis == 0 else None
    origin = next((a for a in source.args if d in a.type.shape), None)
    return None if origin is None else build.make("dim", origin, loc=node.loc, axis=origin.type.shape.index(d))


def _fast(node: Node) -> Node | None:
    """x + 0.0 -> x; x / c -> x * (1 / c), where that is an ordinary number; x ** 3 -> x * x * x."""
    if node.type.dtype.kind != "f":
        return None
    if node.op == "add":
        for x, c in (node.args, node.args[::-1]):
            if x.type == node.type and uniform(c) == 0:
                return x
    if node.op == "divide" and node.args[1].op == "const":
        with np.errstate(all="ignore"):
            inverse = np.asarray(1 / node.args[1].attrs["value"], node.type.dtype)
        if np.all(np.isfinite(inverse) & (np.abs(inverse) >= np.finfo(inverse.dtype).tiny)):
            return build.make("multiply", node.args[0], build.const(inverse, node.type.dtype), loc=node.loc)
    if node.op == "power" and uniform(node.args[1]) in (3, 4) and node.args[0].type == node.type:
        x = node.args[0]
        square = build.make("multiply", x, x, loc=node.loc)
        return build.make("multiply", square, x if uniform(node.args[1]) == 3 else square, loc=node.loc)
    return None


EXACT: tuple[Rule, ...] = (_fold, _identity, _power, _zero_product, _involution, _choice, _view_of_view, _one_number,
                           _length, _custom, _reversed_rows, view_of_transposed, elementwise_of_transposed)
FAST: tuple[Rule, ...] = (_fast,)
