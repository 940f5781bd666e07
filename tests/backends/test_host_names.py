"""What users call things means nothing to the code that is made around a kernel."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc
from scancc.errors import CheckError

OF_THE_HOST = ["kernel_", "empty_", "zeros_", "fail_", "np_", "code_", "arguments_", "call_", "check_", "native_",
               "found_", "bound_0_", "given_0_", "operand_0_", "dtype_x_", "as_x_", "uint16_"]  # fmt: skip
OF_PYTHON = ["len", "type", "int", "locals", "range", "min", "max", "id", "sum", "None_", "self", "math", "float"]
OF_KERNELS = ["scancc", "words", "entry", "leave", "malloc", "free", "n_x", "x_rows", "packed", "k", "np"]
NAMES = OF_THE_HOST + OF_PYTHON + OF_KERNELS
STEPS = (  # of a sequence and a state; each makes the host do something else
    "def step({x}, {h}):\n    return {h} * 0.5 + {x}\n",
    "def step({x}, {h}):\n    sc.check({x} > -1.0, 'below')\n    v = {h} * 0.5 + {x}\n"
    "    return v, sc.until(v < -9.0)\n",
)


@pytest.mark.parametrize(("x", "h"), list(zip(NAMES[::2], NAMES[1::2], strict=False)))
def test_any_name_will_do(x, h):
    xs, expected = np.arange(4.0), [0.0]
    for value in xs:
        expected.append(expected[-1] * 0.5 + value)
    for text in STEPS:
        scope = {"sc": sc}
        exec(text.format(x=x, h=h), scope)
        step = scope["step"]
        for _ in range(20):  # the general way, guards, and the whole call
            np.testing.assert_array_equal(sc.scan(step, xs, 0.0), expected[1:])
    with pytest.raises(CheckError, match="below"):
        sc.scan(step, -xs, 0.0)


@pytest.mark.parametrize("name", ["kernel_", "fail_", "len"])
def test_any_name_of_a_function_and_its_argument_will_do(name):
    scope = {"sc": sc}
    exec(f"def {name}({name}):\n    return sc.scan(lambda u, h: h * 0.5 + u, {name}, 0.0)[-1]\n", scope)
    f = sc.jit(scope[name])
    for _ in range(20):
        assert f(np.ones(3)) == 1.75
