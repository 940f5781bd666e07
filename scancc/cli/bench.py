"""`scancc bench`: compiled scans against what else one could write, interleaved in one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from scancc.api import ScanFunction
from scancc.cli import suite
from scancc.cli.contenders import FACTORIES, Call
from scancc.cli.loading import Target, UsageError, load
from scancc.cli.tables import show
from scancc.driver import options_of
from scancc.measure import QUICK, Factory, Options, Workload, environment, measure, write_report
from scancc.placement import device_put


def race(subjects: list[str], out: Path | None, quick: bool, device: str = "cpu") -> bool:
    """Time each subject and print its table; False if an implementation failed or was wrong.

    `device`: "cuda" to have scancc run on a GPU, too. Raises DeviceError without one.
    """
    options_of(target=device)
    record = environment()
    results = []
    targets = [load(s) for s in subjects] if subjects else suite.targets()
    status = Console(stderr=True)
    for target in targets:
        with status.status(f"{target.label}: checking and timing"):
            result = measure(_workload(target, device), QUICK if quick else Options())
        results.append(result)
        show(result)
    if out is not None:
        write_report(out, record, results)
    return not any(r.failed for r in results)


def _workload(target: Target, device: str) -> Workload:
    given = target.examples()
    function = target.function
    if isinstance(function, ScanFunction):
        if not isinstance(given, dict):
            raise UsageError(f"{target.label}: the example inputs of a scan are a dict of its arguments")
        call = Call(function, given)
        factories: dict[str, Factory] = {name: partial(_made, make, call) for name, make in FACTORIES.items()}
        steps = call.steps
        if device == "cuda":
            factories["scancc on the GPU"] = lambda inputs: _on_device(function, given)
    else:
        args, kwargs = ((), given) if isinstance(given, dict) else (given, {})
        factories = {
            "interpreter": lambda inputs: lambda: function(*args, mode="interpret", **kwargs),
            "scancc": lambda inputs: lambda: function(*args, **kwargs),
        }
        steps = 0
    own = getattr(target.module, "scancc_contenders", None)
    if own is not None:
        factories |= {name: (lambda inputs, f=f: f) for name, f in own().get(target.name, {}).items()}
    return Workload(target.label, steps, dict, factories, tolerance=1e-5, reference="scancc")


def _on_device(function: ScanFunction, given: dict[str, Any]) -> Any:
    """The same scan with all arrays on the device; a call ends when the device is done."""
    from scancc.backends.cuda.toolkit import cuda

    there = device_put({k: v for k, v in given.items() if k not in ("n_steps", "outputs_info")})
    infos = [dict(o, initial=device_put(o["initial"])) if isinstance(o, dict) else o for o in given["outputs_info"]]
    made = ScanFunction(function.fn, replace(function.options, target="cuda"), function.name)

    def run() -> Any:
        result = made(**{**given, **there, "outputs_info": infos})
        cuda().synchronize()
        return result

    return run


def _made(make: Any, call: Call, inputs: Any) -> Any:
    return make(call)
