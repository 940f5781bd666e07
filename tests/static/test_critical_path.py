"""Chains from one iteration to the next, on loops whose answer can be counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scancc.static.assembly import parse
from scancc.static.critical_path import critical_path, dependencies, maximum_cycle_mean
from scancc.static.iterations import counter_of
from scancc.static.loops import Loop, loops_of
from scancc.static.machine_model import throughput, vector_bits
from scancc.static.steps import steps_of


def loop(body: str) -> Loop:
    lines = "\n".join("\t" + line.strip() for line in body.strip().splitlines())
    (found,) = loops_of(parse(f"f:\n.LBB0_1:\n{lines}\n\tdecq\t%rsi\n\tjne\t.LBB0_1\n\tretq\n")[0])
    return found


CHAINS = [
    ("one multiply-add", "vfmadd213sd (%rdi), %xmm1, %xmm0", 4),
    ("two in a row", "vfmadd213sd %xmm2, %xmm1, %xmm0\nvfmadd213sd %xmm2, %xmm1, %xmm0", 8),
    ("two accumulators", "vaddsd (%rdi), %xmm0, %xmm0\nvaddsd 8(%rdi), %xmm1, %xmm1", 4),
    ("nothing carried but the counter", "vmulsd (%rdi), %xmm1, %xmm2\nvmovsd %xmm2, (%rdx)", 1),
    ("a value that goes round two registers: two iterations a cycle",
     "vaddsd %xmm5, %xmm0, %xmm2\nvmovapd %xmm1, %xmm0\nvmovapd %xmm2, %xmm1", 2),
    ("division", "vdivsd %xmm0, %xmm1, %xmm0", 14),
    ("square root and multiply", "vsqrtsd %xmm0, %xmm0, %xmm0\nvmulsd %xmm1, %xmm0, %xmm0", 22),
    ("a register that is cleared carries nothing", "vxorpd %xmm0, %xmm0, %xmm0\nvaddsd %xmm1, %xmm0, %xmm0", 1),
    ("spilled: add, store, load again",
     "vmovsd 8(%rsp), %xmm0\nvaddsd %xmm1, %xmm0, %xmm0\nvmovsd %xmm0, 8(%rsp)", 9),
    ("read from what the iteration before has stored to an array",
     "vmovsd -8(%rdi,%rax,8), %xmm0\nvaddsd %xmm1, %xmm0, %xmm0\nvmovsd %xmm0, (%rdi,%rax,8)\nincq %rax", 9),
    ("from two iterations before",
     "vmovsd -16(%rdi,%rax,8), %xmm0\nvaddsd %xmm1, %xmm0, %xmm0\nvmovsd %xmm0, (%rdi,%rax,8)\nincq %rax", 4.5),
    ("from an array elsewhere",
     "vmovsd -8(%rdx,%rax,8), %xmm0\nvaddsd %xmm1, %xmm0, %xmm0\nvmovsd %xmm0, (%rdi,%rax,8)\nincq %rax", 1),
    ("a list: each address is loaded", "movq (%rdi), %rdi", 5),
    ("table look-up", "movq (%rdi,%rax,8), %rax\naddq $1, %rax", 6),
    ("conditional move", "vmovq %xmm0, %rcx\ncmpq %rcx, %rax\ncmovlq %rdx, %rax\naddq $1, %rax", 3),
    ("lanes", "vextractf128 $1, %ymm0, %xmm1\nvaddpd %ymm2, %ymm1, %ymm0", 7),
]  # fmt: skip


@pytest.mark.parametrize(("body", "cycles"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_chains(body, cycles):
    assert critical_path(dependencies(loop(body))) == cycles


def test_a_carry_that_only_some_iterations_change():
    text = """f:
.LBB0_1:
	vucomisd	%xmm2, %xmm3
	jbe	.LBB0_3
	vaddsd	%xmm1, %xmm0, %xmm0
	vaddsd	%xmm1, %xmm0, %xmm0
.LBB0_3:
	vmulsd	%xmm1, %xmm0, %xmm0
	decq	%rsi
	jne	.LBB0_1
	retq
"""
    (found,) = loops_of(parse(text)[0])
    assert critical_path(dependencies(found)) == 12  # the longer way


def test_maximum_cycle_mean_is_that_of_all_cycles():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 5))
        weights = np.where(rng.random((n, n)) < 0.5, rng.integers(0, 9, (n, n)).astype(float), -np.inf)
        cycles = (c for k in range(1, n + 1) for c in itertools.permutations(range(n), k))
        means = [sum(weights[c[i], c[(i + 1) % len(c)]] for i in range(len(c))) / len(c) for c in cycles]
        assert maximum_cycle_mean(weights) == pytest.approx(max(0.0, *means))


def test_ports():
    ten = "\n".join(f"vfmadd231pd %ymm14, %ymm15, %ymm{k}" for k in range(10))
    found = loop(ten)
    assert throughput(dependencies(found).instructions) == 5  # two units
    assert vector_bits(list(found.instructions())) == 256
    divided = dependencies(loop("vdivsd %xmm0, %xmm1, %xmm2\nvdivsd %xmm0, %xmm1, %xmm3"))
    assert throughput(divided.instructions) == 8  # busy for 4 cycles each
    assert throughput(dependencies(loop("\n".join(["movq (%rdi), %rax"] * 6))).instructions) == 3
    many = dependencies(loop("\n".join(f"vmovapd %xmm0, %xmm{k}" for k in range(1, 12))))
    assert throughput(many.instructions) == 2  # eleven and a fused pair, six a cycle


@pytest.mark.parametrize(
    ("body", "bits"),
    [("addq %rax, %rbx", 0), ("vaddsd %xmm0, %xmm1, %xmm1", 64), ("vaddpd %xmm0, %xmm1, %xmm1", 128),
     ("vpaddd %ymm0, %ymm1, %ymm1", 256), ("vpaddd %ymm0, %ymm1, %ymm1\nvmulss %xmm0, %xmm1, %xmm2", 64),
     ("vmovupd %zmm0, (%rdi)\nvxorpd %ymm0, %ymm0, %ymm0", 0)],
)  # fmt: skip
def test_width_of_arithmetic(body, bits):
    assert vector_bits(list(loop(body).instructions())) == bits


def test_how_far_a_loop_moves():
    needs = dependencies(loop("vmovups (%rdi,%rax,4), %ymm0\nvmovups %ymm0, (%rdx)\naddq $8, %rax\naddq $32, %rdx"))
    assert needs.strides() == {32}
    found = loop("vaddsd %xmm1, %xmm0, %xmm0")
    counter = counter_of(found, dependencies(found))
    assert counter is not None and (counter.register, counter.step) == ("rsi", -1)


@pytest.mark.parametrize(
    ("strides", "rows", "steps"),
    [({64}, {8}, 8), ({16, 32}, {16, 32}, 1), ({32, 64}, {4, 8}, 8), ({64}, {8, 16}, None), ({32}, {24}, None),
     (set(), {8}, None), ({8, 24}, {8}, None)],
)  # fmt: skip
def test_steps_are_told_only_if_there_is_one_answer(strides, rows, steps):
    assert steps_of(strides, rows) == steps
