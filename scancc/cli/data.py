"""Values from the command line and from files, and results to files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scancc.cli.loading import UsageError, check_place

MISSING = ("", "nan", "na", "n/a", "null", "none")  # cells without a number


def sequences(files: Sequence[Path], columns: str | None) -> list[np.ndarray]:
    """Arrays of .npy files, of .npz files by name, and columns of .csv files."""
    wanted = [c.strip() for c in columns.split(",")] if columns else None
    return [array for file in files for array in _read(file, wanted)]


def _read(file: Path, wanted: list[str] | None) -> list[np.ndarray]:
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    match file.suffix:
        case ".npy":
            return [np.load(file, allow_pickle=False)]
        case ".npz":
            with np.load(file, allow_pickle=False) as archive:
                return [archive[_known(name, archive.files, file)] for name in wanted or archive.files]
        case ".csv" | ".txt":
            return _csv(file, wanted)
        case suffix:
            raise UsageError(f"{file}: {suffix or 'a file without suffix'} is none of .csv, .npy, .npz")


def _csv(file: Path, wanted: list[str] | None) -> list[np.ndarray]:
    """Numeric columns; a first line that is not all numbers is the header."""
    with file.open(encoding="utf-8-sig") as lines:
        first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if not first:
        raise UsageError(f"{file} is empty")
    cells = [c.strip().strip('"') for c in first.split(",")]
    has_header = not all(_is_number(c) or c.lower() in MISSING for c in cells)
    names = cells if has_header else [str(i) for i in range(len(cells))]
    table = np.genfromtxt(file, delimiter=",", comments="#", encoding="utf-8-sig", dtype=str, ndmin=2, autostrip=True)
    rows = table[1:] if has_header else table
    if not len(rows):
        raise UsageError(f"{file} has no rows of numbers below its header {first.strip()}")
    if wanted is None:
        wanted = [n for i, n in enumerate(names) if any(_is_number(c) and c.lower() not in MISSING for c in rows[:, i])]
    return [_column(file, name, rows[:, names.index(_known(name, names, file))]) for name in wanted]


def _column(file: Path, name: str, cells: np.ndarray) -> np.ndarray:
    """Numbers; NaN where one is missing."""
    texts = ["nan" if c.lower() in MISSING else c for c in cells.tolist()]
    if not any(_is_number(c) and c != "nan" for c in texts):
        raise UsageError(f"{file}: column {name!r} is not numeric")
    bad = next((i for i, c in enumerate(texts) if not _is_number(c)), None)
    if bad is not None:
        raise UsageError(f"{file}: {texts[bad]!r} in row {bad + 1} of column {name!r} is not a number\n"
                         "  help: leave the cell empty if the number is missing, or name other columns")
    return np.array([float(c) for c in texts])


def _known(name: str, names: Sequence[str], file: Path) -> str:
    if name not in names:
        raise UsageError(f"{file} has no column {name!r}; it has {', '.join(names)}")
    return name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def value(text: str) -> np.ndarray:
    """A number, several with commas between, or the array of a .npy file."""
    if text.endswith(".npy"):
        return _read(Path(text), None)[0]
    try:
        numbers = [float(part) if any(c in part for c in ".eEnN") else int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{text!r} is neither numbers nor a .npy file") from None
    return np.asarray(numbers if len(numbers) > 1 else numbers[0])


def outputs(initial: Sequence[str], taps: Sequence[str]) -> list[dict[str, Any] | None]:
    """outputs_info from the options --initial and --taps, which come in pairs; the last taps may be left out."""
    if len(taps) > len(initial):
        raise UsageError("there are more --taps than --initial")
    found: list[dict[str, Any] | None] = []
    for i, text in enumerate(initial):
        if text.lower() == "none":
            found.append(None)
            continue
        info: dict[str, Any] = {"initial": value(text)}
        if i < len(taps):
            try:
                info["taps"] = [int(k) for k in taps[i].split(",")]
            except ValueError:
                raise UsageError(f"--taps {taps[i]}: taps are integers with commas between") from None
            if info["taps"] != [-1]:
                info["initial"] = np.atleast_1d(info["initial"])
        found.append(info)
    return found


def check_out(out: Path | None) -> None:
    """Raises UsageError for a file that `write` could not write."""
    check_place("-o", out)
    if out is not None and out.suffix not in (".npy", ".npz", ".csv"):
        raise UsageError(f"-o {out}: use .npy, .npz or .csv")


def write(results: Sequence[Any], out: Path | None) -> None:
    """To a .npy (one result), .npz or .csv file, or as numbers to standard output."""
    arrays = [np.asarray(r) for r in results]
    if out is None:
        for array in arrays:
            np.savetxt(
                sys.stdout, np.atleast_1d(array).reshape(len(np.atleast_1d(array)), -1), fmt="%.17g", delimiter=","
            )
        return
    match out.suffix:
        case ".npy" if len(arrays) == 1:
            np.save(out, arrays[0])
        case ".npz":
            np.savez(out, **{f"output_{i}": a for i, a in enumerate(arrays)})
        case ".csv":
            flat = [_table(a) for a in arrays]
            if len({len(a) for a in flat}) != 1:
                raise UsageError(f"{out}: outputs of different lengths need a .npz file")
            np.savetxt(out, np.hstack(flat), fmt="%.17g", delimiter=",")
        case _:
            raise UsageError(f"-o {out}: several outputs need .npz or .csv")


def _table(array: np.ndarray) -> np.ndarray:
    """Rows of the first axis."""
    rows = np.atleast_1d(array)
    return rows.reshape(len(rows), -1)
