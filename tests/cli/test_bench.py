"""`scancc bench`: what is timed, against whom, and what is written."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from test_commands import model  # noqa: F401  (a fixture)
from threadpoolctl import threadpool_info

import scancc as sc
from scancc import threads
from scancc.cli import main, workloads
from scancc.cli.contenders import Call, compiled
from scancc.cli.gradient_contenders import GRADIENTS, differentiated
from scancc.cli.plots import _panels, write_plot
from scancc.measure import Options, Result, Workload, environment, measure, parts_of, read_report, timing
from scancc.summary import means, speed_ups

SHORT = Options(repeats=3, sample_s=1e-4, limit_s=1.0)


def bench(*arguments: object) -> int:
    return main(["bench", "--quick", *map(str, arguments)])


def test_a_report_is_written_and_read_again(model, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "r.json"
    assert bench(f"{model}:ar2", f"{model}:last", "--save", out, "--against", "python,numba") == 0
    environment, results = read_report(out)
    assert environment["versions"]["numba"]
    assert [{t.implementation for t in r.timings} for r in results] == [{"python", "numba", "scancc"}, {"scancc"}]
    shown = capsys.readouterr().out
    assert "ratio to scancc" in shown and "geometric mean" in shown


def test_a_limit_leaves_the_fewest_repeats(model, tmp_path):  # noqa: F811
    out = tmp_path / "r.json"
    assert bench(f"{model}:ar2", "--limit", 0, "--save", out, "--against", "numba") == 0
    assert [t.repeats for t in read_report(out)[1][0].timings] == [3, 3]


def test_json_is_all_that_is_printed(model, capsys):  # noqa: F811
    assert bench(f"{model}:ar2", "--json", "--against", "numba", "--lengths", "10,20") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["steps"] for r in results] == [10, 20]


def test_gradients_are_timed_when_asked_for(model, capsys):  # noqa: F811
    assert bench(f"{model}:ar2", f"{model}:last", "--json", "--grad", "--against", "scancc") == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["gradient"] for r in results] == [False, True, False, True]
    assert not any(r["failed"] for r in results)


def test_generated_gradients_agree():
    """With one another and with finite differences, for several states, taps of sequences and a vector."""
    x = np.random.default_rng(0).normal(size=(12, 3))

    @sc.scan_compile
    def step(before, now, y2, y1, z, a):
        y = before * now + a * y1 - 0.1 * y2
        return y, np.tanh(z + y), y.sum()

    given = dict(sequences=[dict(input=x, taps=[-1, 0])],
                 outputs_info=[dict(initial=np.ones((2, 3)), taps=[-2, -1]), np.zeros(3), None],
                 non_sequences=[0.3])  # fmt: skip
    call = Call(step, given)
    want = GRADIENTS["scancc"](call)()
    run, arguments = differentiated(call)
    assert [np.shape(g) for g in want] == [(2, 3), (3,), ()]

    def loss(a: float) -> float:
        outputs = step(**(given | dict(non_sequences=[a])))
        return sum(float((o * o).sum()) for o in outputs)

    np.testing.assert_allclose(want[2], (loss(0.3 + 1e-6) - loss(0.3 - 1e-6)) / 2e-6, rtol=1e-6)
    for got, one in zip(run(*arguments, mode="interpret"), want, strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-10)
    pytest.importorskip("jax")
    for got, one in zip(GRADIENTS["jax"](call)(), want, strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-6)


def test_plots(model, tmp_path, capsys):  # noqa: F811
    pytest.importorskip("matplotlib")
    page, bars, report = tmp_path / "plot.html", tmp_path / "plot.svg", tmp_path / "r.json"
    assert bench(f"{model}:ar2", "--plot", page, "--save", report, "--against", "numba", "--lengths", "10,40") == 0
    content = page.read_text()
    HTMLParser().feed(content)
    assert content.count("<svg") == 2 and "ar2/40" in content
    assert "src=" not in content and 'href="http' not in content  # one page, nothing from elsewhere
    record, results = read_report(report)
    for path in (bars, bars.with_suffix(".png")):
        write_plot(path, results, record)
        assert path.exists() and path.with_stem("plot-lengths").exists()
    ElementTree.fromstring(bars.read_text())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["{model}:ar2", "--plot", "x.gif"], "choose a name that ends in .png"),
        (["{folder}/none.py:f", "--save", "{folder}/none/r.json"], "none/r.json: there is no folder"),
        (["{folder}/none.py:f", "--save", "{folder}"], "this is a folder"),
        (["{folder}/none.py:f", "--plot", "{folder}/none/x.svg"], "none/x.svg: there is no folder"),
        (["{model}:ar2", "--target", "tpu"], "choose one of cpu, cuda"),
        (["{model}:ar2", "--against", "fortran"], "no workload has this peer"),
        (["{model}:ar2", "--lengths", "ten"], "positive whole numbers"),
        (["{model}:last", "--lengths", "10"], "only scans can be cut"),
        (["{folder}/w.py:other"], "it has one/1"),
    ],
)
def test_usage(model, tmp_path, arguments, text, capsys):  # noqa: F811
    (tmp_path / "w.py").write_text(WORKLOADS)
    assert bench(*(a.format(model=model, folder=tmp_path) for a in arguments)) == 2
    assert text in capsys.readouterr().err


WORKLOADS = """
import numpy as np
from scancc.measure import Workload

def workloads(quick):
    ones = lambda i: lambda: np.ones(3)
    one = {"scancc": ones, "c": ones}
    return [Workload("one/1", 1, dict, one, group="scalar", oracle=ones),
            Workload("one-gradient/1", 1, dict, one, group="scalar", gradient=True, oracle=ones),
            Workload("wrong/1", 1, dict, one | {"c": lambda i: lambda: np.zeros(3)}, oracle=ones)]
"""


def test_files_and_folders_of_workloads(tmp_path, capsys):
    (tmp_path / "w.py").write_text(WORKLOADS)
    (tmp_path / "broken.py").write_text("raise RuntimeError('never imported: it declares nothing')\n")
    assert bench(tmp_path / "w.py:one", "--json") == 0
    assert [r["workload"] for r in json.loads(capsys.readouterr().out)["results"]] == ["one/1"]
    assert bench(tmp_path, "--json", "--grad") == 1, "a wrong result fails"
    results = json.loads(capsys.readouterr().out)["results"]
    assert [r["failed"] for r in results] == [False, False, True]
    assert "wrong result" in results[2]["notes"][0]


def test_everything_is_compared_with_the_oracle():
    """Also the reference."""
    made = Workload("w", 1, dict, {"scancc": lambda i: lambda: np.ones(2)}, oracle=lambda i: lambda: np.zeros(2))
    result = measure(made, SHORT)
    assert result.failed and not result.timings


def test_nothing_is_timed_without_a_check(tmp_path, capsys):
    with pytest.raises(TypeError, match="oracle"):
        Workload("w", 1, dict, {"scancc": lambda i: lambda: np.ones(2)})
    file = tmp_path / "w.py"
    file.write_text("""
from scancc.measure import Result, timing

def run(quick):
    return [Result("own/1", None, "scancc", [timing("scancc", [1.0, 1.0], [1.0, 1.0], None)], [])]
""")
    assert bench(file) == 1
    assert "own/1: scancc timed without a check" in capsys.readouterr().err


def test_long_scans_are_checked_too(monkeypatch):
    """By a loop that the interpreter agrees with on the first steps, or by the interpreter where no loop can run."""
    monkeypatch.setattr(workloads, "ORACLE_STEPS", 50)
    x = np.random.default_rng(0).normal(size=200)
    step = sc.scan_compile(lambda x, y: x + 0.5 * y)
    named = sc.scan_compile(lambda x, y: {"y": x + 0.5 * y})
    for scan in (step, named):
        call = Call(scan, dict(sequences=x, outputs_info=[0.0]))
        (found,) = parts_of(workloads._oracle(call)())
        np.testing.assert_allclose(found, step(**call.given), rtol=1e-12)
    other = Call(sc.scan_compile(lambda x, y: x + 0.4 * y), dict(sequences=x, outputs_info=[0.0]))
    monkeypatch.setattr(workloads, "python_loop", lambda call: lambda: step(**other.given))
    with pytest.raises(ArithmeticError, match="a Python loop differs"):
        workloads._oracle(other)()


def result_of(name: str, gradient: bool, **seconds: float) -> Result:
    reference = [seconds["scancc"]] * 3
    timings = [timing(n.replace("_", ", "), [s] * 3, reference, 10) for n, s in seconds.items()]
    return Result(name, 10, "scancc", timings, [], gradient=gradient)


def test_a_peer_counts_by_its_fastest_variant():
    results = [
        result_of("a", False, scancc=1.0, jax=8.0, jax_unrolled=2.0, c=0.5),
        result_of("b", False, scancc=1.0, jax=32.0),
        result_of("a", True, scancc=2.0, jax=2.0),
    ]
    found = {(m.peer, m.gradient): (m.ratio, m.workloads, m.ahead) for m in means(speed_ups(results))}
    assert found == {
        ("jax", False): (pytest.approx(8.0), 2, 2),
        ("c", False): (pytest.approx(0.5), 1, 0),
        ("jax", True): (pytest.approx(1.0), 1, 1),
    }


def test_the_scan_is_called_as_a_user_calls_it():
    """So short scans are whole calls, and outputs that a step names are compared like others."""
    step = sc.scan_compile(lambda x, y: {"y": x + 0.5 * y})
    call = Call(step, dict(sequences=np.ones(4), outputs_info=[0.0]))
    made = Workload("w", 4, dict, {"scancc": lambda i: compiled(call)},
                    oracle=lambda i: lambda: [np.asarray([1, 1.5, 1.75, 1.875])])  # fmt: skip
    result = measure(made, SHORT)
    assert not result.failed and result.timings[0].relative == 0.0
    for _ in range(40):
        compiled(call)()
    assert step._recent.calls


def test_libraries_have_as_many_threads_as_asked_for(model, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "r.json"
    before = {p["filepath"]: p["num_threads"] for p in threadpool_info()}
    for given, count in (((), 1), (("--threads", 2), 2)):
        assert bench(f"{model}:ar2", "--save", out, "--against", "numba", *given) == 0
        found = read_report(out)[0]
        assert found["threads_limit"] == count
        assert found["threads"]["openblas"] == [count] * len(found["threads"]["openblas"])
        assert ("one thread each" in capsys.readouterr().out) == (count == 1)
    after = {p["filepath"]: p["num_threads"] for p in threadpool_info()}
    assert {path: after[path] for path in before} == before, "it ends with the command"
    assert threads.limit() == 1


def test_processes_of_a_benchmark_have_no_more(capfd):
    program = "import numpy, threadpoolctl; print({p['num_threads'] for p in threadpoolctl.threadpool_info()})"
    with threads.limited(1):
        assert threads.limit() == 1
        subprocess.run([sys.executable, "-c", program], check=True)
    assert capfd.readouterr().out == "{1}\n"


def test_the_environment_tells_threads_and_target():
    found = environment()
    assert found["threads"]["numba"] >= 1 and found["target"]


def test_libraries_share_a_panel_with_the_fastest_of_each_row():
    results = [result_of("w/1", False, scancc=1.0, scipy=3.0, pandas=9.0),
               result_of("v/1", False, scancc=1.0, pandas=4.0)]  # fmt: skip
    panels = _panels(speed_ups(results))
    assert {title: sorted((s.workload, s.peer) for s in shown) for title, shown in panels.items()} == {
        "SciPy, pandas, ...": [("v/1", "pandas"), ("w/1", "scipy")]
    }
