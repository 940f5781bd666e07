"""Kernels of the benchmark recurrences compiled without a device: nothing spills, nothing is in local memory."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import scancc as sc

PROGRAM = """
import json, sys
import numpy as np
import scancc as sc
from scancc.backends.cuda import transpose
from scancc.backends.cuda.offline import resources

def ar2(x, y0):
    return sc.scan(lambda x, y2, y1: x + 0.5 * y1 - 0.3 * y2, x, [dict(initial=y0, taps=[-2, -1])])

def garch(r, o, a, b):
    s = sc.scan(lambda r, s: o + a * r * r + b * s, r, 1.0)
    return (np.log(s) + r * r / s).sum()

def rnn(x, h, w):
    return sc.scan(lambda x, h, w: np.tanh(x + h @ w), x, h, [w])

def ema(x):
    return sc.scan(lambda x, y: 0.9 * y + 0.1 * x, x, 0.0)

def affine(a, b):
    return sc.scan(lambda a, b, y: a * y + b, [a, b], np.zeros((), a.dtype)[()])

def centred(x, h):
    return sc.scan(lambda x, h: h - h.mean() + x, x, h)

B, T = 1000, 100
x, u = np.ones((T, B)), np.ones((B, 2))
p = [np.ones(B)] * 3
cases = {
    "ar2": (ar2, (1, 0), (x, u)),
    "ar2_float32": (ar2, (1, 0), (x.astype("f"), u.astype("f"))),
    "garch": (garch, (1, 0, 0, 0), (x, *p)),
    "garch_gradient": (sc.grad(garch, (1, 2, 3)), (1, 0, 0, 0), (x, *p)),
}
h, w = np.ones(256, "f"), np.ones((256, 256), "f")
cases["rnn_batch"] = (rnn, (1, 0, None), (np.ones((T, 64, 256), "f"), np.ones((64, 256), "f"), w))
others = {
    "rnn_grid": (rnn, {"strategy": "grid"}, (np.ones((T, 256), "f"), h, w)),
    "centred": (centred, {}, (np.ones((T, 256), "f"), h)),
    "ema_prefix": (ema, {}, (np.ones(T),)),
    "affine32_prefix": (affine, {"parallel": "prefix"}, (np.ones(T, "f"), np.ones(T, "f"))),
    "ar2_prefix": (ar2, {}, (np.ones(T), np.ones(2))),
}
programs = {n: sc.jit(sc.vmap(f, in_axes=axes), target="cuda").lower(*args) for n, (f, axes, args) in cases.items()}
assert all(p.compilation.lanes is not None for p in programs.values())
programs |= {name: sc.jit(f, target="cuda", **how).lower(*args) for name, (f, how, args) in others.items()}
found = {}
for name, program in programs.items():
    assert not name.endswith("prefix") or program.compilation.strategy == "prefix"
    text = program.ptx((8, 0))  # which a device of 9.0 takes, too
    for cc in ((8, 0), (9, 0)):
        if cc == (9, 0) and name.endswith("prefix"):
            text = program.ptx(cc)  # where shuffles need no calls
        r = resources(text, cc)
        found[f"{name} {cc[0]}.{cc[1]}"] = vars(r)
for cc in ((8, 0), (9, 0)):
    r = resources(transpose.ptx("uint64", cc), cc)
    found[f"transpose {cc[0]}.{cc[1]}"] = vars(r)
print(json.dumps(found))
"""
# Registers and bytes of shared memory that a kernel may take at most, and whether it has barriers.
MOST = {
    "ar2": (40, 0), "ar2_float32": (40, 0), "garch": (64, 0), "garch_gradient": (80, 0),
    "rnn_batch": (255, 2048), "rnn_grid": (72, 0), "centred": (72, 3072),
    "ema_prefix": (72, 36864), "affine32_prefix": (40, 34816), "ar2_prefix": (104, 36864),
    "transpose": (40, 8448),
}  # fmt: skip
# For 8.0 the assembler makes functions of shuffles in loops, and calls take registers.
CALLS = {"ema_prefix": 96, "affine32_prefix": 80, "ar2_prefix": 240}
WAITING = ("rnn_batch", "centred", "ema_prefix", "affine32_prefix", "ar2_prefix", "transpose")
DTYPES = "bool_ int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 complex64 complex128".split()


def without_simulator(program, *arguments, **environment):
    """The program in a process of its own; the simulator, which other tests run on, compiles nothing."""
    known = {k: v for k, v in os.environ.items() if k != "NUMBA_ENABLE_CUDASIM"}
    known |= {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)} | environment
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=known, check=False)


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="PTX needs the extra 'cuda'")
def test_resources():
    run = without_simulator(PROGRAM)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert len(found) == 2 * len(MOST)
    for label, r in found.items():
        name, cc = label.split()
        registers = CALLS.get(name, MOST[name][0]) if cc == "8.0" else MOST[name][0]
        assert (r["stack"], r["spill_stores"], r["spill_loads"]) == (0, 0, 0), label
        assert r["registers"] <= registers, (label, r)
        assert r["shared"] <= MOST[name][1], (label, r)
        assert (r["barriers"] > 0) == (name in WAITING), (label, r)


WORDS = """
import numpy as np, numba, scancc as sc
from numba.cuda import types
from scancc.backends.cuda import warp, words
from scancc.backends.cuda.library import _module
from scancc.backends.cuda.offline import ptx_of, resources

f = sc.jit(lambda a, b: sc.scan(lambda a, b, y: a * y + b, [a, b], np.float32(0)), target="cuda", parallel="prefix")
p = f.lower(*[np.ones(2000, "f")] * 2)
for cc in ((8, 0), (9, 0)):
    text = p.ptx(cc)
    print(*(w in text for w in ("shfl.sync", "ld.relaxed.gpu", "st.relaxed.gpu", "atom.global.add", "membar", "fence")))

modules = {"warps": _module("warps", warp.on_device()), "words": _module("words", words.on_device())}
for name in sys.argv[1].split():
    dtype = np.dtype(getattr(np, name))
    count = max(1, dtype.itemsize // 4)
    source = f'''
def kernel(x, y, told):
    v = warps.of(warps.down(warps.up(x[0], 1), 2), 3)
    words.put(told, (warps.first(told[0, 0] == 0), 0), 1, v)
    y[0] = words.number(np.{name}, ({"".join(f"words.get(told, (1, {k}))," for k in range(count))}))
'''
    def make(cuda):
        scope = {"np": np, **modules}
        exec(source, scope)
        return scope["kernel"]
    kind, told = types.Array(numba.from_dtype(dtype), 1, "C"), types.Array(types.int64, 2, "C")
    text = ptx_of(make, (kind, kind, told), False, (9, 0))
    assert resources(text, (9, 0)).spill_stores == 0
    print(name, *(text.count(w) // count for w in ("shfl.sync.", "st.relaxed.gpu.", "ld.relaxed.gpu.")))
"""


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="PTX needs the extra 'cuda'")
def test_warps_and_words():
    """Numbers of every dtype in 32-bit pieces; neither fences nor flags that lie apart."""
    run = without_simulator(WORDS.replace("sys.argv[1]", repr(" ".join(DTYPES))))
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:2] == ["True True True True False False"] * 2
    assert lines[2:] == [f"{name} 3 1 1" for name in DTYPES]


@pytest.mark.skipif(importlib.util.find_spec("numba_cuda") is None, reason="PTX needs the extra 'cuda'")
def test_fast_functions_are_asked_for():
    """The hardware's functions of float32, which are less exact, only under `fastmath`."""
    program = (
        "import numpy as np, scancc as sc\n"
        "step = lambda x, y: np.sin(np.log(x) + y) + np.tanh(x) / y\n"
        "f = sc.vmap(lambda x: sc.scan(step, x, np.float32(1)))\n"
        "for fast in (False, True):\n"
        "    text = sc.jit(f, target='cuda', fastmath=fast).lower(np.ones((3, 20), 'f')).ptx((9, 0))\n"
        "    print(*(name in text for name in ('sin.approx', 'lg2.approx', 'tanh.approx', 'div.approx')))\n"
    )
    run = without_simulator(program)
    assert run.stdout.split() == ["False"] * 4 + ["True"] * 4, run.stderr


def test_without_a_device():
    """One clear error when a program runs, none before: it can be looked at anywhere."""
    program = (
        "import sys, numpy as np, scancc as sc\n"
        "sc.jit(lambda x: sc.scan(lambda x, h: h + x, x, 0.0))(np.ones(3))\n"
        "assert not any(m.startswith(('numba.cuda', 'cuda')) for m in sys.modules)\n"
        "f = sc.jit(lambda x: sc.scan(lambda x, h: h + x, x, 0.0), target='cuda')\n"
        "assert 'cuda.threadIdx' in f.lower(np.ones(3)).source()\n"
        "try:\n    f(np.ones(3))\nexcept RuntimeError as e:\n    print(type(e).__name__, e)\n"
    )
    run = without_simulator(program, CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("DeviceError target='cuda' has nothing to run on")
    assert "help: pip install 'scancc[cuda]'" in run.stdout


def test_ptx_of_a_program_for_the_cpu():
    with pytest.raises(ValueError, match="compiled for the CPU"):
        sc.jit(lambda x: sc.scan(lambda x, h: h + x, x, 0.0)).lower(np.ones(3)).ptx()
    with pytest.raises(ValueError, match="compiled for a device"):
        sc.jit(lambda x: sc.scan(lambda x, h: h + x, x, 0.0), target="cuda").lower(np.ones(3)).asm()
