"""Random steps with nested control flow of Python, as text, and the ways to run them; plain Python is the oracle.

    p = program(7)                               # the same seed makes the same program
    p = program(7, {"if", "while", "logic"})     # only of these FEATURES
    print(p.source)                              # `def step(x, s)`: two numbers to one
    p.step, p.run                                # the function itself; s = step(x, s) for every x, from s = theta

    WAYS["scan"](p), WAYS["vmap"](p), WAYS["grad"](p), WAYS["vmap(grad)"](p), WAYS["grad(vmap)"](p)

Each way runs the program in scancc and raises AssertionError where it differs from the Python loop (values), or from
finite differences of it (derivatives; where the differences do not settle, at a jump, nothing is compared). Two more
ways, "jit" and "grad of a step", hand the step to transforms without a scan. `Case.thetas` and `Case.rows` are the
arguments: rows of a batch take different branches and leave their loops at different times.

A step reads global tables by computed indices, only where a guard lets it: `n < 4 and TABLE[n] > 0.3` looks at no row
that is not there. `check(range(100), ["scan", "grad"])` runs many and gives the faults, for long searches by hand:

    PYTHONPATH=tests/differential python -m control_flow 0 1000 scan vmap
"""

from __future__ import annotations

import itertools
import linecache
import math
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import scancc as sc

FEATURES = frozenset({"if", "while", "for", "jump", "return", "logic", "table", "store", "builtin", "helper"})
MORE = FEATURES | {"rebind"}  # arrays that are made anew, copied, or go by a second name
TABLE = np.array([0.4, -0.7, 0.9, 0.2])
GRID = np.array([[0.1, -0.2, 0.3], [0.6, 0.5, -0.4]])
ROWS = np.array([[0.7, -0.4, 1.3, 0.2], [-1.1, 0.8, 0.3, -0.6], [2.1, 0.1, -0.9, 1.7]])
THETAS = np.array([0.37, -0.83, 1.21])


def helper(v: Any, limit: Any = 0.5) -> Any:
    if v > limit:
        return limit + 0.1 * v
    return v


@dataclass(frozen=True)
class Case:
    seed: int
    source: str
    step: Callable

    def run(self, theta: Any, xs: Any) -> Any:
        """The last value of the Python loop over the rows of one sequence."""
        s = theta
        for x in xs:
            s = self.step(x, s)
        return s

    def compiled(self) -> Callable:
        """The same as a scan: a function (theta, xs) for transforms."""
        return lambda theta, xs: sc.scan(self.step, xs, theta)[-1]


class Writer:
    """One program. Floats are a, b, c, x, s; integers are n and the counters of the loops around."""

    def __init__(self, seed: int, features: Iterable[str]) -> None:
        self.r = random.Random(seed)
        self.features = frozenset(features)
        self.fresh = itertools.count()
        self.counters: list[str] = []

    def has(self, feature: str, chance: float = 1.0) -> bool:
        return feature in self.features and self.r.random() < chance

    # -- expressions ---------------------------------------------------------------------------------------------
    def number(self) -> str:
        return f"{self.r.uniform(-1, 1):.2f}"

    def name(self) -> str:
        return self.r.choice("abcxs")

    def integer(self) -> str:
        return self.r.choice(["n", *self.counters])

    def real(self, depth: int = 2) -> str:
        r = self.r
        if depth <= 0:
            return r.choice([self.name(), self.name(), self.number()])
        one, two = lambda: self.real(depth - 1), lambda: self.real(depth - 2)
        kinds = ["name", "sum", "scaled", "tanh"]
        kinds += ["table", "grid"] * self.has("table") + ["out", "out"] * self.has("store")
        kinds += ["max", "min", "abs", "math"] * self.has("builtin") + ["choice"] * self.has("if")
        kinds += ["helper"] * self.has("helper")
        match r.choice(kinds):
            case "sum":
                return f"({one()} {r.choice('+-')} {two()})"
            case "scaled":
                return f"{self.number()} * {one()}"
            case "tanh":
                return f"np.{r.choice(['tanh', 'sin', 'cos'])}({one()})"
            case "table":
                return f"TABLE[{r.choice(['', '-1 - '])}{self.integer()} % 4]"
            case "grid":
                return f"GRID[{self.integer()} % 2, {self.integer()} % 3]"
            case "out":
                return f"out[{r.choice([self.integer() + ' % 3', '0', '-1'])}]"
            case "max" | "min" as which:
                return f"{which}({one()}, {two()})"
            case "abs":
                return f"abs({one()})"
            case "math":
                return f"math.{r.choice(['tanh', 'sin', 'atan'])}({one()})"
            case "choice":
                return f"({one()} if {self.truth(depth - 1)} else {two()})"
            case "helper":
                return f"helper({one()})"
        return self.name()

    def truth(self, depth: int = 2) -> str:
        r = self.r
        if depth > 0 and self.has("logic", 0.7):
            match r.choice(["and", "or", "not", "chain", "guard"]):
                case "and" | "or" as op:
                    return f"({self.truth(depth - 1)} {op} {self.truth(depth - 1)})"
                case "not":
                    return f"not ({self.truth(depth - 1)})"
                case "chain":
                    return f"-0.6 < {self.real(1)} < {self.real(1)}"
            if self.has("table"):
                k = self.integer()
                return f"({k} < 4 and TABLE[{k}] > {self.number()})"
            return f"(n < 4 and {self.name()} > {self.number()})"
        return f"{self.real(1)} {r.choice('<>')} {self.real(1)}"

    # -- statements ----------------------------------------------------------------------------------------------
    def block(self, depth: int, loop: bool, budget: int = 3) -> list[str]:
        lines: list[str] = []
        for _ in range(self.r.randint(1, budget)):
            lines += self.statement(depth, loop)
        return lines

    def statement(self, depth: int, loop: bool) -> list[str]:
        kinds = ["assign", "assign", "add"]
        kinds += ["store"] * (2 * self.has("store")) + ["integer"] + ["rebind"] * self.has("rebind")
        if depth > 0:
            kinds += [k for k in ("if", "while", "for") for _ in range(2) if k in self.features]
            kinds += ["jump"] * (loop and self.has("jump")) + ["return"] * self.has("return", 0.3)
        match self.r.choice(kinds):
            case "add":
                return [f"{self.r.choice('abc')} += 0.5 * {self.real()}"]
            case "store":
                at = self.r.choice([f"{self.integer()} % 3", "1", "-1"])
                return [self.r.choice([f"out[{at}] = {self.real()}", f"out[{at}] += {self.real(1)}",
                                       f"out[1:] = {self.real(1)}"])]  # fmt: skip
            case "rebind":
                view = f"row = out[{self.r.choice(['1:', ':2', '::-1'])}]"
                return self.r.choice([[f"out = out * {self.number()}"], ["out = out.copy()"], [f"out += {self.real(1)}"],
                                      ["old = out", f"out = out + {self.real(1)}", "old[0] = 0.1", "out[1] += 0.1 * old[0]"],
                                      [view, f"row[0] = {self.real(1)}", f"row *= {self.number()}"]])  # fmt: skip
            case "integer":
                return [f"n = n + {self.r.randint(0, 2)}"]
            case "if":
                lines = [f"if {self.truth()}:", *indented(self.block(depth - 1, loop))]
                if self.r.random() < 0.3:
                    lines += [f"elif {self.truth(1)}:", *indented(self.block(depth - 1, loop, 2))]
                if self.r.random() < 0.5:
                    lines += ["else:", *indented(self.block(depth - 1, loop, 2))]
                return lines
            case "jump":
                return [
                    f"if {self.truth(1)}:",
                    *indented([*self.block(0, loop, 1), self.r.choice(["break", "continue"])]),
                ]
            case "return":
                return [f"if {self.truth(1)}:", f"    return np.tanh({self.real(1)})"]
            case "while":
                w = f"w{next(self.fresh)}"
                self.counters.append(w)
                body = self.block(depth - 1, True)
                self.counters.pop()
                test = f"{w} < {self.r.randint(2, 4)}" + (f" and {self.truth(1)}" if self.has("logic") else "")
                return [f"{w} = 0", f"while {test}:", *indented([f"{w} += 1", *body])]
            case "for":
                i = f"i{next(self.fresh)}"
                bounds = self.r.choice(["n % 3 + 1", "3", "1, n % 4 + 1", "3, n % 3 - 1, -1"])
                self.counters.append(i)
                body = self.block(depth - 1, True)
                self.counters.pop()
                return [f"for {i} in range({bounds}):", *indented(body)]
        return [f"{self.r.choice('abc')} = {self.real()}"]

    def step(self) -> str:
        lines = ["a = 0.3 * x + 0.5 * s", "b = np.tanh(x - s)", "c = 0.2 * x"]
        lines.append("n = int(abs(x) * 4.0)" if self.has("builtin") else "n = np.int64(np.abs(x) > 0.5) * 3")
        if "builtin" not in self.features:
            lines[-1] = "n = np.floor(np.abs(x) * 4.0).astype('int64')"
        if self.has("store"):
            lines += ["out = np.zeros(3)", "out[0] = s"]
        lines += self.block(3, False, 5)
        total = "0.5 * a + 0.3 * b + 0.2 * c" + (" + 0.2 * out[0] - 0.3 * out[2] + out.sum() * 0.1" * self.has("store"))
        lines.append(f"return np.tanh({total})")
        return "\n".join(["def step(x, s):", *indented(lines), ""])


def indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def program(seed: int, features: Iterable[str] = FEATURES) -> Case:
    features = frozenset(features)
    source = Writer(seed, features).step()
    name = f"<control flow {seed} {' '.join(sorted(features))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)  # where rewriting finds it
    scope: dict[str, Any] = {"np": np, "math": math, "TABLE": TABLE, "GRID": GRID, "helper": helper}
    exec(compile(source, name, "exec"), scope)
    return Case(seed, source, scope["step"])


# -- ways to run it ----------------------------------------------------------------------------------------------------


def slope(f: Callable[[float], float], at: float) -> float | None:
    """The derivative by central differences, or None where they do not settle."""
    found = [(f(at + h) - f(at - h)) / (2 * h) for h in (1e-5, 1e-6)]
    return found[1] if abs(found[0] - found[1]) < 1e-5 * (1 + abs(found[1])) else None


def slopes(p: Case) -> list[float | None]:
    return [slope(lambda t, xs=xs: float(p.run(np.float64(t), xs)), theta)
            for theta, xs in zip(THETAS, ROWS, strict=True)]  # fmt: skip


def close(have: Any, want: list[float | None], tolerance: float) -> None:
    for h, w in zip(np.atleast_1d(have), want, strict=True):
        if w is not None:
            np.testing.assert_allclose(h, w, rtol=tolerance, atol=tolerance)


def _values(p: Case) -> list[float | None]:
    return [float(p.run(theta, xs)) for theta, xs in zip(THETAS, ROWS, strict=True)]


def _scan(p: Case, mode: str = "compiled") -> None:
    for theta, xs in zip(THETAS, ROWS, strict=True):
        want, s = [], theta
        for x in xs:
            s = p.step(x, s)
            want.append(float(s))
        close(sc.scan(p.step, xs, theta, mode=mode), want, 1e-12)


def _vmap(p: Case) -> None:
    close(sc.vmap(p.compiled())(THETAS, ROWS), _values(p), 1e-12)


def _grad(p: Case) -> None:
    f = sc.grad(p.compiled())
    close([f(theta, xs) for theta, xs in zip(THETAS, ROWS, strict=True)], slopes(p), 1e-5)


def _vmap_grad(p: Case) -> None:
    close(sc.vmap(sc.grad(p.compiled()))(THETAS, ROWS), slopes(p), 1e-5)


def _grad_vmap(p: Case) -> None:
    f = p.compiled()
    close(sc.grad(lambda thetas, rows: sc.vmap(f)(thetas, rows).sum())(THETAS, ROWS), slopes(p), 1e-5)


def _jit(p: Case) -> None:
    f = sc.jit(p.step)
    points = [(x, theta) for theta, xs in zip(THETAS, ROWS, strict=True) for x in xs]
    close([f(x, s) for x, s in points], [float(p.step(x, s)) for x, s in points], 1e-12)


def _grad_of_step(p: Case) -> None:
    f = sc.value_and_grad(lambda s, x: p.step(x, s) + 0.0 * s)
    for theta, xs in zip(THETAS, ROWS, strict=True):
        for x in xs[:2]:
            value, g = f(theta, x)
            close(value, [float(p.step(x, theta))], 1e-12)
            close(g, [slope(lambda t, x=x: float(p.step(x, np.float64(t))), theta)], 1e-5)


WAYS: dict[str, Callable[[Case], None]] = {
    "scan": _scan, "vmap": _vmap, "grad": _grad, "vmap(grad)": _vmap_grad, "grad(vmap)": _grad_vmap, "jit": _jit,
    "grad of a step": _grad_of_step, "interpret": lambda p: _scan(p, "interpret"),
}  # fmt: skip


def check(seeds: Iterable[int], ways: Iterable[str], features: Iterable[str] = FEATURES) -> list[tuple[int, str, str]]:
    """(seed, way, error) for each way in which a program fails."""
    faults = []
    for seed in seeds:
        p = program(seed, features)
        for way in ways:
            try:
                WAYS[way](p)
            except Exception as e:
                faults.append((seed, way, f"{type(e).__name__}: {str(e).strip()[:300]}"))
    return faults


if __name__ == "__main__":
    first, last, *chosen = sys.argv[1:]
    for fault in check(range(int(first), int(last)), chosen or list(WAYS)):
        print(*fault, sep=" | ", flush=True)
