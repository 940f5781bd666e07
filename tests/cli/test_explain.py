"""`scancc explain` and `scancc doctor` from end to end."""

from __future__ import annotations

import json

import pytest
from test_commands import model  # noqa: F401  (a fixture)

from scancc.cli import doctor, main


def test_explain_on_the_terminal(model, capsys):  # noqa: F811
    assert main(["explain", f"{model}:ar2", "--no-measure"]) == 0
    text = capsys.readouterr().out
    for part in ("Source and IR", "block_recurrences", "Storage", "tap y[-2]", "GAIN * x"):
        assert part in text


def test_explain_measures_the_example(model, capsys):  # noqa: F811
    assert main(["explain", f"{model}:last"]) == 0
    text = capsys.readouterr().out
    assert "measured" in text and "Limits" in text and "cycles" in text


def test_explain_writes_a_page(model, tmp_path, capsys):  # noqa: F811
    out = tmp_path / "ar2.html"
    assert main(["explain", f"{model}:ar2", "--no-measure", "--html", str(out)]) == 0
    assert out.read_text().startswith("<!doctype html>")
    assert main(["explain", f"{model}:ar2", "--html", str(tmp_path / "no" / "x.html")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_doctor_reports(capsys):
    assert main(["doctor", "--json"]) == 0
    entries = {e["what"]: e for e in json.loads(capsys.readouterr().out)}
    assert entries["a compiled scan"]["state"] == "fine"
    assert entries["numba"]["state"] == "fine" and entries["CUDA"]["found"]
    assert main(["doctor"]) == 0
    assert "kernel cache" in capsys.readouterr().out


def test_doctor_finds_what_is_missing_and_old(monkeypatch, capsys):
    versions = {"numba": "0.1", "llvmlite": None}
    real = doctor.metadata.version

    def version(name: str) -> str:
        found = versions.get(name, "")
        if found is None or name in ("jax", "torch", "numba-cuda"):
            raise doctor.metadata.PackageNotFoundError(name)
        return found or real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    assert main(["doctor", "--json"]) == 1
    entries = {e["what"]: e for e in json.loads(capsys.readouterr().out)}
    assert entries["numba"]["state"] == "broken" and "older than" in entries["numba"]["found"]
    assert entries["llvmlite"]["state"] == "broken" and "pip install" in entries["llvmlite"]["help"]
    assert "jax" in entries["for scancc bench"]["found"] and "pip install" in entries["for scancc bench"]["help"]
    assert entries["C compiler"]["state"] == "missing"
    assert entries["CUDA"]["help"] == "pip install 'scancc[cuda]'"


def test_doctor_survives_what_it_examines(monkeypatch, capsys):
    def fails():
        raise OSError("the disk is on fire")
        yield

    monkeypatch.setattr(doctor, "PARTS", (fails,))
    assert main(["doctor"]) == 1
    assert "the disk is on fire" in capsys.readouterr().out


@pytest.mark.parametrize("own", [True, False])
def test_doctor_looks_at_the_cache(own, tmp_path, monkeypatch):
    monkeypatch.setenv("SCANCC_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700 if own else 0o777)
    (entry,) = doctor._cache()
    assert entry.state == ("fine" if own else "missing")
    assert own or entry.help.startswith("chmod 700")
