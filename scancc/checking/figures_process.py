"""Static figures of all subjects, from a process of its own that compiles for a fixed processor.

numba takes the processor from the environment when it is imported, so the process that runs the check cannot compile
for another one. `python -m scancc.checking.figures_process REQUEST ANSWER` is that process; both are JSON files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scancc.checking.baseline import record, tools
from scancc.checking.subjects import arguments_of, targets_of
from scancc.cli.loading import Target, UsageError
from scancc.static import processors
from scancc.static.figures import figures_of

# Variables that would change the machine code: figures must be those of every machine.
CHANGING = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_LOOP_VECTORIZE", "NUMBA_SLP_VECTORIZE",
            "NUMBA_ENABLE_AVX", "NUMBA_DISABLE_JIT", "NUMBA_DEBUG", "NUMBA_DEBUGINFO", "NUMBA_BOUNDSCHECK")  # fmt: skip
FIXED = {
    "NUMBA_DISABLE_INTEL_SVML": "1",
    "PYTHONHASHSEED": "0",
    "SCANCC_CACHE_DIR": "",  # assembly is not in the cache
}


@dataclass(slots=True)
class Answer:
    """`figures` by subject, as a baseline holds them. `failed` and `gone` say why a subject has none: it does not
    compile, or is not there."""

    made_with: dict[str, str]
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)


def figures_for(subjects: list[str], base: Path, cpu: str, known: bool = False) -> Answer:
    """Figures of FILE:NAME, FILE or folders, compiled for `cpu` by one process. Keys are relative to the folder `base`.

    With `known` the subjects are keys of a baseline, and those that are not there any more are `gone`.
    Raises UsageError for a wrong subject or processor, and for a file that cannot be imported.
    """
    try:
        fixed = processors.environment_for(cpu)
    except ValueError as e:
        raise UsageError(f"--cpu: {e}") from None
    environment = {k: v for k, v in os.environ.items() if k not in CHANGING} | FIXED | fixed
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)  # what this process can import, that one can
    with tempfile.TemporaryDirectory(prefix="scancc-check-") as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        request.write_text(json.dumps({"subjects": subjects, "base": str(base.resolve()), "known": known}))
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(request), str(answer)],
            env=environment, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        if not answer.exists():
            last = "\n".join(done.stderr.strip().splitlines()[-12:])
            how = f"with status {done.returncode}"
            if done.returncode < 0:  # a signal, such as that of an instruction which this machine does not have
                advice = "a file must not call compiled functions when it is imported"
                how = f"by signal {-done.returncode}\n  help: {advice}"
            raise UsageError(f"the process that compiles for {cpu} ended {how}\n{last}")
        made = json.loads(answer.read_text())
    if "usage" in made:
        raise UsageError(made["usage"])
    return Answer(**made)


def main(request: Path, answer: Path) -> None:
    asked = json.loads(request.read_text())
    base = Path(asked["base"])
    found = Answer(tools(processors.current() if processors.is_x86() else processors.machine()))
    result: dict[str, Any]
    try:
        if asked["known"]:
            for key in asked["subjects"]:
                _known(key, base, found)
        else:
            for target in targets_of(asked["subjects"], base):
                _add(target, found)
        result = {name: getattr(found, name) for name in ("made_with", "figures", "failed", "gone")}
    except UsageError as e:
        result = {"usage": str(e)}
    except Exception as e:  # whatever a user's file raises when it is imported
        result = {"usage": f"a subject cannot be loaded: {type(e).__name__}: {e}"}
    answer.write_text(json.dumps(result))


def _known(key: str, base: Path, found: Answer) -> None:
    try:
        (target,) = targets_of([str(base / key)], base)
    except UsageError as e:
        found.gone[key] = str(e)
    else:
        _add(target, found)


def _add(target: Target, found: Answer) -> None:
    try:
        program = target.program(None)
        found.figures[target.key] = record(figures_of(program, arguments_of(target, program)))
    except UsageError:
        raise
    except Exception as e:  # of the compiler or of the user's step: a subject that has no figures any more
        found.failed[target.key] = f"{type(e).__name__}: {e}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
