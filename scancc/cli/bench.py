"""`scancc bench`: compiled scans against what else one could write, interleaved in one process."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from scancc.api import ScanFunction
from scancc.cli import suite
from scancc.cli.contenders import FACTORIES, Call
from scancc.cli.loading import Target, UsageError, load
from scancc.cli.tables import show
from scancc.measure import QUICK, Factory, Options, Workload, environment, measure, write_report


def race(subjects: list[str], out: Path | None, quick: bool) -> bool:
    """Time each subject and print its table; False if an implementation failed or was wrong."""
    record = environment()
    results = []
    targets = [load(s) for s in subjects] if subjects else suite.targets()
    status = Console(stderr=True)
    for target in targets:
        with status.status(f"{target.label}: checking and timing"):
            result = measure(_workload(target), QUICK if quick else Options())
        results.append(result)
        show(result)
    if out is not None:
        write_report(out, record, results)
    return not any(r.failed for r in results)


def _workload(target: Target) -> Workload:
    given = target.examples()
    function = target.function
    if isinstance(function, ScanFunction):
        if not isinstance(given, dict):
            raise UsageError(f"{target.label}: the example inputs of a scan are a dict of its arguments")
        call = Call(function, given)
        factories: dict[str, Factory] = {name: partial(_made, make, call) for name, make in FACTORIES.items()}
        steps = call.steps
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


def _made(make: Any, call: Call, inputs: Any) -> Any:
    return make(call)
