"""Straight-line source for small matrix algebra: what one would write by hand with a week to spare.

A matrix is a list of rows of Python expressions over scalar locals. Every operation appends one assignment
for each entry it computes and returns the names, so the text of a whole filter step is a few hundred plain
assignments that njit keeps in registers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Matrix = list[list[str]]


class Writer:
    """Collects assignments. `lines` is the body so far, without indentation."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def assign(self, entries: Sequence[Sequence[str]], name: str = "", symmetric: bool = False) -> Matrix:
        """Give every entry a scalar local; with a name they are name_i_j, else fresh ones.

        Of a symmetric matrix the entries above the diagonal serve for those below, too.
        """
        prefix = name or f"t{len(self.lines)}"
        result = [[f"{prefix}_{min(i, j)}_{max(i, j)}" if symmetric else f"{prefix}_{i}_{j}" for j in range(len(row))]
                  for i, row in enumerate(entries)]  # fmt: skip
        self.lines += [f"{result[i][j]} = {e}" for i, row in enumerate(entries) for j, e in enumerate(row)
                       if not symmetric or j >= i]  # fmt: skip
        return result

    def product(self, a: Matrix, b: Matrix, symmetric: bool = False) -> Matrix:
        return self.assign([[" + ".join(f"{x} * {row[j]}" for x, row in zip(line, b, strict=True))
                             for j in range(len(b[0]))] for line in a], symmetric=symmetric)  # fmt: skip

    def sum(self, a: Matrix, b: Matrix, sign: str = "+", symmetric: bool = False) -> Matrix:
        return self.assign([[f"{x} {sign} {y}" for x, y in zip(*rows, strict=True)]
                            for rows in zip(a, b, strict=True)], symmetric=symmetric)  # fmt: skip

    def inverse(self, m: Matrix, symmetric: bool = False) -> tuple[Matrix, str]:
        """(the inverse, the name of the determinant) of a matrix of one or two rows."""
        if len(m) == 1:
            return self.assign([[f"1.0 / {m[0][0]}"]]), m[0][0]
        (a, b), (c, d) = m
        ((det,),) = self.assign([[f"{a} * {d} - {b} * {c}"]])
        ((scale,),) = self.assign([[f"1.0 / {det}"]])
        entries = [[f"{d} * {scale}", f"-{b} * {scale}"], [f"-{c} * {scale}", f"{a} * {scale}"]]
        return self.assign(entries, symmetric=symmetric), det


def transpose(a: Matrix) -> Matrix:
    return [list(row) for row in zip(*a, strict=True)]


def entries(name: str, rows: int, columns: int) -> Matrix:
    """The entries of a two-dimensional array by index."""
    return [[f"{name}[{i}, {j}]" for j in range(columns)] for i in range(rows)]


def in_c(blocks: Sequence[Sequence[str]], widths: dict[str, int], assigned: set[str]) -> list[list[str]]:
    """The assignments of nested blocks, outermost first, as C: a name is declared where it is assigned first.

    `widths` has the number of columns of two-dimensional arrays, `assigned` what is declared already.
    """
    known, written = set(assigned), []
    for lines in blocks:
        written.append([])
        for line in lines:
            text = re.sub(r"(\w+)\[(\w+), (\d+)\]", lambda m: f"{m[1]}[{m[2]} * {widths[m[1]]} + {m[3]}]", line)
            name = text.partition(" = ")[0]
            new = name.isidentifier() and name not in known
            known.add(name)
            written[-1].append(f"{'double ' if new else ''}{text};")
    return written
