"""The arguments of `scan`, checked and normalised: Theano's conventions in, plain records out.

    sequences     array | dict(input=, taps=) | list of these         None: no sequence
    outputs_info  None | {} | array | dict(initial=, taps=) | list     None, {}: an output without feedback
    taps          int or list of ints; sequences default to 0, outputs to -1

Arrays here are still what the user passed: NumPy arrays, scalars, nested lists or traced values.
"""

from __future__ import annotations

import contextlib
import inspect
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from scancc.arrays import as_argument, refuse_large, refuse_masked
from scancc.errors import ScanTypeError, ScanValueError, StepsError
from scancc.frontend.scope import current
from scancc.frontend.shared import Shared
from scancc.frontend.tracer import Tracer, is_traced, unwrap, wrap
from scancc.ir.graph import RESERVED, Backward
from scancc.ir.types import is_half

SEQUENCE_KEYS = ("input", "taps")
OUTPUT_KEYS = ("initial", "taps")
MOST_STEPS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class SequenceArgument:
    name: str
    value: Any
    taps: tuple[int, ...]  # in the user's order, which is the order of the step's arguments


@dataclass(frozen=True, slots=True)
class OutputArgument:
    name: str
    initial: Any  # None for an output without feedback
    taps: tuple[int, ...]

    @property
    def depth(self) -> int:
        return -min(self.taps, default=0)


@dataclass(frozen=True, slots=True)
class ScanArguments:
    sequences: tuple[SequenceArgument, ...]
    outputs: tuple[OutputArgument, ...] | None  # None: as many outputs without feedback as the step returns
    non_sequences: tuple[tuple[str, Any], ...]
    n_steps: Any
    go_backwards: bool
    more_outputs: bool = False  # the step may return outputs without feedback after those named


def backward_of(
    truncate_gradient: Any = -1, tbptt: Any = None, checkpoint: Any = None, memory_budget: Any = None
) -> Backward:
    """What was asked for the derivatives of a scan. Raises ScanValueError for what means nothing."""
    truncate = _positive("truncate_gradient", None if truncate_gradient == -1 else truncate_gradient)
    window = _positive("tbptt", tbptt)
    if checkpoint not in (None, "sqrt", "binomial"):
        if not isinstance(checkpoint, (int, np.integer)):
            raise ScanValueError(f"checkpoint is {checkpoint!r}",
                                 fix="pass None, 'sqrt', 'binomial', or n to keep every n-th state")
        checkpoint = _positive("checkpoint", checkpoint)
    budget = None if memory_budget is None else _bytes_of(memory_budget)
    if budget is not None and checkpoint not in (None, "binomial"):
        raise ScanValueError(f"checkpoint={checkpoint!r} and memory_budget are both given",
                             rule="a budget chooses the checkpoints", fix="give one of them")
    if window is not None and (truncate, checkpoint, budget) != (None, None, None):
        raise ScanValueError("tbptt is given together with truncate_gradient, checkpoint or memory_budget",
                             fix="give one of them")
    return Backward(truncate, window, checkpoint, budget)


def _positive(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ScanValueError(f"{name} is {value!r}", fix="pass a number of steps, 1 or more")
    return int(value)


UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def _bytes_of(budget: Any) -> int:
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-zA-Z]*)\s*", str(budget))
    unit = UNITS.get((found.group(2) or "B").upper()) if found else None
    if found is None or unit is None or float(found.group(1)) <= 0:
        raise ScanValueError(f"memory_budget is {budget!r}", fix="pass a number of bytes, or a text such as '64MB'")
    return int(float(found.group(1)) * unit)


def normalise(
    fn: Callable, sequences: Any, outputs_info: Any, non_sequences: Any, n_steps: Any, go_backwards: bool = False
) -> ScanArguments:
    """Check everything that can be checked before the step is traced.

    Raises ScanValueError (a ValueError) or ScanTypeError (a TypeError) as the error table of the documentation says.
    """
    seqs = [_sequence(i, s) for i, s in enumerate(_as_list(sequences))]
    outs = [_output(i, o) for i, o in enumerate(_as_list(outputs_info))]
    nonseqs = [_array(v, f"non_sequences[{i}]") for i, v in enumerate(_as_list(non_sequences))]
    steps = check_steps(n_steps)
    if steps is None and not seqs:
        raise StepsError(
            "the number of steps is unknown",
            rule="a scan without sequences needs n_steps",
            fix="pass n_steps=..., or a sequence to run over",
        )
    names = iter(_names(fn, [len(s[1]) for s in seqs], [len(o[1]) for o in outs], len(nonseqs)))
    named_seqs = tuple(SequenceArgument(next(names), value, taps) for value, taps in seqs)
    named_outs = tuple(OutputArgument(next(names), initial, taps) for initial, taps in outs)
    named_nonseqs = tuple((next(names), v) for v in nonseqs)
    for s in named_seqs:
        if np.ndim(s.value) == 0 if not isinstance(s.value, Tracer) else s.value.ndim == 0:
            raise ScanValueError(
                f"sequence '{s.name}' is a scalar",
                rule="a sequence has its steps along the first axis",
                fix="pass it in non_sequences if it is the same at every step; a list is a list of sequences, so a "
                "sequence that is a list of numbers has to be an array, np.asarray([...])",
            )
    for o in named_outs:
        _check_initial(o)
    return ScanArguments(named_seqs, named_outs if _as_list(outputs_info) else None, named_nonseqs, steps,
                         bool(go_backwards))


def _as_list(value: Any) -> list:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _sequence(i: int, value: Any) -> tuple[Any, tuple[int, ...]]:
    where = f"sequences[{i}]"
    if not isinstance(value, dict):
        return _array(value, where), (0,)
    _check_keys(value, SEQUENCE_KEYS, where)
    if value.get("input") is None:
        raise ScanValueError(f"{where} has no 'input'", fix="write dict(input=array, taps=[...])")
    return _array(value["input"], where), _taps(value.get("taps"), 0, where)


def _output(i: int, value: Any) -> tuple[Any, tuple[int, ...]]:
    where = f"outputs_info[{i}]"
    if not isinstance(value, dict):
        return (None, ()) if value is None else (_array(value, where), (-1,))
    _check_keys(value, OUTPUT_KEYS, where)
    initial, taps = value.get("initial"), value.get("taps")
    if initial is None:
        if taps is None or taps == []:
            return None, ()
        raise ScanValueError(
            f"{where} has taps {taps} but no initial value",
            rule="an output that reads its own past needs the values before the first step",
            fix="write dict(initial=array, taps=[...])",
        )
    checked = _taps(taps, -1, where)
    for k in checked:
        if k >= 0:
            raise ScanValueError(
                f"{where} has tap {k}",
                rule="taps of an output are negative: a step reads past values only",
                fix=f"use {-k}" if k else "use -1 for the value of the step before",
            )
    return _array(initial, where), checked


def _check_keys(given: dict, known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), known, 1, 0.3) or known[:1]
            raise ScanValueError(
                f"{where} has the unknown key {key!r}",
                rule=f"known keys are {', '.join(map(repr, known))}",
                fix=f"did you mean {near[0]!r}?",
            )


def _taps(taps: Any, default: int, where: str) -> tuple[int, ...]:
    if taps is None:
        return (default,)
    taps = list(taps) if isinstance(taps, (list, tuple, range, np.ndarray)) else [taps]
    for k in taps:
        if not isinstance(k, (int, np.integer)) or isinstance(k, bool):
            raise ScanTypeError(f"{where} has the tap {k!r}, which is not an int")
        if abs(int(k)) > MOST_STEPS:
            raise ScanValueError(f"{where} has the tap {k}", rule="steps are counted with 64 bits, up to 2**63 - 1")
    if not taps:
        return (default,)
    if len(set(taps)) != len(taps):
        raise ScanValueError(
            f"{where} has duplicate taps {taps}", rule="each tap is one argument of the step", fix="name each tap once"
        )
    return tuple(int(k) for k in taps)


def _array(value: Any, where: str) -> Any:
    if isinstance(value, Shared):
        return value.content if current() is None else wrap(unwrap(value))
    refuse_masked(value, where)
    if isinstance(value, (Tracer, np.ndarray, np.generic)) and _of_numbers(value.dtype):
        return value
    if is_traced(value):
        return value
    try:
        array = as_argument(value)
    except ValueError:  # ragged nested lists
        array = np.empty(0, object)
    if not _of_numbers(array.dtype):
        refuse_large(array, where)
        raise ScanTypeError(
            f"{where} is {_brief(value)} ({type(value).__name__}), not an array of numbers",
            rule="arguments of a scan are arrays, numbers, or nested lists of equal lengths",
        )
    return array


def _of_numbers(dtype: np.dtype) -> bool:
    return dtype.kind in "biufc" or is_half(dtype)


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check_steps(n_steps: Any) -> Any:
    """n_steps as None, a non-negative int, or a traced integer scalar."""
    if n_steps is None:
        return None
    if isinstance(n_steps, Shared):
        n_steps = _array(n_steps, "n_steps")
    dtype = getattr(n_steps, "dtype", np.dtype(type(n_steps)) if isinstance(n_steps, (int, float, bool)) else None)
    if dtype is None or dtype.kind not in "iu" or getattr(n_steps, "ndim", 0) != 0:
        raise ScanTypeError(
            f"n_steps is {_brief(n_steps)} ({type(n_steps).__name__}), not an integer",
            fix="convert it, for example n_steps=int(n)",
        )
    if is_traced(n_steps):
        return n_steps
    if n_steps < 0:
        raise StepsError(
            f"n_steps is {int(n_steps)}", rule="a scan makes zero or more steps",
            fix="to run backwards, pass go_backwards=True",
        )  # fmt: skip
    if n_steps > MOST_STEPS:
        raise StepsError(f"n_steps is {int(n_steps)}", rule="steps are counted with 64 bits, up to 2**63 - 1")
    return int(n_steps)


def _check_initial(o: OutputArgument) -> None:
    if o.initial is None or o.taps == (-1,):
        return
    shape = o.initial.node.type.shape if isinstance(o.initial, Tracer) else np.shape(o.initial)
    rows = shape[0] if shape else 0
    if isinstance(rows, int) and rows < o.depth:
        has = f"{rows} row{'s' * (rows != 1)}"
        raise ScanValueError(
            f"output '{o.name}' has taps {list(o.taps)}, but its initial value has {has}, not {o.depth}",
            rule="row j of an initial value is time j - depth, with depth the deepest tap",
            fix=f"pass an initial value of shape ({o.depth}, ...)",
        )


@lru_cache(maxsize=1024)
def _base(parameter: str) -> str:
    base = re.sub(r"(?<=\w)_(t|tm\d+|tp\d+|m\d+|p\d+|prev|past)$|(?<=[A-Za-z])\d+$", "", parameter)
    return parameter if keyword.iskeyword(base) else base


_PARAMETERS: WeakKeyDictionary[Callable, list[str]] = WeakKeyDictionary()


def parameters_of(fn: Callable) -> list[str]:
    """Names of the positional parameters; remembered, since a signature takes longer than a short scan."""
    try:
        return _PARAMETERS[fn]
    except (KeyError, TypeError):
        pass
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [p.name for p in signature.parameters.values() if p.kind in positional]
    with contextlib.suppress(TypeError):  # not weakly referable
        _PARAMETERS[fn] = found
    return found


def _names(fn: Callable, sequences: list[int], outputs: list[int], nonseqs: int) -> list[str]:
    """Names of sequences, outputs and non-sequences from the step's parameters: `y_tm2, y_tm1` gives 'y'."""
    parameters = parameters_of(fn)
    names: list[str] = []
    position = 0

    def take(count: int, fallback: str) -> None:
        nonlocal position
        group = parameters[position : position + count]
        position += count
        base = _base(group[0]) if group else fallback
        name, n = base or fallback, 1
        while name in names or name in RESERVED:
            n += 1
            name = f"{base}_{n}"
        names.append(name)

    for i, count in enumerate(sequences):
        take(count, f"sequence_{i}")
    for i, count in enumerate(outputs):
        if count:
            take(count, f"output_{i}")
        else:
            names.append(f"output_{i}")
    for i in range(nonseqs):
        take(1, f"nonsequence_{i}")
    return names
