"""The public functions: `scan`, `scan_compile`, `until`, and the short forms `map`, `reduce`, `foldl`, `foldr`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scancc import varying
from scancc.arrays import as_argument, as_kernel_array, on_host
from scancc.backends.guards import MISS, Form, Guard, Is
from scancc.backends.program import Program
from scancc.driver import NANS, Programs, RecentCalls, compile_graph, execute, options_of
from scancc.errors import UnsupportedError
from scancc.frontend.location import here, name_of
from scancc.frontend.pytrees import source_of, unflatten
from scancc.frontend.reachable import captures_of
from scancc.frontend.returns import Until
from scancc.frontend.scan_arguments import ScanArguments, SequenceArgument, backward_of, normalise
from scancc.frontend.scans import TracedScan, add_scan
from scancc.frontend.scope import SYMBOLIC, UNUSUAL, Scope, current, entered
from scancc.frontend.shared import Shared, kinds_of, values_of
from scancc.frontend.tracer import Tracer, is_traced, wrap
from scancc.inspection import Inspection
from scancc.ir.graph import NOTHING_ASKED, Backward, Graph
from scancc.locks import made_once
from scancc.passes.pipeline import Options
from scancc.pickling import PickledByName
from scancc.signature import flatten, forms_of, signature_of
from scancc.step_gradients import StepGradient


def until(condition: Any) -> Until:
    """Stop after the step in which `condition` holds: return `(outputs, sc.until(condition))` from the step.

    `condition` is one truth value, of shape (); a number other than 0 holds. Outputs have as many rows as steps were
    made, that one included. An array as condition is a TypeError when the step is traced.
    """
    return Until(condition)


def scan(
    fn: Callable,
    sequences: Any = None,
    outputs_info: Any = None,
    non_sequences: Any = None,
    n_steps: Any = None,
    *,
    go_backwards: bool = False,
    truncate_gradient: int = -1,
    strict: bool = False,
    name: str | None = None,
    return_list: bool = False,
    tbptt: int | None = None,
    checkpoint: str | int | None = None,
    memory_budget: int | str | None = None,
    strict_fp: bool = False,
    fastmath: bool = False,
    mode: str = "compiled",
    control_flow: bool = True,
    target: str | None = None,
    strategy: str = "auto",
    parallel: str = "auto",
) -> Any:
    """Apply a step function along sequences, feeding past outputs back.

    Equivalent to this loop, with every tap that was asked for::

        for t in range(n_steps):
            y[t] = fn(x[t], ..., y[t - 1], ..., *non_sequences)

    Parameters follow Theano's `scan`: `fn` receives sequence taps, then output taps, then non-sequences, each in the
    order given. `outputs_info` has one entry an output: None (no feedback), the initial value, or
    dict(initial=, taps=); an initial value of taps other than -1 has one row a past value, row j being time j - depth.
    `strict_fp`, `fastmath`, `control_flow`, `target` and `strategy` are those of `scan_compile`. `mode="interpret"`
    runs the NumPy reference interpreter instead.

    Besides outputs a step may return new values of shared variables, as a dict or a list of pairs, and a stopping
    condition: `(outputs, updates)`, `(outputs, sc.until(c))`, `(outputs, updates, sc.until(c))`, or updates alone. They
    are written back when the run is over.

    For derivatives: with `truncate_gradient=k` only the last k steps have one, as in Theano; with `tbptt=k` what a
    step's result receives flows back through k steps at most. `checkpoint` keeps some states instead of the whole
    history and computes the rest again: "sqrt" (about sqrt(steps) of them), n (every n-th), or "binomial" (those that
    make the fewest steps again; Griewank and Walther 2000); `memory_budget` ("64MB", or bytes) chooses their number.

    Returns one array of shape (steps, *row), or a tuple (a dict when the step returns one); None for updates alone.

    Raises ValueError, TypeError or NotImplementedError with the user's line and a fix; nothing is allocated before
    the number of steps is checked. Inputs are never modified.
    """
    backward = backward_of(truncate_gradient, tbptt, checkpoint, memory_budget)
    options = options_of(strict_fp, fastmath, True, target, strategy, parallel)
    compiled = ScanFunction(fn, options, name, control_flow, backward)
    return compiled(
        sequences, outputs_info, non_sequences, n_steps, go_backwards=go_backwards, strict=strict,
        return_list=return_list, mode=mode,
    )  # fmt: skip


class ScanFunction(PickledByName):
    """A step function whose scans are compiled once for each signature of dtypes, ranks and row shapes."""

    def __init__(
        self, fn: Callable, options: Options, name: str | None = None, control_flow: bool = True,
        backward: Backward = NOTHING_ASKED,
    ) -> None:
        self.fn = fn
        self.backward = backward
        self.control_flow = control_flow
        self.options = options
        self.name = name or name_of(fn, "scan")
        self.programs = Programs()
        self._seen: dict[tuple, EagerCall] = {}  # by the keys of `flatten`
        self._recent = RecentCalls()
        functools.update_wrapper(self, fn, updated=())

    def made_of(self) -> tuple:
        return self.fn, self.options, self.name, self.control_flow, self.backward

    def __call__(
        self,
        sequences: Any = None,
        outputs_info: Any = None,
        non_sequences: Any = None,
        n_steps: Any = None,
        *,
        go_backwards: bool = False,
        strict: bool = False,
        return_list: bool = False,
        mode: str = "compiled",
        stream: Any = None,
    ) -> Any:
        flat, plain = None, False
        if not UNUSUAL or current() is None:
            plain = mode == "compiled" and stream is None and not (UNUSUAL and NANS.get())
            if plain:
                arguments = (sequences, outputs_info, non_sequences, n_steps, go_backwards, strict, return_list)
                for call in self._recent.calls:
                    found = call(arguments)
                    if found is not MISS:
                        return found
            flat = flatten(sequences, outputs_info, non_sequences, n_steps)
        if flat is not None:
            known = self._seen.get((flat[0], go_backwards, strict))
            if known is not None and known.program.is_current():
                if plain and not return_list:
                    self._recent.note(known)
                return pack(known.program.traced, known.program.run_flat(flat[1], mode, stream), return_list)
        if current() is None and flat is None and is_traced(*_leaves(sequences, outputs_info, non_sequences, n_steps)):
            with entered(SYMBOLIC):  # a graph that is being built outside of any trace
                return self(sequences, outputs_info, non_sequences, n_steps, go_backwards=go_backwards, strict=strict,
                            return_list=return_list)
        args = normalise(self.fn, sequences, outputs_info, non_sequences, n_steps, go_backwards)
        if current() is not None:
            traced = add_scan(self.fn, args, self.name, strict, backward=self.backward)
            values = [wrap(traced.trace(n)) for n in traced.names]
            return pack(traced, values, return_list)
        program = self._program(args, strict)
        if flat is not None:
            forms = forms_of(sequences, outputs_info, non_sequences, n_steps)
            forms += (Is(go_backwards), Is(strict), Is(False))
            self._seen[flat[0], go_backwards, strict] = EagerCall(program, forms)
        arrays = program.run(_arrays(args), mode, stream)
        return pack(program.traced, [arrays[n] for n in program.traced.names], return_list)

    def lower(self, *args: Any, go_backwards: bool = False, strict: bool = False, **kwargs: Any) -> EagerProgram:
        """The program for these arguments (those of a call), after all passes: `.loop_ir()`, `.source()`.

        Its machine code is made at the first call, or when it is asked for by `.asm()` or `.llvm()`.
        """
        bound = dict(zip(("sequences", "outputs_info", "non_sequences", "n_steps"), args, strict=False)) | kwargs
        full = [bound.get(k) for k in ("sequences", "outputs_info", "non_sequences", "n_steps")]
        program = self._program(normalise(self.fn, *full, go_backwards), strict)
        program.compiled  # noqa: B018  # what cannot be compiled is an error here
        return program

    def value_and_grad(self, loss: Callable, wrt: Any) -> StepGradient:
        """A function called like this one, which returns `(value, gradients)`.

        The value is `loss(*outputs)`, a real number; `wrt` names arguments of the step, one or a list of them: of a
        sequence or non-sequence the gradient is with respect to its array, of an output's tap to the initial value.
        """
        return StepGradient(self, loss, wrt, True)

    def grad(self, loss: Callable, wrt: Any) -> StepGradient:
        """As `value_and_grad`, without the value."""
        return StepGradient(self, loss, wrt, False)

    def _program(self, args: ScanArguments, strict: bool) -> EagerProgram:
        key = (signature_of(args), strict)
        return self.programs.get(  # type: ignore[no-any-return]
            key, lambda: varying.traced(lambda inputs: EagerProgram(self, args, strict, inputs)),
            EagerProgram.is_current,
        )


class EagerProgram(Inspection):
    """A scan traced with all of its arguments as inputs, and its compiled form."""

    def __init__(
        self, owner: ScanFunction, args: ScanArguments, strict: bool, inputs: frozenset[int] = frozenset()
    ) -> None:  # fmt: skip
        self.captures = captures_of(owner.fn)
        scope = Scope(owner.name, control_flow=owner.control_flow, together=owner.options.target == "cuda",
                      varying=inputs)  # fmt: skip
        with entered(scope):
            values = {}
            for label, array in _arrays(args).items():
                shape: tuple = array.shape
                if label.startswith("sequence:"):
                    # Lengths of sequences never specialise a kernel.
                    shape = (scope.new_dim(f"n_{label[9:]}", array.shape[0]), *shape[1:])
                node = scope.add_input(label.split(":")[1], array.dtype, shape)
                values[label] = Tracer(node, scope)
            self.inputs = {label: v.node.attrs["name"] for label, v in values.items()}
            self.traced = add_scan(owner.fn, _with_values(args, values), owner.name, strict)
            results = scope.effect_results() | {n: self.traced.trace(n) for n in self.traced.names}
        self.captured = dict(scope.bound)
        self.kinds = kinds_of(self.captured)
        self.constants = scope.constants
        self.captures.settle(self.captured, scope.made_numbers)
        self.updates = {f"new_{i}": shared for i, shared in enumerate(scope.updates)}
        results |= dict(zip(self.updates, scope.updates.values(), strict=True))
        self.graph = Graph(tuple(scope.inputs), results)
        self._owner = owner

    @made_once
    def compiled(self) -> Program:
        return compile_graph(self.graph, _identifier(self._owner.name), self._owner.options)

    @made_once
    def is_direct(self) -> bool:
        """Whether the arrays of a call can be handed to the program's function as they are."""
        return self.compiled.direct and self._in_order

    @made_once
    def _in_order(self) -> bool:
        """Whether inputs and results of the graph are the arguments of a call and what the step returns, in order."""
        same_inputs = (*self.inputs.values(), *self.captured) == self.compiled.inputs
        return same_inputs and self.traced.names == tuple(self.graph.results)

    def is_current(self) -> bool:
        """Whether the step captures what it did, with the dtypes and shapes that this was compiled for."""
        return kinds_of(self.captured) == self.kinds and self.captures.unchanged()

    def run(self, arrays: Mapping[str, np.ndarray], mode: str, stream: Any = None) -> dict[str, np.ndarray]:
        given = {self.inputs[label]: a for label, a in arrays.items()}
        return execute(lambda: self.compiled, self.graph, given | self.captured, self.updates, mode, stream)

    def run_flat(self, arrays: list[np.ndarray], mode: str, stream: Any = None) -> list[np.ndarray]:
        """Results for the arrays of a call that was flattened, in the order of the step's outputs."""
        if mode == "compiled" and stream is None and not NANS.get() and self.is_direct:
            # The inputs of the graph are the arrays of the call in their order, then what was captured.
            captured = [on_host(a) for a in values_of(self.captured).values()] if self.captured else ()
            return list(self.compiled.call(*[as_kernel_array(a) for a in (*arrays, *captured)]))
        results = self.run(dict(zip(self.inputs, arrays, strict=True)), mode, stream)
        return [results[n] for n in self.traced.names]


@dataclass(eq=False)
class EagerCall:
    """A program together with the forms of the arguments of a call that it was run for."""

    program: EagerProgram
    forms: tuple[Form, ...]

    @made_once
    def whole_call(self) -> Callable[[tuple], Any] | None:
        """Such a call with arguments that need no conversion, as one function; None where more is to be done."""
        if not self.program.is_direct:
            return None
        tree = self.program.traced.tree
        captured = tuple(self.program.captured.values())
        return self.program.compiled.guarded(
            Guard(self.forms, captured, lambda results, bind: source_of(tree, iter(results), bind),
                  self.program.captures.tests)
        )


def _leaves(*arguments: Any) -> list[Any]:
    """The values in the arguments of a call, dicts looked into."""
    found: list[Any] = []
    for a in arguments:
        for x in a if isinstance(a, (list, tuple)) else [a]:
            found += [x.get("input"), x.get("initial")] if isinstance(x, dict) else [x]
    return [x for x in found if not isinstance(x, Shared)]


def _identifier(name: str) -> str:
    return name if name.isidentifier() else "scan"


def _arrays(args: ScanArguments) -> dict[str, np.ndarray]:
    """Every array of a call by role and name."""
    found = {f"sequence:{s.name}": as_argument(s.value) for s in args.sequences}
    found |= {f"initial:{o.name}": as_argument(o.initial) for o in args.outputs or () if o.initial is not None}
    found |= {f"nonseq:{n}": as_argument(v) for n, v in args.non_sequences}
    if args.n_steps is not None:
        found["steps:n_steps"] = np.asarray(args.n_steps, dtype=np.int64)
    return found


def _with_values(args: ScanArguments, values: Mapping[str, Any]) -> ScanArguments:
    from dataclasses import replace

    return ScanArguments(
        tuple(SequenceArgument(s.name, values[f"sequence:{s.name}"], s.taps) for s in args.sequences),
        None
        if args.outputs is None
        else tuple(o if o.initial is None else replace(o, initial=values[f"initial:{o.name}"]) for o in args.outputs),
        tuple((n, values[f"nonseq:{n}"]) for n, _ in args.non_sequences),
        values.get("steps:n_steps"),
        args.go_backwards,
    )


def pack(traced: TracedScan, values: list[Any], return_list: bool) -> Any:
    """Results in the form that the step returned them in."""
    if return_list and not (traced.keys and values):
        return values
    if traced.keys is None and len(values) > 1:
        return tuple(values)
    return unflatten(traced.tree, values)


def shared(value: Any, name: str | None = None, borrow: bool = False) -> Shared:
    """A shared variable: an array that lives between calls, read by steps and changed by the updates they return.

    It holds a copy of `value`, with `borrow` the array itself. `get_value()` and `set_value(v)` reach it from outside.
    """
    return Shared(value, name, borrow)


def scan_compile(
    fn: Callable | None = None,
    *,
    strict_fp: bool = False,
    fastmath: bool = False,
    optimize: bool = True,
    control_flow: bool = True,
    name: str | None = None,
    truncate_gradient: int = -1,
    tbptt: int | None = None,
    checkpoint: str | int | None = None,
    memory_budget: int | str | None = None,
    target: str | None = None,
    strategy: str = "auto",
    parallel: str = "auto",
) -> Any:
    """Decorator: a step function becomes a compiled scan, called with the arguments of `scan` after `fn`.

    `@sc.scan_compile` or `@sc.scan_compile(strict_fp=True)`. Options:

    - `strict_fp`: no FMA contraction and no reordering: + - * / and sqrt are bit-equal to the interpreter. For steps
      that live on what rounding loses, such as `(y + C) - C`.
    - `fastmath`: sums may be reassociated, divisions by constants become products; a GPU's own functions of float32,
      which are less exact.
    - `optimize=False`: no passes, for comparison.
    - `control_flow=False`: Python's `if`, `while`, `for`, `and`, `or` and `not` on traced values are errors. Otherwise
      steps that need them are rewritten from their source, and run what Python would: see docs/control-flow.md.
    - `truncate_gradient`, `tbptt`, `checkpoint`, `memory_budget`: how derivatives are made, as in `scan`.

    - `target="cuda"`: on an NVIDIA GPU; `strategy` ("lane", "block", "grid", "prefix", "thread") says which threads own
      what, "auto" chooses by shape; `parallel` ("auto", "prefix", "never") whether the steps of one sequence may run at
      once, in another order of rounding. See docs/cuda.md.

    Values that the step captures are taken when a signature is first traced: arrays by reference, Python numbers as
    constants.
    """
    options = options_of(strict_fp, fastmath, optimize, target, strategy, parallel)
    backward = backward_of(truncate_gradient, tbptt, checkpoint, memory_budget)
    return (lambda f: ScanFunction(f, options, name, control_flow, backward)) if fn is None else (
        ScanFunction(fn, options, name, control_flow, backward)
    )


def map(fn: Callable, sequences: Any, non_sequences: Any = None, **options: Any) -> Any:
    """`scan` without feedback: row t of an output is what `fn` gives for row t of the sequences.

    Returns one array of shape (rows, *shape of a result), or a tuple of them; options and errors are those of `scan`.
    """
    return scan(fn, sequences, None, non_sequences, **options)


def reduce(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, **options: Any) -> Any:
    """The last value of each output of `scan`, of the shape of a row; with zero steps the initial value.

    One array, or a tuple where the step returns several; options and errors are those of `scan`.
    """
    every = scan(fn, sequences, outputs_info, non_sequences, return_list=True, **options)
    initial = outputs_info if isinstance(outputs_info, (list, tuple)) else [outputs_info]
    values = [v[-1] if len(v) else np.asarray(i, dtype=v.dtype) for v, i in zip(every, initial, strict=True)]
    return values[0] if len(values) == 1 else tuple(values)


def foldl(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, **options: Any) -> Any:
    """`reduce` from the first element to the last."""
    return reduce(fn, sequences, outputs_info, non_sequences, **options)


def foldr(fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any = None, **options: Any) -> Any:
    """`reduce` from the last element to the first."""
    return reduce(fn, sequences, outputs_info, non_sequences, go_backwards=True, **options)


def filter(fn: Callable, sequence: Any, non_sequences: Any = None) -> np.ndarray:
    """The rows of `sequence` for which `fn(row, *non_sequences)` holds.

    `fn` returns one truth value a row; the result has shape (rows that are kept, *row) and the dtype of `sequence`. Its
    length depends on values, so inside of compiled functions this is a NotImplementedError.
    """
    if current() is not None:
        raise UnsupportedError("sc.filter inside of a compiled function", here(), "lengths do not depend on values",
                               "use sc.map for the condition, and index with it outside")
    rows = np.asarray(sequence)
    return rows[np.asarray(map(fn, rows, non_sequences), dtype=bool)]


def where(condition: Any, a: Any, b: Any) -> Any:
    """`np.where` for traced values and arrays alike: shapes broadcast, and dtypes promote, as NumPy's do.

    In a step both sides are computed; `sc.cond` runs one of them.
    """
    return np.where(condition, a, b)
