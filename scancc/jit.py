"""`sc.jit`: whole NumPy functions that contain scans, compiled as one program.

The function is traced once to see which inputs scans run over. Those axes are lengths that never compile
anything again; every other length is part of the signature. Where the function asks Python for such a length, as in
`np.zeros(x.shape)`, all lengths are. Then it is traced as it is compiled.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scancc import varying
from scancc.arrays import as_argument, as_kernel_array, on_host, refuse_large
from scancc.backends.guards import MISS, Guard, Leaf
from scancc.backends.program import Program
from scancc.call_forms import CallForm, Static, taken_apart
from scancc.driver import NANS, Programs, RecentCalls, compile_graph, execute, options_of
from scancc.errors import LengthError, ScanOverflowError, ScanTypeError, TracedValueError, UnsupportedError
from scancc.frontend import pytrees
from scancc.frontend.calling import call
from scancc.frontend.captures import Captures
from scancc.frontend.location import name_of, of_function
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.pytrees import flatten, source_of, unflatten
from scancc.frontend.reachable import captures_of
from scancc.frontend.scan_arguments import parameters_of
from scancc.frontend.scope import SYMBOLIC, UNUSUAL, Scope, current, entered
from scancc.frontend.shared import Shared, kinds_of, values_of
from scancc.frontend.tracer import Tracer, as_stored, is_traced
from scancc.inspection import Inspection
from scancc.ir.graph import Graph, Node, graphs_within
from scancc.ir.lengths import scanned_inputs
from scancc.ir.types import supported
from scancc.locks import made_once
from scancc.methods import Methods
from scancc.passes.pipeline import Options
from scancc.pickling import PickledByName

# Types of arguments that are what they are: not traced, not on a device, no containers.
PLAIN = frozenset({np.ndarray, float, int, bool, complex, np.float64, np.float32, np.int64, np.int32, np.bool_})


# Of each leaf of the arguments whether it is an int, a float or a complex of Python: those take the dtype of what they
# meet; and the form of the call, or None where all arguments are arrays and numbers, by position.
Numbers = tuple[tuple[type | None, ...], CallForm | None]
OF_PYTHON = frozenset({int, float, complex})
INT64 = range(-(2**63), 2**63)  # an integer beyond it has a dtype of its own


def _numbers(leaves: Sequence[Any], form: CallForm | None = None) -> Numbers:
    kinds = [type(a) if type(a) in OF_PYTHON and (type(a) is not int or a in INT64) else None for a in leaves]
    return tuple(kinds), form


class JitFunction(PickledByName):
    """A compiled function. Called as `fn` is, with arrays, numbers and containers of them; returns what `fn` returns.

    `static` says which arguments are no arrays: the function is compiled for each of their values.
    """

    def __init__(
        self, fn: Callable, options: Options, control_flow: bool = True, static: tuple[Any, Any] = ((), ()),
        name: str | None = None,
    ) -> None:  # fmt: skip
        self.fn = fn
        self.control_flow = control_flow
        self.options = options
        self.static = Static(fn, *static)
        self.name = name or name_of(fn, "function")
        named = (n for n in ("mode", "stream") if n in parameters_of(fn))
        self._own = frozenset(named)  # arguments of the function's that go by a name that a call has, too
        self.programs = Programs()
        self._open: dict[tuple, tuple[int | None, ...]] = {}  # by dtypes and ranks: which axis stays open
        self._recent = RecentCalls()
        functools.update_wrapper(self, fn, updated=())

    def made_of(self) -> tuple:
        return self.fn, self.options, self.control_flow, self.static.given, self.name

    def __call__(self, *args: Any, mode: Any = "compiled", stream: Any = None, **given: Any) -> Any:
        if self._own:
            mode, stream, given = self._own_names(mode, stream, given)
        plain = mode == "compiled" and stream is None and not given
        if UNUSUAL:
            if current() is not None:
                return call(self.fn, *args, **given)
            plain = plain and not NANS.get()
        kept: tuple[list[np.ndarray], Numbers] | None = None
        try:
            if plain:
                for guarded in self._recent.calls:
                    found = guarded(args)
                    if found is not MISS:
                        return found
            if not given and not self.static and PLAIN.issuperset(map(type, args)):
                # What most calls are, without looking for anything else that arguments may be.
                arrays = [a if type(a) is np.ndarray else np.asarray(a) for a in args]
                program = self._program(arrays, _numbers(args))
                if plain and program.is_direct:
                    self._recent.note(program)
                    return program.run_direct(arrays)
                return program.run(arrays, mode, stream)
            form, leaves = self._taken_apart(args, given)
            if is_traced(*leaves):
                with entered(SYMBOLIC):  # a graph that is being built outside of any trace
                    return call(self.fn, *args, **given)
            kept = arrays, numbers = self._arrays(leaves, form), _numbers(leaves, form)
            return self._program(arrays, numbers).run(arrays, mode, stream)
        except LengthError as e:
            arrays, numbers = kept or (self._arrays(args), _numbers(args))
            return self._with_its_lengths(arrays, numbers, mode, stream, e)

    def _own_names(self, mode: Any, stream: Any, given: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        """Of a function that has parameters called `mode` or `stream` itself: they are the function's."""
        for name, value, unset in (("mode", mode, "compiled"), ("stream", stream, None)):
            if name in self._own and value is not unset:
                given = {**given, name: value}
        return "compiled" if "mode" in self._own else mode, None if "stream" in self._own else stream, given

    def _taken_apart(self, args: Sequence[Any], given: dict[str, Any]) -> tuple[CallForm | None, list[Any]]:
        """The form of a call and its leaves; a list or tuple of numbers alone is an array."""
        args = [np.asarray(a) if i not in self.static.numbers and _is_numbers(a) else a for i, a in enumerate(args)]
        form, leaves = taken_apart(self.name, self.static, args, given)
        return (None if form.is_flat else form), leaves

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method of a class: the function with the object as what it closes over."""
        if instance is None:
            return self
        static = self.static.without_first()
        return self.methods.of(instance, lambda f: JitFunction(f, self.options, self.control_flow, static, self.name))

    @functools.cached_property
    def methods(self) -> Methods:
        return Methods(self.fn)

    def _with_its_lengths(
        self, arrays: list[np.ndarray], numbers: Numbers, mode: str, stream: Any, wrong: LengthError
    ) -> Any:  # fmt: skip
        """A call whose lengths do not fit each other as those of other calls do: it is traced with them.

        So it means what NumPy does with the same arrays: a length of 1 is broadcast, and what does not fit is an error
        at the user's line, as it is at a first call.
        """
        opened = self._program(arrays, numbers).opened
        without_ones = tuple([axis if axis is None or a.shape[axis] != 1 else None
                              for a, axis in zip(arrays, opened, strict=True)])  # fmt: skip
        if without_ones != opened:
            with contextlib.suppress(LengthError):
                return self._opened_so(arrays, without_ones, numbers).run(arrays, mode, stream)
        program = self._opened_so(arrays, (None,) * len(arrays), numbers)
        if any(n.op == "expect" for g in graphs_within(program.traced.graph) for n in g.nodes()):
            raise wrong  # of lengths that values decide
        return program.run(arrays, mode, stream)

    def lower(self, *args: Any, **given: Any) -> JitProgram:
        """The program for arguments like these, after all passes: `.source()`, `.loop_ir()`.

        Its machine code is made at the first call, or when it is asked for by `.asm()` or `.llvm()`.
        """
        form, leaves = self._taken_apart(args, given)
        program = self._program(self._arrays(leaves, form), _numbers(leaves, form))
        program.compiled  # noqa: B018  # what cannot be compiled is an error here
        return program

    def trace(self, *args: Any, **given: Any) -> Traced:
        """The traced program for arguments like these, not yet compiled: `.graph` is its scan IR."""
        form, leaves = self._taken_apart(args, given)
        return self._first_trace(self._arrays(leaves, form), _numbers(leaves, form))[1]

    def traced(
        self, arrays: list[np.ndarray], opened: tuple[int | None, ...], numbers: Numbers,
        inputs: frozenset[int] = frozenset(),
    ) -> Traced:  # fmt: skip
        together = self.options.target == "cuda"
        return Traced(self.fn, self.name, arrays, opened, numbers, self.control_flow, together, inputs)

    def _arrays(self, leaves: Sequence[Any], form: CallForm | None = None) -> list[np.ndarray]:
        arrays = [as_argument(a) for a in leaves]
        for i, (a, given) in enumerate(zip(arrays, leaves, strict=True)):
            if a.dtype == object or not supported(a.dtype):
                what = f"argument {i}" if form is None else form.places[i]
                refuse_large(a, f"{what} of {self.name}")
                raise ScanTypeError(f"{what} of {self.name} is of type {type(given).__name__}, not an array of numbers",
                                    rule="arguments are arrays, numbers, or containers of them",
                                    fix="what is no array is named in static_argnums or static_argnames of sc.jit")
        return arrays

    def _program(self, arrays: list[np.ndarray], numbers: Numbers) -> JitProgram:
        kinds = (numbers, *[(a.dtype, a.ndim) for a in arrays])
        opened, traced = self._open.get(kinds), None
        if opened is None:
            opened, traced = self._first_trace(arrays, numbers)
            self._open[kinds] = opened
        return self._opened_so(arrays, opened, numbers, traced)

    def _opened_so(
        self, arrays: list[np.ndarray], opened: tuple[int | None, ...], numbers: Numbers, traced: Traced | None = None
    ) -> JitProgram:  # fmt: skip
        kinds = (numbers, *[(a.dtype, a.ndim) for a in arrays])
        key = (kinds, opened, tuple([_fixed(a, axis) for a, axis in zip(arrays, opened, strict=True)]))
        program: JitProgram = self.programs.get(
            key, lambda: self._made(arrays, opened, numbers, traced), JitProgram.is_current
        )
        if program.traced.narrowed:
            program.check_numbers(arrays)
        return program

    def _made(
        self, arrays: list[np.ndarray], opened: tuple[int | None, ...], numbers: Numbers, traced: Traced | None
    ) -> JitProgram:  # fmt: skip
        captures = captures_of(self.fn, *(numbers[1].static_values if numbers[1] else ()))
        if traced is None:
            try:
                traced = self.traced(arrays, opened, numbers)
            except (TracedValueError, UnsupportedError):
                # With what the function captures by now, it may ask Python for a length that could stay open before.
                opened, traced = self._first_trace(arrays, numbers)
        plain = traced
        traced = varying.traced(lambda inputs: self.traced(arrays, opened, numbers, inputs) if inputs else plain)
        return JitProgram(self, opened, traced, captures)

    def _first_trace(self, arrays: list[np.ndarray], numbers: Numbers) -> tuple[tuple[int | None, ...], Traced]:
        """Which axis of each argument may have any length, and the trace with those open. None of them may where the
        function asks Python for a length."""
        for i, a in enumerate(arrays):
            refuse_large(a, f"argument {i} of {self.name}")
        fixed: tuple[int | None, ...] = (None,) * len(arrays)
        traced = self.traced(arrays, fixed, numbers)
        found = traced.lengths_of_scans()
        if found != fixed:
            # Of a length that Python asks for: with lengths that are known it was traced.
            with contextlib.suppress(TracedValueError, UnsupportedError):
                return found, self.traced(arrays, found, numbers)
        return fixed, traced


class Traced:
    """One trace of a function."""

    def __init__(
        self, fn: Callable, name: str, arrays: list[np.ndarray], opened: tuple[int | None, ...], numbers: Numbers,
        control_flow: bool, together: bool, varying: frozenset[int],
    ) -> None:  # fmt: skip
        scope = Scope(name, control_flow=control_flow, together=together, varying=varying)
        with entered(scope):
            values = []
            kinds, form = numbers
            named = parameters_of(fn) if form is None else form.labels(fn)
            for i, (a, axis) in enumerate(zip(arrays, opened, strict=True)):
                label = named[i] if i < len(named) else f"arg{i}"
                shape: tuple = a.shape
                if axis is not None:
                    shape = (*a.shape[:axis], scope.new_dim(f"n_{label}", a.shape[axis]), *a.shape[axis + 1 :])
                values.append(Tracer(scope.add_input(label, a.dtype, shape), scope, kinds[i]))
            self.inputs = [v.node.attrs["name"] for v in values]
            args, given = (values, {}) if form is None else form.arguments(values)
            returned = call(fn, *args, **given)
            leaves, self.tree = flatten(returned)
            self.results: dict[str, Node] = {}
            for i, v in enumerate(leaves):
                if not isinstance(v, (ArrayOperators, np.ndarray, np.generic, int, float, complex)):
                    rule = "a compiled function returns an array, or a tuple, list or dict of arrays"
                    raise ScanTypeError(f"{name} returned {v!r}", of_function(fn), rule)
                self.results[f"result{i}"] = as_stored(v)
        self.numbers, self.form, self.narrowed = kinds, form, scope.narrowed
        self.captured = dict(scope.bound)
        self.constants, self.made_numbers = scope.constants, scope.made_numbers
        self.updates = {f"new_{i}": shared for i, shared in enumerate(scope.updates)}
        updates = dict(zip(self.updates, scope.updates.values(), strict=True))
        self.graph = Graph(tuple(scope.inputs), scope.effect_results() | self.results | updates)

    def bound(self, arrays: Sequence[Any]) -> dict[str, np.ndarray]:
        """Inputs of the graph by name: these arguments and what the function captured."""
        return dict(zip(self.inputs, arrays, strict=True)) | values_of(self.captured)

    def lengths_of_scans(self) -> tuple[int | None, ...]:
        """Which axis of each input is a sequence of a scan."""
        by_name = {n.attrs["name"]: axis for n, axis in scanned_inputs(self.graph).items()}
        return tuple(by_name.get(name) for name in self.inputs)


def _fixed(a: np.ndarray, axis: int | None) -> tuple[int, ...]:
    """The lengths that the program is compiled for."""
    return a.shape if axis is None else (*a.shape[:axis], *a.shape[axis + 1 :])


class JitProgram(Inspection):
    def __init__(
        self, owner: JitFunction, opened: tuple[int | None, ...], traced: Traced, captures: Captures
    ) -> None:  # fmt: skip
        self.opened, self.traced, self.captures = opened, traced, captures
        captures.settle(traced.captured, traced.made_numbers)
        self.kinds = kinds_of(self.traced.captured)
        self._owner = owner

    @made_once
    def compiled(self) -> Program:
        name = self._owner.name if self._owner.name.isidentifier() else "function"
        return compile_graph(self.traced.graph, name, self._owner.options)

    def check_numbers(self, arrays: Sequence[np.ndarray]) -> None:
        """Raises OverflowError for a Python integer that does not fit the dtype of an array that it meets."""
        for name, a in zip(self.traced.inputs, arrays, strict=True):
            for dtype, loc in self.traced.narrowed.get(name, ()):
                if not np.iinfo(dtype).min <= int(a) <= np.iinfo(dtype).max:
                    raise ScanOverflowError(f"{a} does not fit into {dtype}", loc,
                                            "Python's numbers take the dtype of the arrays that they meet, as in NumPy")

    def is_current(self) -> bool:
        """Whether the function captures what it did, with the dtypes and shapes that this was compiled for."""
        return kinds_of(self.traced.captured) == self.kinds and self.captures.unchanged()

    @made_once
    def is_direct(self) -> bool:
        """Whether arrays of the host can be handed to the program's function as they are, and nothing else is to do."""
        made, traced = self.compiled, self.traced
        if not made.direct or traced.form or traced.updates or traced.narrowed or any(
            isinstance(v, Shared) for v in traced.captured.values()
        ):  # fmt: skip
            return False
        same_inputs = (*traced.inputs, *traced.captured) == made.inputs
        return same_inputs and tuple(traced.results) == tuple(traced.graph.results)

    @made_once
    def whole_call(self) -> Callable[[tuple], Any] | None:
        """The call of this program with arguments that need no conversion, as one function; `is_direct` holds."""
        traced = self.traced
        return self.compiled.guarded(
            Guard(tuple(Leaf(python=n is not None) for n in traced.numbers), tuple(traced.captured.values()),
                  lambda results, bind: source_of(traced.tree, iter(results), bind), self.captures.tests)
        )  # fmt: skip

    def run_direct(self, arrays: list[np.ndarray]) -> Any:
        traced = self.traced
        captured = [on_host(a) for a in traced.captured.values()] if traced.captured else ()
        values = self.compiled.call(*[as_kernel_array(a) for a in (*arrays, *captured)])
        return values[0] if traced.tree == pytrees.LEAF else unflatten(traced.tree, values)

    def run(self, arrays: list[np.ndarray], mode: str, stream: Any = None) -> Any:
        inputs = dict(zip(self.traced.inputs, arrays, strict=True)) | self.traced.captured
        results = execute(lambda: self.compiled, self.traced.graph, inputs, self.traced.updates, mode, stream)
        values = [results[k] for k in self.traced.results]
        return unflatten(self.traced.tree, values)


def _is_numbers(value: Any) -> bool:
    """Whether a list or tuple has numbers in it and nothing else, at any depth."""
    if type(value) not in (list, tuple):
        return False
    return all(_is_numbers(v) or isinstance(v, (bool, int, float, complex, np.generic)) for v in value)


def jit(
    fn: Callable | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    strict_fp: bool = False,
    fastmath: bool = False,
    optimize: bool = True,
    control_flow: bool = True,
    target: str | None = None,
    strategy: str = "auto",
    parallel: str = "auto",
) -> Any:
    """Decorator: compile a whole NumPy function that contains scans.

    The compiler sees what is used of each output: a function that returns `ys[-1]` keeps one row, not the history.
    Arguments, by position or by name, and results are arrays, numbers, or containers of them: dicts, lists, tuples,
    named tuples, dataclasses. A list or tuple of numbers alone is an array. Those in `static_argnums` and
    `static_argnames` are Python's own values with a hash, and the function is compiled for each. `fn` may be a method,
    a `functools.partial` or an object that can be called; in a class body this makes a method. What the function closes
    over is read again at each call.

    Options are those of `scan_compile`. Calls take two more arguments by name: `mode="interpret"` runs the NumPy
    reference interpreter, `stream=` is a device's stream to run on; where `fn` has a parameter so called, it is that.
    Arguments of float16 and bfloat16 are read as float32; `.astype` makes results of them.

    Raises TypeError for an argument that is no array and not static, and for a static one without a hash.
    """
    options = options_of(strict_fp, fastmath, optimize, target, strategy, parallel)
    static = (static_argnums, static_argnames)

    def made(f: Callable) -> JitFunction:
        return JitFunction(f, options, control_flow, static)

    return made if fn is None else made(fn)
