"""Gradients of compiled step functions: `ar2.value_and_grad(loss=..., wrt=[...])`, called as `ar2` itself is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from scancc.errors import ScanValueError
from scancc.frontend.calling import call
from scancc.frontend.location import of_function
from scancc.frontend.scan_arguments import ScanArguments, normalise
from scancc.gradients import value_and_grad

if TYPE_CHECKING:
    from scancc.api import ScanFunction


class StepGradient:
    """`(value, gradients)` of a loss of a scan's outputs, with respect to some of the step's arguments by name."""

    def __init__(self, scan: ScanFunction, loss: Callable, wrt: Sequence[str] | str, value: bool) -> None:
        self.scan, self.loss, self.value = scan, loss, value
        self.single = isinstance(wrt, str)
        self.wrt: tuple[str, ...] = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        self._derived: dict[tuple, Any] = {}

    def __call__(
        self, sequences: Any = None, outputs_info: Any = None, non_sequences: Any = None, n_steps: Any = None, *,
        go_backwards: bool = False,
    ) -> Any:  # fmt: skip
        args = normalise(self.scan.fn, sequences, outputs_info, non_sequences, n_steps, go_backwards)
        values = _values(args)
        wanted = [self._label(name, values) for name in self.wrt]
        kept = {k: v for k, v in values.items() if k not in wanted}
        key = tuple(values), go_backwards
        if key not in self._derived:
            run = self._run(sequences, outputs_info, non_sequences, n_steps, go_backwards)
            self._derived[key] = value_and_grad(run)
        value, found = self._derived[key]({k: values[k] for k in wanted}, kept)
        gradients = found[wanted[0]] if self.single else tuple(found[k] for k in wanted)
        return (value, gradients) if self.value else gradients

    def _run(self, sequences: Any, outputs_info: Any, non_sequences: Any, n_steps: Any, backwards: bool) -> Callable:
        """The loss as a function of the arrays of a call by label."""
        template = sequences, outputs_info, non_sequences, n_steps

        def run(wanted: dict[str, Any], kept: dict[str, Any]) -> Any:
            given = iter({k: {**wanted, **kept}[k] for k in _order({**wanted, **kept})}.values())
            full = [_filled(part, given) for part in template]
            outputs = self.scan(*full, go_backwards=backwards)
            return call(self.loss, *outputs) if isinstance(outputs, tuple) else call(self.loss, outputs)

        run.__name__ = f"{self.scan.name}_loss"
        return run

    def _label(self, name: str, values: dict[str, Any]) -> str:
        """The array behind an argument of the step: that of its sequence, state or non-sequence."""
        names = {k.split(":", 1)[1]: k for k in values}
        if name in names and not names[name].endswith("n_steps"):
            return names[name]
        taps = [n for n in names if name.startswith(f"{n}_")]  # y_tm2 and y_tm1 are taps of y
        if taps:
            return names[max(taps, key=len)]
        near = get_close_matches(name, names, 1)
        raise ScanValueError(f"'{name}' is no argument of the step that can be differentiated",
                             of_function(self.scan.fn),
                             f"arguments are {', '.join(n.rstrip('_') for n in names if n != 'n_steps')}",
                             f"use '{near[0]}'" if near else "")


def _values(args: ScanArguments) -> dict[str, Any]:
    """Every array of a call by a label that sorts in the order of the call."""
    found = [s.name for s in args.sequences]
    arrays = [s.value for s in args.sequences]
    for o in args.outputs or ():
        if o.initial is not None:
            found.append(o.name)
            arrays.append(o.initial)
    found += [n for n, _ in args.non_sequences]
    arrays += [v for _, v in args.non_sequences]
    if args.n_steps is not None:
        found.append("n_steps")
        arrays.append(args.n_steps)
    return {f"{i:04}:{n}": np.asarray(a) if not hasattr(a, "node") else a
            for i, (n, a) in enumerate(zip(found, arrays, strict=True))}  # fmt: skip


def _order(values: dict[str, Any]) -> list[str]:
    return sorted(values)


def _filled(template: Any, given: Any) -> Any:
    """An argument of a call with its arrays replaced by the next ones."""
    if template is None:
        return None
    if isinstance(template, (list, tuple)):
        return type(template)(_filled(t, given) for t in template)
    if isinstance(template, dict):
        key = "input" if "input" in template else "initial"
        return {**template, key: next(given)} if template.get(key) is not None else template
    return next(given)
