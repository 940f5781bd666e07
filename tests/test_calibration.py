"""The calibration kernels are what they say: their machine code is read, and what they compute is checked."""

from __future__ import annotations

import platform
import re

import numpy as np
import pytest

from scancc import calibration


@pytest.fixture(scope="module")
def loops():
    """name -> the innermost loops of the kernel as lists of lines, each from its label to the jump back."""
    found = {}
    for name, text in calibration.assembly().items():
        body = re.search(r"^_ZN\S*:.*?^\.Lfunc_end", text, re.M | re.S).group()
        found[name] = [
            m.group(2).strip().splitlines()
            for m in re.finditer(r"^(\.LBB\w+):\n((?:(?!^\.LBB).*\n)*?.*\tj\w+\t\1)\n", body, re.M)
        ]
    return found


x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86-64 assembly")


@x86
def test_a_link_of_the_chain_is_one_multiply_add(loops):
    assert loops["latency"]
    for loop in loops["latency"]:
        work = [line.split() for line in loop if "xmm" in line]
        assert work and all(w[0].startswith("vfmadd") for w in work)
        # Reads what the one before wrote, and no memory.
        assert {w[-1] for w in work} == {work[0][-1]} and not any("(" in line for line in loop)


@x86
def test_throughput_is_vector_multiply_adds(loops):
    widest = [loop for loop in loops["throughput"] if any("ymm" in line or "zmm" in line for line in loop)]
    assert widest
    for loop in widest:
        names = [line.split()[0] for line in loop]
        assert sum(n.startswith("vfmadd") and n.endswith("pd") for n in names) % calibration.MULTIPLY_ADDS == 0
        assert sum(n.startswith("vfmadd") for n in names) > len(names) / 2


@x86
def test_the_copy_is_vector_loads_and_stores_and_no_call(loops):
    widest = loops["bandwidth"][0]
    assert all(line.split()[0] in ("vmulpd", "vmovupd", "addq", "cmpq", "jne") for line in widest)
    assert "call" not in calibration.assembly()["bandwidth"].partition(".Lfunc_end0")[0]


def test_values():
    assert calibration.chain(3, 1.0, 2.0, 1.0) == 15.0
    x = np.array([0.0, 1.0, 0.5])
    calibration.polynomials(1, x, 1.0, 1.0)
    n = calibration.MULTIPLY_ADDS
    np.testing.assert_allclose(x, [1.0, n + 1.0, 2.0 - 0.5**n], rtol=1e-12)
    out = np.zeros(3)
    calibration.scaled_copy(out, np.arange(3.0), 2.0)
    assert out.tolist() == [0.0, 2.0, 4.0]


def test_closures_run_on_and_on():
    call = calibration.KERNELS["bandwidth"]()
    for _ in range(2 * calibration.LARGEST_BYTES // (8 * calibration.STRETCH)):  # beyond the ends of the arrays
        call()


def test_cycle_and_bandwidth_are_those_of_a_machine():
    assert 0.1 < calibration.cycle_ns() < 2.0  # 0.5 to 10 GHz
    assert 1e8 < calibration.bandwidth_bytes_per_s() < 1e13
