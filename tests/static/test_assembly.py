"""Assembly text into instructions, blocks and loops."""

from __future__ import annotations

import pytest

from scancc.static.assembly import Immediate, Memory, Register, parse, parse_instruction, register
from scancc.static.critical_path import dependencies
from scancc.static.effects import FLAGS, effects_of, memory_bytes
from scancc.static.hot_loop import around, hot_loops, loop_calls, loops_within, step_lines
from scancc.static.iterations import iterations
from scancc.static.loops import loops_of
from scancc.static.stack import stack_accesses
from scancc.static.symbols import callees, is_allocator, readable

NESTED = """
_ZN14scancc_runtime1fB2v1E:
	.file	1 "/" "<scancc kernel f>"
	.loc	1 3 1
	pushq	%rbx
	movabsq	$helper, %rbx
	xorl	%ecx, %ecx
.LBB0_1:
	.loc	1 4 1
	xorl	%eax, %eax
	vmovsd	%xmm1, 24(%rsp)                 # a spilled carry
	.p2align	4
.LBB0_2:
	vfmadd231pd	(%rdi,%rax,8), %ymm0, %ymm1
	addq	$4, %rax
	cmpq	$64, %rax
	jne	.LBB0_2
	callq	*%rbx
	vmovsd	24(%rsp), %xmm1
	incq	%rcx
	cmpq	%rsi, %rcx
	jl	.LBB0_1
	.loc	1 9 1
.LBB0_3:
	vmulpd	(%rdi), %zmm0, %zmm0
	vmulpd	(%rdi), %zmm0, %zmm0
	decq	%rsi
	jne	.LBB0_3
	jmp	.LBB0_5
	ud2
.LBB0_5:
	popq	%rbx
	retq
.Lfunc_end0:
"""
SOURCE = """def f(x, y):
    a = 1
    for t in range(0, n):  # steps of f
        for i in range(0, 64):
            y[i] = x[i]

        z = 1

    for k in range(0, n):
        y[k] = 0
    return 0
"""


@pytest.mark.parametrize(
    ("name", "whole", "bits"),
    [("eax", "rax", 32), ("al", "rax", 8), ("ah", "rax", 8), ("sil", "rsi", 8), ("bp", "rbp", 16), ("r8", "r8", 64),
     ("r10d", "r10", 32), ("r15b", "r15", 8), ("xmm3", "v3", 128), ("ymm31", "v31", 256), ("zmm0", "v0", 512),
     ("k1", "k1", 64), ("rsp", "rsp", 64), ("edi", "rdi", 32)],
)  # fmt: skip
def test_registers_go_by_the_whole_one(name, whole, bits):
    assert register(name) == Register(whole, bits)


def test_operands():
    i = parse_instruction("vmulpd\t-8(%rsi,%r11,8){1to8}, %zmm5, %zmm14 {%k2} {z}")
    assert i.operands == (Memory("rsi", "r11", 8, -8, "", True), Register("v5", 512), Register("v14", 512))
    assert (i.mask, i.zeroing, memory_bytes(i)) == ("k2", True, 8)
    assert parse_instruction("movabsq\t$memcpy, %rax").operands[0] == Immediate("memcpy")
    assert parse_instruction("vmovsd .LC0(%rip), %xmm0").operands[0] == Memory("rip", None, 1, 0, ".LC0")
    assert parse_instruction("callq *72(%rsp)").indirect


@pytest.mark.parametrize(
    ("line", "reads", "writes"),
    [
        ("addq %rax, %rbx", {"rax", "rbx"}, {"rbx", FLAGS}),
        ("movq %rax, %rbx", {"rax"}, {"rbx"}),
        ("xorl %eax, %eax", set(), {"rax", FLAGS}),
        ("vxorpd %xmm1, %xmm1, %xmm2", set(), {"v2"}),
        ("vsubpd %xmm1, %xmm1, %xmm2", {"v1"}, {"v2"}),
        ("vfmadd213sd %xmm1, %xmm2, %xmm3", {"v1", "v2", "v3"}, {"v3"}),
        ("vaddpd %ymm1, %ymm2, %ymm3", {"v1", "v2"}, {"v3"}),
        ("vaddpd %zmm1, %zmm2, %zmm3 {%k1}", {"v1", "v2", "v3", "k1"}, {"v3"}),
        ("vaddpd %zmm1, %zmm2, %zmm3 {%k1} {z}", {"v1", "v2", "k1"}, {"v3"}),
        ("addsd %xmm1, %xmm0", {"v1", "v0"}, {"v0"}),
        ("movapd %xmm1, %xmm0", {"v1"}, {"v0"}),
        ("vmovsd %xmm1, %xmm2, %xmm3", {"v1", "v2"}, {"v3"}),
        ("cmovlq %r15, %r14", {"r15", "r14", FLAGS}, {"r14"}),
        ("idivq %rcx", {"rax", "rdx", "rcx"}, {"rax", "rdx", FLAGS}),
        ("imulq $3, %rax, %rcx", {"rax"}, {"rcx", FLAGS}),
        ("shrxq %rax, %rbx, %rcx", {"rax", "rbx"}, {"rcx"}),
        ("vucomisd %xmm0, %xmm1", {"v0", "v1"}, {FLAGS}),
        ("vcmpltpd %zmm1, %zmm2, %k1", {"v1", "v2"}, {"k1"}),
        ("leaq 8(%rax,%rbx,2), %rcx", {"rax", "rbx"}, {"rcx"}),
    ],
)
def test_what_instructions_read_and_write(line, reads, writes):
    effects = effects_of(parse_instruction(line))
    assert (set(effects.data), set(effects.writes)) == (reads, writes)


@pytest.mark.parametrize(
    ("line", "load", "store", "size"),
    [
        ("movq (%rax), %rbx", True, False, 8),
        ("movl %ebx, (%rax)", False, True, 4),
        ("addq $1, (%rax)", True, True, 8),
        ("cmpq $1, (%rax)", True, False, 8),
        ("vmovupd %zmm1, (%rax)", False, True, 64),
        ("vextractf128 $1, %ymm0, (%rax)", False, True, 16),
        ("vfmadd231ss (%rax), %xmm0, %xmm1", True, False, 4),
        ("vpmovzxdq (%rax), %zmm2", True, False, 32),
        ("vbroadcastss (%rax), %ymm2", True, False, 4),
        ("movzbl (%rax), %ecx", True, False, 1),
        ("leaq (%rax), %rcx", False, False, 8),
        ("prefetcht0 (%rax)", False, False, 8),
    ],
)
def test_what_instructions_do_to_memory(line, load, store, size):
    i = parse_instruction(line)
    effects = effects_of(i)
    assert (effects.load is not None, effects.store is not None, memory_bytes(i)) == (load, store, size)


def test_loops_nest_and_end():
    (f,) = parse(NESTED)
    outer, inner, last = sorted(loops_of(f), key=lambda loop: f.blocks[loop.header].label)
    assert [f.blocks[loop.header].label for loop in (outer, inner, last)] == [".LBB0_1", ".LBB0_2", ".LBB0_3"]
    assert outer.inner == [inner] and inner.blocks < outer.blocks and not last.inner
    assert [iterations(loop, dependencies(loop)) for loop in (outer, inner, last)] == [None, 16, None]
    assert [i.line for i in inner.instructions()] == [4] * 4
    assert (stack_accesses(outer), stack_accesses(inner)) == (2, 0)
    assert [f.blocks[k].label for k in outer.ordered()][0] == ".LBB0_1"


def test_the_hot_loop_runs_steps():
    functions = parse(NESTED)
    loops = loops_within(functions)
    assert step_lines(SOURCE) == frozenset({3, 4, 5, 6, 7, 8})
    hot, beside = hot_loops(functions, loops, step_lines(SOURCE))
    assert hot is not None and functions[0].blocks[hot.header].label == ".LBB0_2"
    assert beside is not None and functions[0].blocks[beside.header].label == ".LBB0_3"
    assert len(around(hot, loops)) == 2
    assert hot_loops(functions, loops, frozenset({2}))[0] is None
    assert loop_calls(loops) == ["helper"]


def test_a_loop_of_a_called_function_runs_within_the_caller():
    helper = "helper:\n.LBB1_1:\n\tvaddpd\t%ymm1, %ymm0, %ymm0\n\tdecq\t%rdi\n\tjne\t.LBB1_1\n\tretq\n"
    functions = parse(NESTED.replace("vfmadd231pd\t(%rdi,%rax,8), %ymm0, %ymm1", "nop") + helper)
    loops = loops_within(functions)
    hot, _ = hot_loops(functions, loops, step_lines(SOURCE))
    assert hot is not None and hot.function.name == "helper" and hot.runs == 64 * 64
    assert {loop.function.name for loop in around(hot, loops)} == {"helper", functions[0].name}


def test_calls_are_found_through_registers_and_have_names():
    (f,) = parse(NESTED)
    assert [name for names in callees(f).values() for name in names] == ["helper"]
    spilled = "f:\n\tmovabsq\t$exp, %rax\n\tmovq\t%rax, 8(%rsp)\n.LBB0_1:\n\tcallq\t*8(%rsp)\n\tjmp\t.LBB0_1\n"
    assert callees(parse(spilled)[0]) == {1: ["exp"]}
    mangled = "_ZN14scancc_runtime11recurrences6solver12_3clocals_3e5solveB2v2B86c8tJTIeFIjxE"
    assert readable(mangled) == "scancc_runtime.recurrences.solver.solve" and readable("tanh") == "tanh"
    assert is_allocator("NRT_MemInfo_alloc_aligned") and not is_allocator("NRT_incref")
