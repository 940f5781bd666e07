"""CPU seconds of first calls, scancc beside JAX: python bench/compile_time.py [program ...] [--quick | --all] ...

A row is a program or its gradient ("garch", "garch-gradient"), each in a process of its own with empty caches, after
that library has compiled something else; names may be those of families ("mlstm") and of workloads of this folder. The
time is that of tracing, compiling and one run on a few rows, of all threads of the process. No row counts whose two
results differ. `--quick` is a handful of rows; `--all` has those, too, that take minutes. Exit status 1 means that
scancc raised or that results differ.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import compile_models
import compile_networks
import compile_report
import compile_sizes
from compile_clock import INTERPRETER, Row, serve
from compile_programs import LIBRARIES, Program

from scancc.cli.workloads import declared
from scancc.measure import Result, Timing, Workload, differences, environment, peer_of

HERE = Path(__file__).parent
QUICK = ("pid-gradient", "suite/ar2/1e4", "where/30")
TOLERANCE = 1e-6  # of the largest value of a part of the result


@dataclass(frozen=True)
class Measured:
    """What is known of a row.

    samples   figures of each repeat by library: see `compile_clock.clock`
    gap       how far scancc's results are from JAX's, or from the interpreter's where JAX has none, relative to the
              largest value of that part; None where nothing is known
    """

    name: str
    size: int | None
    samples: dict[str, list[dict[str, Any]]]
    gap: float | None = None
    notes: list[str] = field(default_factory=list)
    failed: bool = False

    def seconds(self, library: str) -> float | None:
        """The median of the repeats."""
        found = [figures["cpu_s"] for figures in self.samples.get(library, ())]
        return median(found) if found else None

    @property
    def ratio(self) -> float | None:
        """scancc's seconds over JAX's."""
        own, other = self.seconds("scancc"), self.seconds("jax")
        return own / other if own and other else None


@dataclass(frozen=True)
class Task:
    """A row to be measured; `tolerance` is what its results may differ by."""

    name: str
    row: Row
    size: int | None = None
    tolerance: float = TOLERANCE
    long: bool = False  # it takes minutes


# -- rows --------------------------------------------------------------------------------------------------------------


def tasks() -> Iterator[Task]:
    for module in (compile_models, compile_networks, compile_sizes):
        for program in module.programs():
            for gradient in (False, True):
                if bool(program.wrt) if gradient else program.value:
                    yield Task(_named(program.name, gradient), partial(_call, program, gradient), program.size,
                               long=program.all_only)  # fmt: skip
    for file in sorted(HERE.glob("*.py")):
        if file.stem.startswith("compile_"):
            continue
        for workload in declared(str(file), quick=True) or ():
            if isinstance(workload, Workload):
                made = workload.implementations
                versions = {name: next((n for n in made if peer_of(n) == name), "") for name in LIBRARIES}
                if all(versions.values()):
                    yield Task(f"suite/{workload.name}", partial(_call_workload, workload, versions),
                               tolerance=max(TOLERANCE, workload.tolerance))  # fmt: skip


def _named(name: str, gradient: bool) -> str:
    stem, slash, size = name.partition("/")
    return f"{stem}-gradient{slash}{size}" if gradient else name


def _call(program: Program, gradient: bool, name: str) -> Callable[[], Any]:
    if name == INTERPRETER:
        interpreted = program.compiled(LIBRARIES["scancc"](), gradient)
        return lambda: interpreted(*program.inputs(), mode="interpret")
    function = program.compiled(LIBRARIES[name](), gradient)
    if name == "jax":
        import jax

        arguments = [jax.numpy.asarray(a) for a in program.inputs()]
        return lambda: jax.block_until_ready(function(*arguments))
    arguments = list(program.inputs())
    return lambda: function(*arguments)


def _call_workload(workload: Workload, versions: dict[str, str], name: str) -> Callable[[], Any]:
    factory = workload.oracle if name == INTERPRETER else workload.implementations[versions[name]]
    return factory(workload.make_inputs())


def chosen(names: list[str], every: bool) -> list[Task]:
    """Rows of these names or families, all without one; those that take minutes where `every` or their name is given.

    Raises SystemExit for a name that there is not.
    """
    there = list(tasks())
    for n in names:
        if not any(_is(t.name, n) for t in there):
            raise SystemExit(f"no program is named {n!r}: there are {', '.join(t.name for t in there)}")
    return [t for t in there if (not names or any(_is(t.name, n) for n in names))
            and (every or not t.long or t.name in names)]  # fmt: skip


def _is(row: str, name: str) -> bool:
    """Whether a row has this name, or is of this family, gradients included."""
    return row == name or f"{row}/".replace("-gradient/", "/").startswith(f"{name}/") or row.startswith(f"{name}/")


# -- measuring ---------------------------------------------------------------------------------------------------------


def measure(task: Task, libraries: list[str], repeats: int, limit: float) -> Measured:
    """Each repeat in a process of its own. One that takes longer than `limit` seconds is ended, which is noted."""
    samples: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for _ in range(repeats):
        for name, figures, made in _repeat(task, [n for n in libraries if n not in notes], limit):
            if isinstance(figures, str):
                notes[name] = figures
            else:
                samples.setdefault(name, []).append(figures)
                results[name] = made
    if set(results) == {"scancc"}:
        for name, _, made in _repeat(task, [INTERPRETER], limit):
            if made is not None:
                results[name] = made
    gap = None
    if len(results) == 2:
        _, gap = differences(*results.values())
    wrong = gap is not None and not gap <= task.tolerance
    told = [f"{name}: {note}" for name, note in notes.items()]
    if wrong:
        told.append(f"results differ by {gap:.2g} of the largest value, where {task.tolerance:.2g} is allowed")
    if gap is None and "scancc" in results:
        told.append("nothing to compare the result with")
    raised = "scancc" in notes and not notes["scancc"].startswith("over ")
    return Measured(task.name, task.size, samples, gap, told, wrong or raised)


def _repeat(task: Task, libraries: list[str], limit: float) -> Iterator[tuple[str, Any, Any]]:
    """Of each library: its name, the figures and results, or what went wrong.

    Processes are forked from this one, which has imported everything and run nothing: neither library has threads yet.
    """
    left = list(libraries)
    context = multiprocessing.get_context("fork")
    while left:
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, task.row, left), daemon=True)
        process.start()
        theirs.close()
        try:
            while left:
                if not ours.poll(limit):
                    yield left.pop(0), f"over {limit:g} s", None
                    break
                yield ours.recv()
                left.pop(0)
        except EOFError:  # it died
            process.join()
            yield left.pop(0), f"its process ended with exit code {process.exitcode}", None
        process.kill()
        process.join()
        ours.close()


# -- reports -----------------------------------------------------------------------------------------------------------


def save(path: Path, found: list[Measured]) -> None:
    record = {"environment": environment(), "rows": [asdict(m) for m in found]}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Measured]:
    return [Measured(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def run(quick: bool) -> list[Result]:
    """For bench/run.py, whose process has threads already: the rows are measured from a new one."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.json")
        command = [sys.executable, __file__, "--save", str(out), *(["--quick"] if quick else [])]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        return [_result(m) for m in read(out)]


def _result(m: Measured) -> Result:
    timings = []
    gap = float(m.gap or 0.0)
    for name, samples in m.samples.items() if m.gap is not None else ():  # no row without a check of its answer
        seconds = [figures["cpu_s"] for figures in samples]
        own = m.seconds("scancc")
        ratio = median(seconds) / own if own else 1.0
        extra = {f"{part}, s": float(v) for part, v in samples[0]["parts"].items()}
        timings.append(Timing(name, median(seconds), min(seconds), None, seconds[0], gap, len(seconds), 1,
                              ratio, ratio, ratio, gap, extra))  # fmt: skip
    return Result(f"compile_time/{m.name}", None, "scancc", timings, m.notes, m.failed)


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU seconds of first calls.", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="program", help="default: all but those of --all")
    parser.add_argument("--quick", action="store_true", help="a few rows, to see that it works")
    parser.add_argument("--all", action="store_true", help="those that take minutes, too")
    parser.add_argument("--against", choices=("jax", "none"), default="jax")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="processes of each row; default: one")
    parser.add_argument("--limit", type=float, default=120.0, metavar="SECONDS", help="of one library in a row")
    parser.add_argument("--save", type=Path, metavar="FILE", help="all figures as JSON, after each row")
    parser.add_argument("--read", type=Path, metavar="FILE", help="show what --save wrote instead of measuring")
    parser.add_argument("--before", type=Path, metavar="FILE", help="an earlier --save to compare with")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="seconds over sizes: .svg, .png or .html")
    given = parser.parse_args()
    compile_report.check(given.plot)
    before = read(given.before) if given.before else []
    if given.read:
        found = read(given.read)
    else:
        libraries = ["scancc"] if given.against == "none" else list(LIBRARIES)
        for name in list(libraries):  # imports, once for all processes
            try:
                LIBRARIES[name]()
            except ImportError as error:
                print(f"{name}: skipped, {error}", file=sys.stderr)
                libraries.remove(name)
        found = []
        for task in chosen(list(QUICK) if given.quick else given.names, given.all):
            found.append(measure(task, libraries, given.repeats, given.limit))
            compile_report.tell(found[-1])
            if given.save:
                save(given.save, found)
    compile_report.show(found, before)
    if given.plot:
        compile_report.plot(given.plot, found, before)
    return int(any(m.failed for m in found))


if __name__ == "__main__":
    sys.exit(main())
