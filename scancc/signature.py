"""The quick way into a compiled scan: a key and the arrays of a call, without checking what was checked before.

`flatten` handles calls made of plain arrays and numbers in the documented structure. It answers None for anything
else, and the arguments then go through `normalise`, which gives the errors. `forms_of` describes such a call, so that
the next ones like it need not be taken apart (`backends/guards.py`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scancc.arrays import as_argument
from scancc.backends.guards import LEAF, Entries, Equals, Form, Is, Items, Leaf
from scancc.frontend.scan_arguments import MOST_STEPS, ScanArguments

Flat = tuple[tuple, list[np.ndarray]]


class _Unusual(Exception):
    """The call is not of the plain kind."""


def flatten(sequences: Any, outputs_info: Any, non_sequences: Any, n_steps: Any) -> Flat | None:
    """Key of containers, dtypes, row shapes and taps; arrays in the order sequences, initial values, non-sequences,
    steps."""
    key: list[Any] = [type(sequences), type(outputs_info), type(non_sequences)]
    arrays: list[np.ndarray] = []
    try:
        for s in _items(sequences):
            if type(s) is dict:
                key.append(_taps(s, "input"))
                s = s["input"]
            if type(s) is not np.ndarray or s.ndim == 0:
                return None
            key.append((s.dtype, s.shape[1:]))
            arrays.append(s)
        key.append("outputs")
        for o in _items(outputs_info):
            if type(o) is dict:
                key.append(_taps(o, "initial"))
                o = o["initial"]
            if o is None:
                key.append(None)
            else:
                _leaf(o, key, arrays)
        key.append("non-sequences")
        for v in _items(non_sequences):
            _leaf(v, key, arrays)
    except (_Unusual, KeyError, TypeError):
        return None
    if n_steps is not None:
        if type(n_steps) is not int or not 0 <= n_steps <= MOST_STEPS:
            return None
        key.append("steps")
        arrays.append(np.array(n_steps, np.int64))
    return tuple(key), arrays


def forms_of(sequences: Any, outputs_info: Any, non_sequences: Any, n_steps: Any) -> tuple[Form, ...]:
    """What the four arguments of a call that was flattened look like."""
    given = (sequences, outputs_info, non_sequences)
    return (*(_form(v) for v in given), Is(None) if n_steps is None else Leaf(count=True))


def _form(value: Any) -> Form:
    if value is None:
        return Is(None)
    if type(value) in (list, tuple):
        return Items(type(value), tuple(_form(v) for v in value))
    if type(value) is dict:
        return Entries(tuple((k, _taps_form(v) if k == "taps" else _form(v)) for k, v in value.items()))
    return LEAF


def _taps_form(taps: Any) -> Form:
    return Is(None) if taps is None else Equals(list(taps) if type(taps) is list else taps)


def _items(value: Any) -> Any:
    if value is None:
        return ()
    return value if type(value) in (list, tuple) else (value,)


def _taps(spec: dict, name: str) -> tuple:
    if len(spec) != 1 + ("taps" in spec) or name not in spec:
        raise _Unusual
    taps = spec.get("taps")
    if type(taps) not in (list, tuple, int, type(None)):
        raise _Unusual
    return ("taps", tuple(taps) if type(taps) is list else taps)


def _leaf(value: Any, key: list[Any], arrays: list[np.ndarray]) -> None:
    if type(value) is not np.ndarray:
        if type(value) not in (float, int, np.float64, np.float32, np.int64):
            raise _Unusual
        value = np.asarray(value)
    key.append((value.dtype, value.shape))
    arrays.append(value)


def signature_of(args: ScanArguments) -> tuple:
    """What a scan is compiled for, of arguments that went through `normalise`."""

    def kind(v: Any, skip: int = 0) -> tuple:
        a = as_argument(v)
        return a.dtype.str, a.ndim, a.shape[skip:]

    return (
        tuple((s.name, s.taps, kind(s.value, 1)) for s in args.sequences),
        None
        if args.outputs is None
        else tuple((o.name, o.taps, None if o.initial is None else kind(o.initial)) for o in args.outputs),
        tuple((n, kind(v)) for n, v in args.non_sequences),
        args.n_steps is not None,
        args.go_backwards,
    )
