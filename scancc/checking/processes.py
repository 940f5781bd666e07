"""Sampling in a process of its own: `python -m scancc.checking.processes`, a JSON object on standard input and output.

    in   {"subjects": ["path/model.py:ar2", ...], "plan": {fields of Plan}}
    out  {"kernels": {name: [seconds, ...]}, "subjects": {...}, "stressed": {...} or null}

Code and stacks lie elsewhere in every process, so a time that is to hold for the next one comes from several.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from scancc.checking.placement import placed, shaken
from scancc.checking.sampling import Calls, Plan, Times, sample
from scancc.cli.loading import Target, load
from scancc.errors import ScanError


class SamplingError(ScanError, RuntimeError):
    """A process that was to time functions ended without their times."""


def sample_in_process(subjects: Sequence[Target], plan: Plan) -> Times:
    """Have a new Python process load these functions again and time them.

    Raises SamplingError with the last line of what that process said.
    """
    request = {"subjects": [f"{t.file.resolve()}:{t.name}" for t in subjects], "plan": asdict(plan)}
    finished = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(request), capture_output=True, text=True
    )
    if finished.returncode:
        said = (finished.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise SamplingError(f"a process that timed {', '.join(t.label for t in subjects)} failed: {said}")
    # What the user's module prints when it is imported comes before.
    return _from_json(json.loads(finished.stdout.splitlines()[-1]))


def sample_here(subjects: Sequence[Target], plan: Plan) -> Times:
    """Time the functions in this process, each on the examples of its file."""
    rng = np.random.default_rng()
    examples = {t.label: t.examples() for t in subjects}
    held: list[np.ndarray] = []

    def calls() -> Calls:
        held[:] = shaken(rng)
        made = {}
        for target in subjects:
            given = placed(examples[target.label], rng)
            made[target.label] = (
                partial(target.function, **given) if isinstance(given, dict) else partial(target.function, *given)
            )
        return made

    return sample(calls, plan)


def _as_json(times: Times | None) -> dict[str, Any] | None:
    if times is None:
        return None
    seconds = {kind: {n: s.tolist() for n, s in getattr(times, kind).items()} for kind in ("kernels", "subjects")}
    return {**seconds, "stressed": _as_json(times.stressed)}


def _from_json(given: dict[str, Any]) -> Times:
    kernels, subjects = ({n: np.array(s) for n, s in given[kind].items()} for kind in ("kernels", "subjects"))
    return Times(kernels, subjects, _from_json(given["stressed"]) if given["stressed"] else None)


def main() -> None:
    request = json.load(sys.stdin)
    times = sample_here([load(s) for s in request["subjects"]], Plan(**request["plan"]))
    sys.stdout.write("\n" + json.dumps(_as_json(times)) + "\n")


if __name__ == "__main__":
    main()
