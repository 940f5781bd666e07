"""`theano.function`: a graph of symbolic variables as a compiled function."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc.driver import Programs, compile_graph, execute, options_of
from scancc.errors import ScanTypeError, ScanValueError
from scancc.frontend.location import here
from scancc.frontend.shared import Shared, held, values_of
from scancc.frontend.tracer import Tracer
from scancc.ir import build
from scancc.ir.graph import Graph, Node, mentioned_dims, substitute
from scancc.ir.lengths import scanned_inputs
from scancc.ir.names import fresh_name
from scancc.ir.parser import parse
from scancc.ir.printer import show
from scancc.ir.types import Dim, Type
from scancc.passes.graph.specialise import specialise
from scancc.theano.graphs import is_variable, node_of, pairs, substitution


class MissingInputError(ScanValueError):
    """An output needs a variable that is neither an input nor given."""


class UnusedInputError(ScanValueError):
    """No output needs an input."""


@dataclass(frozen=True)
class In:
    """An input with a default value: `theano.In(x, value=0.0)`."""

    variable: Any
    value: Any = None
    name: str | None = None


def function(
    inputs: Any,
    outputs: Any = None,
    mode: Any = None,
    updates: Any = None,
    givens: Any = None,
    no_default_updates: bool = False,
    name: str | None = None,
    allow_input_downcast: bool | None = None,
    on_unused_input: str = "raise",
    **_: Any,
) -> Function:
    """Compile a graph: a function of `inputs` that returns `outputs`.

    - `inputs`: variables, `In(variable, value=default)`, or pairs (variable, default).
    - `outputs`: a variable, a list or dict of them, or None.
    - `updates`: new values of shared variables, as a dict or pairs; all are computed from the old values.
    - `givens`: variables to replace, as a dict or pairs.
    - `allow_input_downcast`: True takes any dtype; None only Python floats for float32; False neither.
    - `on_unused_input`: 'raise', 'warn' or 'ignore'.

    It is compiled at the first call for the shapes of its arguments; the lengths of sequences and step counts never
    compile anything again. Raises MissingInputError and UnusedInputError (ValueErrors) here, and at a call TypeError or
    ValueError naming the argument.
    """
    return Function(inputs, outputs, updates, givens, no_default_updates, name, allow_input_downcast, on_unused_input)


class Function:
    """A compiled graph: see `function`. It pickles, with the values of its shared variables."""

    def __init__(self, inputs: Any, outputs: Any, updates: Any, givens: Any, no_default_updates: bool,
                 name: str | None, allow_input_downcast: bool | None, on_unused_input: str) -> None:  # fmt: skip
        self.name = name
        self.downcast = allow_input_downcast
        declared = [_input(i) for i in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
        self.inputs = [(node_of(i.variable), i.value) for i in declared]
        for i, (node, _) in zip(declared, self.inputs, strict=True):
            if node.op != "input" or "bound" in node.attrs:
                raise ScanTypeError(f"an input of a function is a symbolic variable, not {i.variable!r}", here())
        if len({n for n, _ in self.inputs}) < len(self.inputs):
            raise ScanValueError("a variable is an input of the function twice", here())
        self.form: Any = list(outputs) if isinstance(outputs, Mapping) else outputs if outputs is None else (
            "list" if isinstance(outputs, (list, tuple)) else "one"
        )
        values = [] if outputs is None else list(outputs.values()) if isinstance(outputs, Mapping) else (
            list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        )
        results = {f"output_{i}": node_of(v) for i, v in enumerate(values)}
        changed: dict[Shared, Node] = {}
        for shared, value in pairs(updates):
            if not isinstance(shared, Shared):
                raise ScanTypeError(f"updates are of shared variables, not of {shared!r}", here())
            if shared in changed:
                raise ScanValueError(f"{shared} is updated twice", here())
            changed[shared] = _new_value(shared, node_of(value))
        if not no_default_updates:
            _add_defaults(changed, results)
        self.updates = {f"update_{i}": shared for i, shared in enumerate(changed)}
        results |= dict(zip(self.updates, changed.values(), strict=True))
        changes = dict(substitution(a, b) for a, b in pairs(givens))
        mapping = substitute(results.values(), changes)
        graph = Graph((), {k: mapping[v] for k, v in results.items()})
        self._take(graph, on_unused_input)

    def _take(self, graph: Graph, on_unused_input: str) -> None:
        known = [n for n, _ in self.inputs]
        leaves = [n for n in graph.nodes() if n.op == "input"]
        # A variable may be needed for the lengths of its axes alone.
        lengths = {d for n in graph.nodes() for d in mentioned_dims(n) if d.define is None}
        leaves += [n for n in known if n not in leaves and lengths & set(n.type.shape)]
        for leaf in leaves:
            if leaf not in known and "bound" not in leaf.attrs:
                raise MissingInputError(f"the outputs need '{leaf.attrs['name']}' ({leaf.type})", here(),
                                        "every variable is an input, given, or shared", "add it to the inputs")
        for node in known:
            if node not in leaves:
                text = f"the outputs do not need the input '{node.attrs['name']}'"
                if on_unused_input == "raise":
                    raise UnusedInputError(text, here(), fix="pass on_unused_input='ignore'")
                if on_unused_input == "warn":
                    warnings.warn(text, stacklevel=4)
        bound = {n: n.attrs["bound"] for n in leaves if "bound" in n.attrs}
        named = _named([*known, *bound])
        mapping = substitute(graph.results.values(), named)
        self.inputs = [(named[n], default) for n, default in self.inputs]
        self.bound = {named[n]: b for n, b in bound.items()}
        self.graph = Graph(tuple(named.values()), {k: mapping[v] for k, v in graph.results.items()})
        self.sequences = scanned_inputs(self.graph)
        self.programs = Programs()

    # -- calls ---------------------------------------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        arrays = self._arguments(args, kwargs)
        with held(self.updates.values()):
            bound = values_of({n.attrs["name"]: b for n, b in self.bound.items()})
            given = {n.attrs["name"]: a for (n, _), a in zip(self.inputs, arrays, strict=True)} | bound
            program = self._program(given)
            results = execute(lambda: program, self.graph, given, self.updates)
        values = [results[k] for k in results if k not in self.updates]
        if isinstance(self.form, list):
            return dict(zip(self.form, values, strict=True))
        return values[0] if self.form == "one" else values

    def _program(self, given: Mapping[str, np.ndarray]) -> Any:
        shapes = {}
        for n in self.graph.inputs:
            steps = self.sequences.get(n)
            shapes[n] = tuple(None if axis == steps else d for axis, d in enumerate(given[n.attrs["name"]].shape))
        return self.programs.get(tuple(shapes.values()), lambda: self._compile(shapes))

    def _compile(self, shapes: Mapping[Node, tuple]) -> Any:
        inputs: dict[Node, Node] = {}
        for n, shape in shapes.items():
            old = n.type.shape
            new = tuple(o if s is None and isinstance(o, Dim) else s for o, s in zip(old, shape, strict=True))
            inputs[n] = build.make("input", type=Type(n.type.dtype, new), name=n.attrs["name"])
        graph = specialise(self.graph, inputs)
        name = self.name if self.name and self.name.isidentifier() else "function"
        return compile_graph(graph, name, options_of())

    def _arguments(self, args: tuple, kwargs: dict[str, Any]) -> list[np.ndarray]:
        names = [n.attrs["name"] for n, _ in self.inputs]
        if len(args) > len(names):
            raise ScanTypeError(f"the function takes {len(names)} arguments, {len(args)} were given", here())
        given = dict(zip(names, args, strict=False))
        for k, v in kwargs.items():
            if k not in names or k in given:
                raise ScanTypeError(f"the function has no argument {k!r} left", here(),
                                    f"its arguments are {', '.join(names)}")
            given[k] = v
        arrays = []
        for node, default in self.inputs:
            name = node.attrs["name"]
            value = given.get(name, default)
            if value is None:
                raise ScanTypeError(f"the argument '{name}' is missing", here())
            arrays.append(_converted(value, node, self.downcast))
        return arrays

    def get_shared(self) -> list[Shared]:
        """The shared variables that the function reads or updates."""
        return list(dict.fromkeys([*(b for b in self.bound.values() if isinstance(b, Shared)), *self.updates.values()]))

    # -- inspection ----------------------------------------------------------------------------------------------
    def lower(self, *args: Any, **kwargs: Any) -> Any:
        """The compiled program for arguments like these: `.source()`, `.explain()`..."""
        from scancc.inspection import Inspection

        arrays = self._arguments(args, kwargs)
        given = {n.attrs["name"]: a for (n, _), a in zip(self.inputs, arrays, strict=True)}
        found = Inspection()
        found.compiled = self._program(given | values_of({n.attrs["name"]: b for n, b in self.bound.items()}))
        return found

    # -- pickling: the graph as text, which is how it is defined ---------------------------------------------------
    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.name, "downcast": self.downcast, "form": self.form, "updates": self.updates,
            "graph": show(self.graph), "inputs": [(n.attrs["name"], default) for n, default in self.inputs],
            "bound": {n.attrs["name"]: b for n, b in self.bound.items()},
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.name, self.downcast, self.form, self.updates = (state[k] for k in ("name", "downcast", "form", "updates"))
        graph = parse(state["graph"])
        by_name = {n.attrs["name"]: n for n in graph.inputs}
        self.inputs = [(by_name[name], default) for name, default in state["inputs"]]
        self.bound = {by_name[name]: b for name, b in state["bound"].items()}
        self.graph = graph
        self.sequences = scanned_inputs(graph)
        self.programs = Programs()


def _named(inputs: list[Node]) -> dict[Node, Node]:
    """Inputs with names of their own, the variables' names where they differ."""
    taken: set[str] = set()
    named: dict[Node, Node] = {}
    for node in inputs:
        base = node.attrs["name"] if node.attrs["name"].isidentifier() else "value"
        name = fresh_name(base, taken)
        named[node] = node if name == node.attrs["name"] else build.make("input", type=node.type, name=name)
    return named


def _input(given: Any) -> In:
    if isinstance(given, In):
        return given
    if isinstance(given, (tuple, list)) and len(given) == 2 and is_variable(given[0]):
        return In(*given)
    return In(given)


def _new_value(shared: Shared, node: Node) -> Node:
    if node.type.ndim != shared.ndim:
        raise ScanTypeError(f"{shared} is updated with a value of {node.type.ndim} axes", here())
    if not np.can_cast(node.type.dtype, shared.dtype, "safe"):
        raise ScanTypeError(f"{shared} is updated with a value of dtype {node.type.dtype}", here(),
                            "a shared variable keeps its dtype", f'write the value with .astype("{shared.dtype}")')
    return build.cast(node, shared.dtype)


def _add_defaults(changed: dict[Shared, Node], results: Mapping[str, Node]) -> None:
    """Shared variables that bring their own update, as those of random streams do."""
    while True:
        graph = Graph((), {**results, **{f"u{i}": n for i, n in enumerate(changed.values())}})
        bound = [n.attrs["bound"] for n in graph.nodes() if n.op == "input" and "bound" in n.attrs]
        new = [b for b in bound if isinstance(b, Shared) and b.default_update is not None and b not in changed]
        if not new:
            return
        for b in new:
            assert isinstance(b.default_update, Tracer)
            changed[b] = node_of(b.default_update)


def _converted(value: Any, node: Node, downcast: bool | None) -> np.ndarray:
    """An argument as an array of the variable's dtype and rank, converted only where nothing is lost."""
    want, name = node.type.dtype, node.attrs["name"]
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise ScanTypeError(f"the argument '{name}' is {value!r}, not an array of numbers", here())
    if array.ndim != node.type.ndim:
        raise ScanTypeError(f"the argument '{name}' has {array.ndim} axes, the variable {node.type.ndim}", here())
    for axis, (d, n) in enumerate(zip(node.type.shape, array.shape, strict=True)):
        if isinstance(d, int) and d != n:
            raise ScanValueError(f"the argument '{name}' has length {n} along axis {axis}, not {d}", here())
    if array.dtype == want:
        return array
    python = not isinstance(value, (np.ndarray, np.generic))
    fine = np.can_cast(array.dtype, want, "safe") or bool(downcast)
    if not fine and python and array.dtype.kind in "iu" and want.kind in "iufc":
        # Python's integers have no width: those that fit are exact.
        fine = want.kind in "fc" or (array.size == 0 or bool(np.all(array == array.astype(want))))
    if not fine and python and downcast is None and array.dtype.kind == "f" and want.kind in "fc":
        fine = array.ndim == 0
    if not fine:
        raise ScanTypeError(
            f"the argument '{name}' is {array.dtype}, the variable {want}", here(), "a conversion must lose nothing",
            f'convert it with .astype("{want}"), or pass allow_input_downcast=True to function',
        )  # fmt: skip
    with np.errstate(all="ignore"):
        return array.astype(want)
