"""Random programs whose lengths stay open, called with arrays that fit and with arrays that do not.

    python tests/fuzz/memory.py --seconds 120 [--seed 0]

Each program is compiled once and called several times, also with lengths that do not fit one another. A call gives what
plain NumPy and Python loops give, or an error where they give one. All arrays end at a page that may not be touched,
or, every other time, begin at one (`guard_pages.py`), so a program that reads or writes what is not its own ends the
process. Programs run in processes of their own; one that crashes, hangs or gives something else is reported with its
seed, by which it can be run again: `--seed N --programs 1`. The exit status is 1 then.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import guard_pages
import numpy as np

import scancc as sc
from scancc.errors import LengthError

BATCH = 20  # programs of a process
PATIENCE = 300  # seconds that a process may take for them
LENGTHS = (0, 1, 2, 3, 5, 6, 8)


def scan(step: Any, x: Any, initial: Any) -> Any:
    """A scan of one state, or the loop that it means."""
    if isinstance(x, np.ndarray):
        out = []
        for row in x:
            initial = step(row, initial)
            out.append(initial)
        return np.array(out) if out else np.zeros((0, *np.shape(initial)))
    return sc.scan(step, x, initial)


def recurrence(x: Any, past: Any) -> Any:
    """y[t] = x[t] + y[t - 1] / 2 - y[t - 3] / 4 from the first three of `past` on."""
    if not isinstance(x, np.ndarray):
        return sc.scan(lambda u, y1, y3: u + 0.5 * y1 - 0.25 * y3, x, [dict(initial=past, taps=[-1, -3])])
    if len(past) < 3:
        raise ValueError("three values are needed")
    y = list(past[:3])
    for u in x:
        y.append(u + 0.5 * y[-1] - 0.25 * y[-3])
    return np.array(y[3:])


def repeated(x: Any, n: Any, dtype: str) -> Any:
    """As many steps as a number of a narrow type says."""
    count = n.astype(dtype)
    if isinstance(n, np.generic):
        if count < 0:
            raise ValueError("negative")
        return np.arange(1.0, int(count) + 1) * (x.sum() * 0 + 1)
    return sc.scan(lambda y: y + 1.0, None, x.sum() * 0, n_steps=count)


def put(x: Any, index: Any, v: Any, add: bool) -> Any:
    return (sc.at_add if add else sc.at_set)(x, index, v)


def table(x: Any, index: np.ndarray) -> Any:
    return np.take(x, index) if isinstance(x, np.ndarray) else sc.take(x, index)


VECTORS: dict[str, Any] = {  # of one vector and a number
    "rest": lambda x, n: x[1:], "start": lambda x, n: x[:-1], "second": lambda x, n: x[::2],
    "backwards": lambda x, n: x[::-1], "first": lambda x, n: x[:3], "cumsum": lambda x, n: np.cumsum(x),
    "diff": lambda x, n: np.diff(x), "twice": lambda x, n: np.concatenate([x, 2 * x]),
    "pairs": lambda x, n: x.reshape(-1, 2).sum(1), "three": lambda x, n: x.reshape(3, -1)[0],
    "take": lambda x, n: table(x, np.array([0, 2, -1])), "tanh": lambda x, n: np.tanh(x),
    "loop": lambda x, n: scan(lambda u, h: 0.5 * h + u, x, 0.0), "to": lambda x, n: x[:n], "from": lambda x, n: x[n:],
    "square": lambda x, n: (x[:, None] * x[None, :]).sum(0), "put": lambda x, n: put(x, slice(1, None), 0.5, False),
    "put_rows": lambda x, n: put(x, np.array([0, 1]), np.array([3.0, 4.0]), True),
    "matrix": lambda x, n: np.stack([x, x + 1, -x])[1], "steps8": lambda x, n: repeated(x, n, "uint8"),
    "steps_i8": lambda x, n: repeated(x, n, "int8"), "padded": lambda x, n: np.pad(x, 2),
    "last": lambda x, n: x[-1] * np.ones(2), "mean": lambda x, n: x - x.sum(),
}  # fmt: skip
PAIRS: dict[str, Any] = {  # of two vectors
    "add": lambda x, y: x + y, "maximum": lambda x, y: np.maximum(x, y), "where": lambda x, y: np.where(x > 0, x, y),
    "matmul": lambda x, y: (x @ y) * np.ones(2), "dot": lambda x, y: np.dot(x, y) + x,
    "inner": lambda x, y: np.inner(x, y) + y, "einsum": lambda x, y: np.einsum("i,i->", x, y) * np.ones(3),
    "outer": lambda x, y: np.outer(x, y).sum(1), "tensordot": lambda x, y: np.tensordot(x, y, 1) + x,
    "shape_of": lambda x, y: x.reshape(y.shape), "like": lambda x, y: np.broadcast_to(x, y.shape) + y,
    "join": lambda x, y: np.concatenate([x, y]), "stack": lambda x, y: np.stack([x, y])[0],
    "put": lambda x, y: put(x, slice(0, 3), y, False), "all": lambda x, y: put(x, slice(None), y, True),
    "both": lambda x, y: np.stack([scan(lambda u, h: h + u, x, 0.0), y]).sum(0),
    "past": lambda x, y: recurrence(x, y), "clip": lambda x, y: np.clip(x, y, y + 1),
    "rows": lambda x, y: (np.ones((2, 1)) * x[None, :]) @ y, "scaled": lambda x, y: x * y.sum(),
    "cross": lambda x, y: (x[:, None] + y[None, :]).sum(0), "vstack": lambda x, y: np.vstack([x, y])[1],
    "columns": lambda x, y: np.column_stack([x, y]).sum(1),
}  # fmt: skip


class Program:
    """Some vectors, and a chain of operations on them and on what came before; all that is made is returned."""

    def __init__(self, seed: int) -> None:
        r = np.random.default_rng(seed)
        self.vectors = int(r.integers(1, 4))
        self.lines: list[tuple[str, int, int]] = []
        for k in range(int(r.integers(1, 5))):
            names = VECTORS if r.random() < 0.45 else PAIRS
            name = ("1:" if names is VECTORS else "2:") + str(r.choice(list(names)))
            self.lines.append((name, int(r.integers(0, self.vectors + k)), int(r.integers(0, self.vectors + k))))
        self.scanned = [bool(b) for b in r.random(self.vectors) < 0.7]
        self.transform = str(r.choice(["none", "none", "none", "grad", "vmap"]))

    computed = ("1:to", "1:from", "1:steps8", "1:steps_i8")  # whose lengths depend on the number

    def __call__(self, *arrays: Any) -> Any:
        *made, n = arrays
        kept = [scan(lambda u, h: h + u, x, 0.0) for x, s in zip(made, self.scanned, strict=True) if s]
        made = list(made)
        for name, i, j in self.lines:
            if name[0] == "1":
                made.append(VECTORS[name[2:]](made[i], n))
            else:
                made.append(PAIRS[name[2:]](made[i], made[j]))
            if isinstance(n, np.generic):
                self.one = self.one or (any(name in self.computed for name, *_ in self.lines) and 1 in map(len, made))
        return tuple(made[self.vectors :]) + tuple(kept)

    def arrays(self, r: np.random.Generator) -> list[Any]:
        """Vectors of one length, or of any."""
        one = int(r.choice(LENGTHS))
        lengths = [one if r.random() < 0.75 else int(r.choice(LENGTHS)) for _ in range(self.vectors)]
        n = int(r.choice([0, 1, 2, 3, 5, -1, -2, 127, 200, 259, -(2**62), 2**63 - 1]))
        return [*(r.normal(size=k) for k in lengths), np.int64(n)]

    def compiled(self) -> Any:
        if self.transform == "grad":
            derivative = sc.grad(lambda *a: sum(np.sum(v) for v in (*self(*a), *a[:-1])))
            return lambda *a: derivative(*a)
        if self.transform == "vmap":
            rows = sc.vmap(lambda *a: self(*a), in_axes=(0,) * self.vectors + (None,))
            return lambda *a: rows(*(np.stack([x, x + 1]) for x in a[:-1]), a[-1])
        return sc.jit(lambda *a: self(*a))

    def expected(self, arrays: list[Any]) -> Any:
        """What it is to give: of a derivative its shape."""
        self.one = False
        values = self(*arrays)
        if self.transform == "grad":
            return arrays[0].shape
        if self.transform == "vmap":
            more = self(*(x + 1 for x in arrays[:-1]), arrays[-1])
            return tuple(np.stack([a, b]) for a, b in zip(values, more, strict=True))
        return values


def check(seed: int, calls: int) -> tuple[int, str]:
    """How many calls were made, and what was wrong."""
    program = Program(seed)
    r = np.random.default_rng([seed, 1])
    compiled = program.compiled()
    made = 0
    for _ in range(calls):
        arrays = program.arrays(r)
        try:
            with np.errstate(all="ignore"):
                want = program.expected(arrays)
        except (ValueError, IndexError) as e:
            want = e
        try:
            have = compiled(*arrays)
        except NotImplementedError:
            return made, ""
        except (ValueError, IndexError, MemoryError, OverflowError) as e:
            have = e
        except Exception as e:
            return made, f"{type(e).__name__}: {e}"
        made += 1
        wrong = _differ(program, have, want)
        if wrong:
            shapes = [np.shape(a) for a in arrays]
            return made, f"{wrong} for shapes {shapes}, n = {arrays[-1]}: {program.lines} {program.transform}"
    return made, ""


def _differ(program: Program, have: Any, want: Any) -> str:
    if isinstance(want, Exception) or isinstance(have, Exception):
        if isinstance(want, Exception) and isinstance(have, Exception):
            return ""
        if program.transform == "grad" and isinstance(want, Exception):
            return ""  # what a derivative does not need is not computed, and fails in nothing
        if isinstance(have, LengthError) and program.one:
            return ""  # a length that only the run knows is not broadcast where it turns out to be 1
        return f"{have!r:.300} where NumPy has {want!r:.200}"
    if program.transform == "grad":
        return "" if np.shape(have) == want else f"a derivative of shape {np.shape(have)} for {want}"
    for i, (a, b) in enumerate(zip(have, want, strict=True)):
        if np.shape(a) != np.shape(b):
            return f"result {i} has shape {np.shape(a)}, not {np.shape(b)}"
        if not np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True):
            return f"result {i} is {a!r:.200}, not {b!r:.200}"
    return ""


def child(seed: int, programs: int, calls: int, end: bool) -> None:
    guard_pages.install(end)
    for s in range(seed, seed + programs):
        print(json.dumps({"begin": s}), flush=True)
        count, wrong = check(s, calls)
        print(json.dumps({"seed": s, "calls": count, "wrong": wrong}), flush=True)
    os._exit(0)  # arrays may outlive what takes their memory back


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--programs", type=int, help="that many, whatever time they take")
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--child", choices=["end", "begin"])
    args = parser.parse_args()
    if args.child:
        child(args.seed, args.programs, args.calls, args.child == "end")
    started, seed, calls, faults, programs = time.monotonic(), args.seed, 0, 0, 0
    left = args.programs
    while (left is None and time.monotonic() - started < args.seconds) or (left or 0) > 0:
        count = BATCH if left is None else min(BATCH, left)
        side = "end" if (seed // BATCH) % 2 == 0 else "begin"
        seen, wrong, last = _run(seed, count, args.calls, side)
        calls += seen
        faults += len(wrong)
        for line in wrong:
            print(line, flush=True)
        done = count if last is None else last - seed + 1  # goes on behind the program that ended its process
        programs += done
        seed += done
        left = None if left is None else left - done
    print(f"{programs} programs, {calls} calls, {faults} faults")
    return 1 if faults else 0


def _run(seed: int, count: int, calls: int, side: str) -> tuple[int, list[str], int | None]:
    """Calls made, what was wrong, and the seed of the program that ended the process, if one did."""
    given = ["--seed", str(seed), "--programs", str(count), "--calls", str(calls), "--child", side]
    command = [sys.executable, str(Path(__file__)), *given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        out, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as e:
        out, status = (e.stdout or b"").decode(), "took too long"
    made, wrong, begun, ended = 0, [], seed, seed - 1
    for line in out.splitlines():
        told = json.loads(line)
        if "begin" in told:
            begun = told["begin"]
            continue
        ended = told["seed"]
        made += told["calls"]
        if told["wrong"]:
            wrong.append(f"seed {told['seed']} ({side}): {told['wrong']}")
    if status == 0:
        return made, wrong, None
    if ended != begun or status != 0:
        wrong.append(f"seed {begun} ({side}): the process ended with {status}")
    return made, wrong, begun


if __name__ == "__main__":
    sys.exit(main())
