"""The commands, and how their errors are shown: one block and an exit status, never a traceback but for --debug.

Exit status: 0 done, 1 the work failed (a step that does not compile, an unreadable file), 2 the command was wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from scancc.cli import data
from scancc.cli.check import check
from scancc.cli.doctor import doctor
from scancc.cli.explain import explain
from scancc.cli.loading import UsageError, load
from scancc.driver import TARGETS
from scancc.errors import ScanError
from scancc.passes.pipeline import LOOP_PIPELINE, PIPELINE

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Compile, run and time scans: recurrences written as NumPy step functions.")  # fmt: skip
cache_app = typer.Typer(no_args_is_help=True, help="The cache of compiled kernels on disk.")
app.add_typer(cache_app, name="cache")

Subject = Annotated[str, typer.Argument(metavar="FILE:NAME", help="a @scan_compile or @jit function of a Python file")]
Types = Annotated[
    list[str] | None,
    typer.Option("--arg", metavar="TYPE", help="type of an argument, such as f64\\[n,3]; in the function's order"),
]
LOOPS = ("lower", *(step.name for step in LOOP_PIPELINE))
EMIT = {"ir": "python", "loop": "python", "source": "python", "llvm": "llvm", "asm": "nasm"}


def output(text: str, language: str | None = None) -> None:
    """Text on standard output, in colours on a terminal, byte for byte as it is elsewhere."""
    console = Console()
    if language is None or not console.is_terminal:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
    else:
        console.print(Syntax(text, language, background_color="default"))


@app.command("compile")
def compile_(
    subject: Subject,
    emit: Annotated[str, typer.Option(help=f"{' | '.join(EMIT)}")] = "source",
    dump_after: Annotated[
        str | None, typer.Option(metavar="PASS", help="the IR after a pass, or before any: 'trace', 'lower' of loops")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="what was hoisted, fused, stored")] = False,
    arg: Types = None,
) -> None:
    """Show what a scan is compiled to.

    Argument types come from --arg, or from the example inputs that the file declares: a dict SCANCC_EXAMPLE_INPUTS,
    or a function scancc_example_inputs that returns one, with the arguments of each function by its name.
    """
    if emit not in EMIT:
        raise UsageError(f"--emit {emit}: choose one of {', '.join(EMIT)}")
    stages = ("trace", *(step.name for step in PIPELINE), *LOOPS)
    if dump_after is not None and dump_after not in stages:
        raise UsageError(f"--dump-after {dump_after}: choose one of {', '.join(stages)}")
    program = load(subject).program(arg)
    if explain:
        output(program.explain())
    elif dump_after is not None:
        output(program.loop_ir(dump_after) if dump_after in LOOPS else program.ir(dump_after), "python")
    else:
        shown = {"ir": program.ir, "loop": program.loop_ir, "source": program.source, "llvm": program.llvm,
                 "asm": program.asm}  # fmt: skip
        output(shown[emit](), EMIT[emit])


Files = Annotated[list[Path] | None, typer.Option(help="a .csv, .npy or .npz file; repeat for more")]
Columns = Annotated[str | None, typer.Option(help="columns of a .csv or names of a .npz, separated by commas")]
Initial = Annotated[
    list[str] | None, typer.Option(help="an output's initial value: 0.5, 0,1 or a .npy file; 'none' without feedback")
]
Taps = Annotated[list[str] | None, typer.Option(help="taps of each --initial, such as -2,-1")]
Values = Annotated[list[str] | None, typer.Option(help="a number, numbers with commas, or a .npy file")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help=".npy, .npz or .csv; else numbers on standard output")]


@app.command()
def run(
    subject: Subject,
    sequences: Files = None,
    columns: Columns = None,
    initial: Initial = None,
    taps: Taps = None,
    non_sequences: Values = None,
    n_steps: Annotated[int | None, typer.Option(min=0)] = None,
    out: Out = None,
    chunk: Annotated[int, typer.Option(min=1, help="steps between two moves of the progress bar")] = 4_000_000,
) -> None:
    """Run a scan on data from files."""
    data.check_out(out)
    target = load(subject)
    values = data.sequences(sequences or [], columns)
    info = data.outputs(initial or [], taps or [])
    rest = [data.value(text) for text in non_sequences or []]
    results = target.run(values, info, rest, n_steps, chunk)
    data.write(results, out)


@app.command()
def bench(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE:NAME", help="functions with example inputs, or files and folders that "
                       "declare workloads; default: a small built-in suite"),
    ] = None,
    against: Annotated[str, typer.Option(metavar="PEERS", help="only these, such as jax,numba,c")] = "",
    gradient: Annotated[bool, typer.Option("--grad", help="also the derivatives")] = False,
    lengths: Annotated[str, typer.Option(metavar="STEPS", help="scans cut to so many steps: 100,10000")] = "",
    json: Annotated[bool, typer.Option("--json", help="JSON on standard output instead of tables")] = False,
    limit: Annotated[float | None, typer.Option(metavar="SECONDS", min=0.0, help="for a workload's repeats")] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="write the environment and all results")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="a picture: .png, .svg or .html")] = None,
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="of each library: BLAS, OpenMP, XLA")] = 1,
    quick: Annotated[bool, typer.Option("--quick", help="fewer and shorter repeats")] = False,
    target: Annotated[str, typer.Option(help="cuda: also on a GPU, with the arrays there")] = "cpu",
) -> None:
    """Time compiled scans against a Python loop, an njit loop, and JAX and PyTensor where they are installed.

    Each of them has one thread, unless --threads says otherwise.
    """
    from scancc.cli.bench import Request, race

    if target not in TARGETS:
        raise UsageError(f"--target {target}: choose one of {', '.join(TARGETS)}")
    peers = tuple(p.strip() for p in against.split(",") if p.strip())
    request = Request(tuple(subjects or ()), quick, target, peers, gradient, whole_numbers("--lengths", lengths), json,
                      limit, save, plot, threads)  # fmt: skip
    if not race(request):
        raise typer.Exit(1)


def whole_numbers(option: str, text: str) -> tuple[int, ...]:
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if not all(p.isdigit() and int(p) for p in parts):
        raise UsageError(f"{option} {text}: write positive whole numbers with commas between them")
    return tuple(int(p) for p in parts)


app.command()(check)
app.command()(explain)
app.command()(doctor)


@cache_app.command("info")
def cache_info() -> None:
    """Where compiled kernels are kept, how many there are and how large they are."""
    from scancc.backends import disk_cache

    folder = disk_cache.directory()
    if folder is None:
        output("the cache is off (SCANCC_CACHE_DIR is empty)")
        return
    sizes = [p.stat().st_size for p in disk_cache.files()]
    output(f"{folder}\n{len(sizes)} kernels, {sum(sizes) / 1e6:.2f} MB")


@cache_app.command("clear")
def cache_clear() -> None:
    """Remove every compiled kernel."""
    from scancc.backends import disk_cache

    count, size = disk_cache.clear()
    output(f"{count} kernels removed, {size / 1e6:.2f} MB")


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="show tracebacks")] = False) -> None:
    """Options of all commands."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    # Wherever it stands among the options, it is one of the program.
    given = (["--debug"] if debug else []) + [a for a in given if a != "--debug"]
    return reporting_errors(lambda: app(args=given, prog_name="scancc"), debug)


def reporting_errors(command: Callable[[], Any], debug: bool = False) -> int:
    """The exit status of a command, whose errors are shown in one block; with `debug` they are raised."""
    try:
        return int(command() or 0)
    except SystemExit as e:  # how typer ends, well or with a usage error that it has shown
        return int(e.code or 0)
    except UsageError as e:
        return _failed(str(e), 2, "usage", debug)
    except KeyboardInterrupt:
        return _failed("interrupted", 1, "stopped", debug)
    except (ScanError, OSError, ValueError, TypeError, ArithmeticError, ImportError, LookupError, SyntaxError) as e:
        what = str(e) if isinstance(e, ScanError) else f"{type(e).__name__}: {e}"
        return _failed(what, 1, "failed", debug)


def _failed(text: str, status: int, title: str, debug: bool) -> int:
    if debug:
        raise
    console = Console(stderr=True)
    if console.is_terminal:
        console.print(Panel(Text(text), title=title, title_align="left", border_style="red"))
    else:
        sys.stderr.write(f"scancc: {title}: {text}\n")
    return status
