"""Workloads of `scancc bench`: of a function with example inputs, and those that a file declares itself.

A file may have `workloads(quick)`, which returns Workloads, or `run(quick)`, which returns Results; then it knows its
own peers and sizes. Other files' functions are timed on their example inputs against what can be generated from the
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scancc.api import ScanFunction
from scancc.cli.contenders import FACTORIES, Call, NotComparable, python_loop
from scancc.cli.gradient_contenders import GRADIENTS, interpreted
from scancc.cli.loading import Target, UsageError, module_of
from scancc.gradients import grad
from scancc.ir.graph import Sequence
from scancc.jit import jit
from scancc.measure import Factory, Result, Workload, differences, parts_of
from scancc.placement import device_put

ORACLE_STEPS = 100_000  # the interpreter takes 16 microseconds a step
TOLERANCE = 1e-5  # peers may compute in float32 and in another order


Job = Workload | Callable[[], list[Result]]  # what measures itself is called


def declared(subject: str, quick: bool) -> list[Job] | None:
    """What FILE or FILE:WORKLOAD declares; None where it declares nothing. A folder is all of its files.

    Raises UsageError for a workload that the file does not have.
    """
    path = Path(subject)
    if path.is_dir():
        return [job for file in sorted(path.glob("*.py")) for job in declared(str(file), quick) or ()]
    name = ""
    if not path.exists():
        head, _, name = subject.rpartition(":")
        path = Path(head)
    # Read off the text: a file that declares nothing must not be imported.
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if "\ndef run(quick" in text and not name:
        run = module_of(path).run
        return [lambda: run(quick)]
    if "\ndef workloads(quick" not in text:
        return None
    module = module_of(path)
    made: list[Workload] = module.workloads(quick)
    chosen: list[Job] = [w for w in made if not name or w.name == name or w.name.split("/")[0] == name]
    if chosen:
        return chosen
    if hasattr(module, name):
        return None  # a function of the file
    raise UsageError(f"{path.name} has no workload {name!r} (it has {', '.join(w.name for w in made)})")


def of_target(target: Target, device: str, gradient: bool, steps: int | None = None) -> Workload:
    """A function on its example inputs; `steps` cuts a scan to that many.

    Raises UsageError where the function has no gradient by floats.
    """
    given = target.examples()
    if isinstance(target.function, ScanFunction):
        if not isinstance(given, dict):
            raise UsageError(f"{target.label}: the example inputs of a scan are a dict of its arguments")
        return _of_scan(target, target.function, given, device, gradient, steps)
    if steps is not None:
        raise UsageError(f"{target.label}: only scans can be cut to other lengths, not compiled functions")
    return _of_function(target, given, gradient)


def _of_scan(
    target: Target, function: ScanFunction, given: dict[str, Any], device: str, gradient: bool, steps: int | None
) -> Workload:
    call = Call(function, given)
    if steps is not None:
        call = Call(function, _shortened(call, min(steps, call.steps)))
    table = GRADIENTS if gradient else FACTORIES
    factories: dict[str, Factory] = {name: partial(_made, make, call) for name, make in table.items()}
    oracle = partial(_made, interpreted if gradient else _oracle, call)
    if device == "cuda" and not gradient:
        factories["scancc, on the GPU"] = partial(_made, _on_device, call)
    if not gradient and steps is None:
        factories |= _own(target)
    label = f"{target.label}{'-gradient' if gradient else ''}/{call.steps}"
    return Workload(label, call.steps, dict, factories, TOLERANCE, gradient=gradient, oracle=oracle)


def _of_function(target: Target, given: Any, gradient: bool) -> Workload:
    args, kwargs = ((), given) if isinstance(given, dict) else (given, {})
    run = target.function
    if gradient:
        wanted = tuple(i for i, a in enumerate(args) if np.asarray(a).dtype.kind == "f")
        if not wanted or kwargs:
            raise UsageError(f"{target.label}: derivatives need example inputs in a tuple, some of them real numbers")
        run = jit(grad(lambda *arguments: _squares(target.function(*arguments)), wanted))
    factories: dict[str, Factory] = {"scancc": lambda inputs: lambda: run(*args, **kwargs)}
    if not gradient:
        factories |= _own(target)
    label = f"{target.label}{'-gradient' if gradient else ''}"
    return Workload(label, 0, dict, factories, TOLERANCE, gradient=gradient,
                    oracle=lambda inputs: lambda: run(*args, mode="interpret", **kwargs))  # fmt: skip


def _squares(made: Any) -> Any:
    parts = made if isinstance(made, (tuple, list)) else (made,)
    total = 0.0
    for part in parts:
        total = total + (part * part).sum()
    return total


def _own(target: Target) -> dict[str, Factory]:
    """Contenders that the file declares: `scancc_contenders()` returns {function: {name: call}}."""
    own = getattr(target.module, "scancc_contenders", None)
    return {} if own is None else {n: partial(_given, f) for n, f in own().get(target.name, {}).items()}


def _given(call: Callable[[], Any], inputs: Any) -> Callable[[], Any]:
    return call


def _shortened(call: Call, steps: int) -> dict[str, Any]:
    """The arguments of a call that makes fewer steps."""
    sequences = [
        {"input": x[: steps + Sequence("", tuple(sorted(taps))).reach], "taps": list(taps)}
        for x, taps in call.sequences
    ]
    return {**call.given, "sequences": sequences or None, "n_steps": steps}


def lengths_of(target: Target) -> Iterator[int]:
    """Powers of ten up to the steps of the example inputs, and those."""
    given = target.examples()
    if not isinstance(target.function, ScanFunction) or not isinstance(given, dict):
        return
    whole = Call(target.function, given).steps
    steps = 100
    while steps < whole:
        yield steps
        steps *= 10
    yield whole


def _interpreted(call: Call) -> Callable[[], Any]:
    return lambda: call.scan(**call.given, mode="interpret")


def _oracle(call: Call) -> Callable[[], Any]:
    """The interpreter; for many steps a Python loop, a seventh of its time, that is checked on the first ones."""
    if call.steps <= ORACLE_STEPS:
        return _interpreted(call)

    def run() -> Any:
        try:
            found = parts_of(python_loop(call)())
        except NotComparable:  # a step that no plain loop runs
            return _interpreted(call)()
        start = parts_of(_interpreted(Call(call.scan, _shortened(call, ORACLE_STEPS)))())
        gap, relative = differences([np.asarray(f)[:ORACLE_STEPS] for f in found], [np.asarray(s) for s in start])
        if not relative <= TOLERANCE:
            raise ArithmeticError(f"a Python loop differs by {gap:.3g} from the interpreter, relatively {relative:.3g}")
        return found

    return run


def _on_device(call: Call) -> Callable[[], Any]:
    """The same scan with all arrays on the device; a call ends when the device is done."""
    from scancc.backends.cuda.toolkit import cuda

    given = call.given
    there = device_put({k: v for k, v in given.items() if k not in ("n_steps", "outputs_info")})
    infos = [dict(o, initial=device_put(o["initial"])) if isinstance(o, dict) else o for o in given["outputs_info"]]
    made = ScanFunction(call.scan.fn, replace(call.scan.options, target="cuda"), call.scan.name)

    def run() -> Any:
        result = made(**{**given, **there, "outputs_info": infos})
        cuda().synchronize()
        return result

    return run


def _made(make: Callable[[Call], Callable[[], Any]], call: Call, inputs: Any) -> Callable[[], Any]:
    return make(call)
