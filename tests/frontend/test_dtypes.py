"""Functions of every dtype have results of NumPy's dtypes, or raise a TypeError where NumPy does."""

from __future__ import annotations

import numpy as np
import pytest

import scancc as sc

DTYPES = "? i1 u1 i4 i8 u8 f4 f8 c8 c16".split()
UFUNCS = (
    "deg2rad rad2deg radians degrees conjugate positive square absolute fabs sign negative floor ceil trunc rint isnan "
    "isinf isfinite signbit sqrt exp heaviside logaddexp logaddexp2 modf divmod cbrt exp2 log1p invert logical_not "
    "power float_power arctan2 hypot copysign fmod floor_divide remainder maximum minimum add subtract multiply divide "
    "left_shift bitwise_and vecdot"
).split()
OTHERS = (
    "angle real imag round sinc cumsum cumprod sum prod mean var std min max ptp any all argmin argmax diff nan_to_num "
    "nansum nanmax average"
).split()
FUNCTIONS = {name: getattr(np, name) for name in (*UFUNCS, *OTHERS)} | {
    "norm": np.linalg.norm,
    "angle in degrees": lambda x: np.angle(x, deg=True),
    "clip": lambda x: np.clip(x, 0, 1),
    "dot": lambda x: np.dot(x, x),
    "vdot": lambda x: np.vdot(x, x),
    "conj of an array": lambda x: x.conj(),
    "round to tens": lambda x: np.round(x, -1),
    "heaviside of two dtypes": lambda x: np.heaviside(x, 0.5 * np.ones(3)),
    "isclose": lambda x: np.isclose(x, x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")
def test_dtypes(name):
    function = FUNCTIONS[name]
    count = getattr(function, "nin", 1)
    traced = sc.jit(lambda *arrays: function(*arrays))
    for dtype in DTYPES:
        arrays = (np.array([0, 1, 1], dtype),) * count
        try:
            want = function(*arrays)
        except TypeError:
            with pytest.raises((TypeError, NotImplementedError)):
                traced(*arrays, mode="interpret")
            continue
        have = traced(*arrays, mode="interpret")
        for h, w in zip(*(r if isinstance(r, tuple) else (r,) for r in (have, want)), strict=True):
            half = w.dtype == np.float16  # computed in float32
            assert h.dtype == (np.float32 if half else w.dtype), dtype
            np.testing.assert_allclose(h, w, 1e-3 if half else 1e-6, 1e-3 if half else 1e-6)
