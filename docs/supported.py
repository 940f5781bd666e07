"""Writes supported.md, the list of what steps take of NumPy, from the tables that the front end works by."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scancc.frontend import signatures
from scancc.frontend.numpy_functions import FUNCTIONS
from scancc.frontend.operators import ArrayOperators
from scancc.frontend.special_functions import OPS_OF_SCIPY, SPECIAL
from scancc.frontend.ufuncs import COMPOSITES, PARAMETERS, UFUNCS
from scancc.frontend.updates import Positions

HEAD = """# What steps take of NumPy

This page is written by `docs/supported.py` from the tables that the front end works by; a test fails when it is not
up to date.

Arguments are those of NumPy. Those named under "also" are honoured as NumPy honours them. Those under "not" are
refused, with the line, unless they are given what NumPy does without them. What is neither is about memory (`copy`,
`subok`, `order` of a new array, `overwrite_input`), and has no effect on values that never change. A function that is
not listed is an error that names the line.

Where a step cannot do as NumPy does, because shapes may not depend on values:

- `bincount` needs `minlength`, which is the length of its result; a larger value is an IndexError when the step runs.
- `x[i : i + 4]` of a traced `i` is an IndexError where NumPy would give fewer rows.
- `lstsq` gives residuals wherever the matrix has more rows than columns, NumPy only if its rank is full.
- `nanargmin` and `nanargmax` of nothing but NaN are 0; NumPy raises an error. `digitize` does not check traced bins.
- Signs of eigenvectors and singular vectors are not LAPACK's. Decompositions take one real matrix of fixed size.
"""


def page() -> str:
    return "\n".join([HEAD, *_functions("np"), *_functions("np.linalg"), *_element_by_element(), *_methods()]) + "\n"


def _functions(module: str) -> Iterator[str]:
    yield from (f"## {module}", "", "| function | also | not |", "|---|---|---|")
    rows = {}
    for function, implementation in FUNCTIONS.items():
        linalg = getattr(np.linalg, function.__name__, None) is function
        if linalg != (module == "np.linalg"):
            continue
        signature = signatures.signature_of(function) or inspect.signature(implementation)
        required = [n for n, p in signature.parameters.items()
                    if p.default is p.empty and p.kind is not p.VAR_KEYWORD]  # fmt: skip
        kinds = signatures.kinds_of(function, implementation)
        also = [n for n, kind in kinds.items() if kind == signatures.HONOURED and n not in required]
        refused = [n for n, kind in kinds.items() if kind == signatures.REFUSED]
        call = f"`{function.__name__}({', '.join(required)})`"
        rows[function.__name__] = f"| {call} | {_names(also)} | {_names(refused)} |"
    yield from (row for _, row in sorted(rows.items()))
    yield ""


def _names(names: list[str]) -> str:
    return ", ".join(f"`{n}`" for n in names)


def _element_by_element() -> Iterator[str]:
    yield from ("## Element by element", "")
    yield "Functions of NumPy: " + _names(sorted(n for n in {*UFUNCS, *COMPOSITES} if hasattr(np, n))) + "."
    yield ""
    for kind in ("honoured", "no effect", "refused"):
        yield f"Their arguments, {kind}: " + _names([n for n, k in PARAMETERS.items() if k == kind]) + "."
        yield ""
    yield "Functions of `scipy.special`: " + _names(sorted({*SPECIAL, *OPS_OF_SCIPY})) + "."
    yield ""


def _methods() -> Iterator[str]:
    yield from ("## Methods and attributes of arrays", "")
    names = sorted(n for n in dir(ArrayOperators) if not n.startswith("_") and hasattr(np.ndarray, n))
    yield _names([*names, "dtype", "item", "ndim", "shape", "size"]) + "."
    yield from ("", "`x.at[index]` takes: " + _names(sorted(n for n in dir(Positions) if n[0] != "_" and n not in
                                                          ("index", "x"))) + ".")  # fmt: skip


if __name__ == "__main__":
    (Path(__file__).parent / "supported.md").write_text(page())
