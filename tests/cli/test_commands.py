"""The command line as a user meets it: outputs, files, exit statuses and error texts, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scancc as sc
from scancc.cli import main
from scancc.cli.chunks import run_in_chunks
from scancc.cli.data import sequences
from scancc.cli.loading import UsageError

MODEL = """
import numpy as np
import scancc as sc
from neighbour import GAIN

@sc.scan_compile
def ar2(x, y2, y1, a, b):
    return GAIN * x + a * y1 + b * y2

@sc.jit
def last(x, h):
    return sc.scan(lambda v, s: np.tanh(v + s), x, h)[-1]

def plain(x):
    return x

SCANCC_EXAMPLE_INPUTS = {
    "ar2": dict(sequences=np.ones(50), outputs_info=[dict(initial=np.zeros(2), taps=[-2, -1])],
                non_sequences=[0.5, 0.2]),
    "last": (np.ones(9), 0.5),
}
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "neighbour.py").write_text("GAIN = 1.0\n")
    return tmp_path / "model.py"


def call(*arguments: object) -> subprocess.CompletedProcess:
    root = Path(__file__).parent.parent.parent
    path = os.pathsep.join([str(root), str(root / "runtime"), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-c", "import sys; from scancc.cli import main; sys.exit(main())", *map(str, arguments)],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path, "COLUMNS": "160"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("emit", "text"),
    [
        ("ir", "carry y taps [-2, -1]"),
        ("loop", "kernel ar2("),
        ("source", "def ar2("),
        ("llvm", "define"),
        ("asm", "vfmadd"),
    ],
)
def test_compile_emits_every_stage(model, capsys, emit, text):
    assert main(["compile", f"{model}:ar2", "--emit", emit]) == 0
    assert text in capsys.readouterr().out


def test_compile_dumps_and_explains(model, capsys):
    assert main(["compile", f"{model}:ar2", "--dump-after", "trace"]) == 0
    assert "program ar2" in capsys.readouterr().out
    assert main(["compile", f"{model}:ar2", "--dump-after", "split_loops"]) == 0
    assert "kernel ar2(" in capsys.readouterr().out
    assert main(["compile", f"{model}:ar2", "--explain"]) == 0
    assert "taps in registers" in capsys.readouterr().out


def test_compile_takes_types(model, capsys):
    assert main(["compile", f"{model}:last", "--arg", "f4[n]", "--arg", "f32[]"]) == 2
    assert main(["compile", f"{model}:last", "--arg", "f32[n]", "--arg", "f32[]", "--emit", "ir"]) == 0
    assert "f32[n_x]" in capsys.readouterr().out


def test_a_second_process_prints_the_same(model):
    first, second = (call("compile", f"{model}:ar2", "--emit", "asm") for _ in range(2))
    assert first.returncode == second.returncode == 0
    assert "vfmadd" in second.stdout


def test_run_reads_and_writes_files(model, tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=100)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", other=np.zeros(3), x=x)
    np.savetxt(
        tmp_path / "x.csv", np.stack([np.arange(100), x], 1), delimiter=",", header="year,x", comments="", fmt="%.17g"
    )
    want = sc.scan(lambda x, y2, y1: x + 0.5 * y1 + 0.2 * y2, x, [dict(initial=[0.25, 0.5], taps=[-2, -1])])
    rest = ["--initial", "0.25,0.5", "--taps=-2,-1", "--non-sequences", "0.5", "--non-sequences", "0.2"]
    for source in (["--sequences", tmp_path / "x.npy"], ["--sequences", tmp_path / "x.npz", "--columns", "x"],
                   ["--sequences", tmp_path / "x.csv", "--columns", "x", "--chunk", "7"]):  # fmt: skip
        for out in ("y.npy", "y.npz", "y.csv"):
            assert main(["run", f"{model}:ar2", *map(str, source), *rest, "-o", str(tmp_path / out)]) == 0
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), want, rtol=1e-12)
        np.testing.assert_allclose(np.load(tmp_path / "y.npz")["output_0"], want, rtol=1e-12)
        np.testing.assert_allclose(np.loadtxt(tmp_path / "y.csv"), want, rtol=1e-12)
    capsys.readouterr()
    assert main(["run", f"{model}:ar2", "--sequences", str(tmp_path / "x.npy"), *rest, "--n-steps", "3"]) == 0
    np.testing.assert_allclose([float(v) for v in capsys.readouterr().out.split()], want[:3])


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_pieces_give_what_one_call_gives(chunk):
    x = np.random.default_rng(1).normal(size=(30, 2))

    def step(past, now, future, y3, y1, h, a):
        return past + now - future + a * y1 - 0.2 * y3, h * 0.5 + now.sum(), future

    outputs = [dict(initial=np.ones((3, 2)), taps=[-3, -1]), dict(initial=1.0), None]
    f = sc.scan_compile(step)
    sequences = [dict(input=x, taps=[-1, 0, 2])]
    pieces = run_in_chunks(f, sequences, outputs, [0.3], None, chunk)
    for got, want in zip(pieces, f(sequences, outputs, [0.3]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["compile", "nowhere.py:x"], 2, "there is no file nowhere.py"),
        (["compile", "{model}:ar"], 2, "did you mean ar2?"),
        (["compile", "{model}:plain"], 2, "not decorated"),
        (["compile", "{model}"], 2, "name one function of model.py"),
        (["compile", "{model}:ar2", "--emit", "pdf"], 2, "choose one of ir, loop, source, llvm, asm"),
        (["compile", "{model}:ar2", "--dump-after", "lunch"], 2, "--dump-after lunch: choose one of trace, simplify"),
        (["compile", "{model}:ar2", "--nonsense"], 2, "--nonsense"),
        (["run", "{model}:ar2", "--sequences", "x.dat"], 2, "there is no file x.dat"),
        (["run", "{model}:ar2", "--initial", "zero"], 2, "neither numbers nor a .npy file"),
        (["run", "nowhere.py:x", "-o", "none/y.npy"], 2, "-o none/y.npy: there is no folder none"),
        (["run", "nowhere.py:x", "-o", "y.txt"], 2, "-o y.txt: use .npy, .npz or .csv"),
        (["run", "{model}:ar2"], 1, "the number of steps is unknown"),
        (["cache"], 2, "Usage"),
    ],
)
def test_errors_are_one_block(model, arguments, status, text, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert main([a.format(model=model) for a in arguments]) == status
    shown = capsys.readouterr()
    assert text in shown.err + shown.out
    assert "Traceback" not in shown.err


def test_the_status_of_the_process_is_that_of_the_error(model):
    assert call("compile", "nowhere.py:x").returncode == 2
    assert call("run", f"{model}:ar2").returncode == 1


def test_debug_shows_the_traceback(model):
    done = call("compile", f"{model}:ar2", "--dump-after", "lunch", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_files_called_like_other_modules(tmp_path):
    """Those modules stay what they are, imported before the file or not yet; files of one name are two modules."""
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "neighbour.py").write_text(f"VALUE = {value}\n")
        for name in ("random", "sched", "same"):
            text = f"from neighbour import VALUE\nHERE = {value}\nassert __import__('sys').modules[__name__].HERE\n"
            (tmp_path / folder / f"{name}.py").write_text(text)
    script = f"""
import random, sys
from pathlib import Path
from scancc.cli.loading import module_of
assert "sched" not in sys.modules
folder = Path({str(tmp_path)!r})
one, two = module_of(folder / "a/random.py"), module_of(folder / "a/sched.py")
assert one.HERE == two.HERE == 1 and sys.modules["random"] is random and one is not random
import sched
assert sched is not two and sched.scheduler
first = module_of(folder / "a/same.py")
assert first.__name__ == "same" and module_of(folder / "b/same.py").HERE == 2
assert sys.modules["same"] is first
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_that_does_not_load_says_why(tmp_path):
    (tmp_path / "broken.py").write_text("import scancc as sc\nsc.scan(\n")
    done = call("compile", f"{tmp_path / 'broken.py'}:f")
    assert done.returncode == 1 and "SyntaxError" in done.stderr and "Traceback" not in done.stderr




def test_cache_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path / "kernels"))
    sc.scan(lambda x: x * 1.2345, np.ones(3))
    assert main(["cache", "info"]) == 0
    assert "1 kernels" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "1 kernels removed" in capsys.readouterr().out
    monkeypatch.setenv("SCANCC_CACHE_DIR", "")
    assert main(["cache", "info"]) == 0
    assert "off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has no rows of numbers below its header a,b"),
        ("1\n2\noops\n", "'oops' in row 3 of column '0' is not a number"),
        ("a,b\n1,x\n2,y\n", None),
        ("a\n1\n\nNA\n", None),
    ],
)
def test_cells_that_are_not_numbers(tmp_path, text, message):
    """A column of text is passed over and a missing number is NaN, but text among numbers is an error."""
    file = tmp_path / "x.csv"
    file.write_text(text)
    if message is None:
        (column,) = sequences([file], None)
        assert len(column) == 2 and column[0] == 1
    else:
        with pytest.raises(UsageError, match=message):
            sequences([file], None)
