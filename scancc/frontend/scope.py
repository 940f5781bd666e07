"""Scopes: the graphs under construction, and how a value of an outer one is captured by an inner one.

A program has a root scope; every step function or branch that is being traced has one of its own, closed but for
what it captures. Capturing goes one scope at a time, so nested steps hand a value down through every level:

    root: %w = input w          step: read captured_w          inner step: read captured_w
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scancc.collector import PAUSED
from scancc.errors import ScanTypeError, ScanValueError, TracedValueError
from scancc.frontend.location import here
from scancc.ir.build import cast, const, make
from scancc.ir.graph import EFFECT, Node
from scancc.ir.types import Dim, Shape, Type, is_half, supported, widened
from scancc.locks import lock


@dataclass(eq=False)
class Scope:
    name: str
    parent: Scope | None = None
    strict: bool = False  # captures are errors
    captures: dict[Node, Node] = field(default_factory=dict)  # outer node -> read in this scope
    origins: dict[Node, Node] = field(default_factory=dict)  # reads of non-sequences -> what they are outside
    used_names: set[str] = field(default_factory=set)
    updates: dict[Any, Node] = field(default_factory=dict)  # shared variables with the values they have by now
    effects: list[Node] = field(default_factory=list)  # checks and prints, in their order
    # root only
    operations: int = 0  # that were traced, in the scopes within it, too
    sites: list[Any] = field(default_factory=list)  # where effects were asked for: their numbers
    inputs: list[Node] = field(default_factory=list)
    narrowed: dict[str, list[Any]] = field(default_factory=dict)  # integers of Python by input, as which dtypes, where
    bound: dict[str, Any] = field(default_factory=dict)  # captured arrays by input name
    constants: list[np.ndarray] = field(default_factory=list)  # numbers and lists of them, in the order of their use
    made_numbers: list[np.generic] = field(default_factory=list)  # those among them that NumPy has made
    varying: frozenset[int] = frozenset()  # which constants are inputs of the program
    _counts: dict[str, int] = field(default_factory=dict)
    _by_id: dict[int, Node] = field(default_factory=dict)
    _wide: dict[Node, Node] = field(default_factory=dict)  # values of 16 bits, as they are captured
    closed: bool = False
    control_flow: bool = True  # whether Python's may be rewritten
    together: bool = False  # whether rows of a batch that leave a loop apart should go through it together
    asked: bool = False  # whether Python asked for a traced value

    @property
    def closes(self) -> bool:
        """Whether its trace comes to an end."""
        return True

    @property
    def root(self) -> Scope:
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def unique(self, base: str) -> str:
        """A name not used in this scope yet: `base`, or `base_2`, `base_3`..."""
        base = base if base.isidentifier() else "value"
        name, n = base, self._counts.get(base, 1)
        while name in self.used_names:
            n += 1
            name = f"{base}_{n}"
        self._counts[base] = n
        self.used_names.add(name)
        return name

    def new_dim(self, base: str, hint: int | None = None, define: Node | None = None) -> Dim:
        return Dim(self.root.unique(base), hint, define)

    def add_input(self, name: str, dtype: np.dtype, shape: Shape) -> Node:
        node = make("input", type=_input_type(name, dtype, shape), name=self.unique(name))
        self.inputs.append(node)
        return node

    def capture_array(self, array: np.ndarray) -> Node:
        """An array that the step found by itself becomes an input of the program, bound to that very object."""
        root = self.root
        if any(s.strict for s in self.chain()):
            raise ScanValueError(
                f"strict=True, but the step uses a captured array of shape {array.shape} and dtype {array.dtype}",
                here(),
                "under strict=True every array reaches the step through its arguments",
                "pass it in non_sequences",
            )
        if id(array) not in root._by_id:
            node = root.add_input("captured", array.dtype, array.shape)
            root.bound[node.attrs["name"]] = array  # keeps the array alive, so its id stays its own
            root._by_id[id(array)] = node
        return self.bring(root._by_id[id(array)], root)

    def constant(self, array: np.ndarray, value: Any) -> Node:
        """What a number or a list of numbers is in the program: a constant, or an input where it varies."""
        root = self.root
        position = len(root.constants)
        root.constants.append(array)
        if isinstance(value, np.generic):
            root.made_numbers.append(value)
        if position not in root.varying:
            return const(array, loc=here())
        node = root.add_input("number", array.dtype, array.shape)
        root.bound[node.attrs["name"]] = array
        return self.bring(node, root)

    def value_of(self, shared: Any) -> Node:
        """A shared variable as it is at this point: the value that the innermost scope gave it, or an input."""
        for s in self.chain():
            if shared in s.updates:
                return self.bring(s.updates[shared], s)
        root = self.root
        if any(s.strict for s in self.chain()):
            raise ScanValueError(f"strict=True, but the step uses the captured {shared}", here(),
                                 "under strict=True every array reaches the step through its arguments",
                                 "pass it in non_sequences")
        return self.bring(root.input_of(shared), root)

    def input_of(self, shared: Any) -> Node:
        """The input of the program that a shared variable is."""
        if id(shared) not in self._by_id:
            node = self.add_input(shared.name or "shared", shared.dtype, shared.shape)
            self.bound[node.attrs["name"]] = shared
            self._by_id[id(shared)] = node
        return self._by_id[id(shared)]

    def effect_results(self) -> dict[str, Node]:
        """Effects as results of the graph that is traced here: they come before the values."""
        return {f"{EFFECT}{i}": node for i, node in enumerate(self.effects)}

    def mark(self) -> Callable[[], None]:
        """A function that takes back what is traced from here on in this scope and those around it."""
        self.root.asked = False
        kept = [(s, dict(s.updates), [len(getattr(s, name)) for name in GROWING]) for s in self.chain() if s.closes]

        def take_back() -> None:
            for scope, updates, lengths in kept:
                scope.updates = updates
                for name, length in zip(GROWING, lengths, strict=True):
                    _cut(getattr(scope, name), length)

        return take_back

    def chain(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def bring(self, node: Node, home: Scope) -> Node:
        """`node` of scope `home` as a node of this scope."""
        if home is self:
            return node
        if self.parent is None or home.closed:
            raise TracedValueError(
                "a traced value is used outside the step function that made it",
                here(),
                "values of a step exist only while the step runs",
                "return the value from the step and use the scan's output",
            )
        outer = self.parent.bring(node, home)
        if outer.op == "const" and outer.type.size == 1:
            return outer if outer.type.shape == () else make("const", type=outer.type, value=outer.attrs["value"])
        if is_half(outer.type.dtype):
            outer = self._wide.setdefault(outer, cast(outer, widened(outer.type.dtype)))
        if outer not in self.captures:
            name = self.unique(f"captured_{outer.attrs.get('name', outer.op)}")
            # A body introduces its run-time lengths by itself: same name, no definition.
            shape = tuple(Dim(d.name, d.hint) if isinstance(d, Dim) else d for d in outer.type.shape)
            self.captures[outer] = make("read", type=outer.type.with_shape(shape), name=name, loc=here())
        return self.captures[outer]


def _input_type(name: str, dtype: np.dtype, shape: Shape) -> Type:
    if not supported(dtype):
        raise ScanTypeError(
            f"'{name}' has dtype {dtype}",
            rule="arrays are bool, integers, float16, bfloat16, float32, float64, complex64 or complex128",
            fix=f"convert it first, for example {name}.astype('float64')",
        )
    return Type(dtype.newbyteorder("="), shape)  # arrays are converted on their way into the kernel


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []


_stack = _Stack()
# Scopes that are entered, in whichever thread, and what else calls have to ask their thread or context about: while it
# is empty they need not.
UNUSUAL: list[object] = []


def current() -> Scope | None:
    """The innermost scope being traced in this thread, or None."""
    return _stack.scopes[-1] if _stack.scopes else None


@contextmanager
def entered(scope: Scope) -> Iterator[Scope]:
    UNUSUAL.append(scope)
    _stack.scopes.append(scope)
    try:
        with PAUSED:
            yield scope
    finally:
        _stack.scopes.pop()
        UNUSUAL.remove(scope)
        scope.closed = scope.closes


# What a scope only adds to while it is traced.
GROWING = ("captures", "origins", "effects", "sites", "inputs", "bound", "constants", "made_numbers", "_by_id", "_wide")


def _cut(grown: Any, length: int) -> None:
    """A list or dict without what was added after it had this length."""
    while len(grown) > length:
        grown.popitem() if isinstance(grown, dict) else grown.pop()


class SymbolicScope(Scope):
    """Where graphs are built outside of any trace, as in Theano. It keeps nothing: a graph lives as long as its values.

    What a program needs besides its inputs is noted on the input itself, as its attribute `bound`.
    """

    @property
    def closes(self) -> bool:
        return False

    def add_input(self, name: str, dtype: np.dtype, shape: Shape, bound: Any = None) -> Node:
        # Variables keep the names that the user gave them; a function tells equal ones apart.
        attrs = {"name": name} if bound is None else {"name": name, "bound": bound}
        return make("input", type=_input_type(name, dtype, shape), **attrs)

    def capture_array(self, array: np.ndarray) -> Node:
        if array.size <= CONSTANT_ELEMENTS:
            return const(array, loc=here())
        return self.add_input("captured", array.dtype, array.shape, array)

    def constant(self, array: np.ndarray, value: Any) -> Node:
        return const(array, loc=here())

    def input_of(self, shared: Any) -> Node:
        with self.lock:
            if shared.symbol is None:
                name = shared.name or "shared"
                shape = tuple(self.new_dim(f"{name}_{i}", n) for i, n in enumerate(shared.shape))
                shared.symbol = self.add_input(name, shared.dtype, shape, shared)
        node: Node = shared.symbol
        return node

    def unique(self, base: str) -> str:
        with self.lock:
            return super().unique(base)

    lock = lock()


CONSTANT_ELEMENTS = 64
SYMBOLIC = SymbolicScope("symbolic")
