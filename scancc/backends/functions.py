"""How an op on scalars is written in the kernel's source, by the kind of its operands.

EXPRESSIONS[op][kind] is a format of the operands; kinds are those of NumPy dtypes: b(ool), i(nt), u(int), f(loat),
c(omplex). Functions give the very dtype that the op has. Operators of numba give that too, but for integers below
64 bits, which they widen: the printer casts those back.
"""

from __future__ import annotations

from collections.abc import Mapping

# Vectorised polynomials of the run-time library; the other functions of floats are those of the C library.
TRANSCENDENTAL = frozenset("exp expm1 log log1p sin cos tanh erf expit".split())

# Ops, the kinds of their operands, and how they are written; {op} stands for the op's own name.
ROWS: tuple[tuple[str, str, str], ...] = (
    ("add", "iufc", "({0} + {1})"),
    ("subtract", "iufc", "({0} - {1})"),
    ("multiply", "iufc", "({0} * {1})"),
    ("divide", "f", "({0} / {1})"),
    ("negative", "iufc", "(-{0})"),
    ("add maximum fmax bitwise_or logical_or", "b", "({0} | {1})"),
    ("multiply minimum fmin bitwise_and logical_and", "b", "({0} & {1})"),
    ("bitwise_xor logical_xor not_equal", "b", "({0} ^ {1})"),
    ("bitwise_and", "iu", "({0} & {1})"),
    ("bitwise_or", "iu", "({0} | {1})"),
    ("bitwise_xor", "iu", "({0} ^ {1})"),
    ("invert", "iu", "(~{0})"),
    ("invert logical_not", "b", "(not {0})"),
    ("logical_and", "iufc", "(({0} != 0) & ({1} != 0))"),
    ("logical_or", "iufc", "(({0} != 0) | ({1} != 0))"),
    ("logical_xor", "iufc", "(({0} != 0) ^ ({1} != 0))"),
    ("logical_not", "iufc", "({0} == 0)"),
    ("less", "biuf", "({0} < {1})"),
    ("less_equal", "biuf", "({0} <= {1})"),
    ("greater", "biuf", "({0} > {1})"),
    ("greater_equal", "biuf", "({0} >= {1})"),
    ("equal", "biufc", "({0} == {1})"),
    ("not_equal", "iufc", "({0} != {1})"),
    ("less less_equal", "c", "complexes.{op}({0}, {1})"),
    ("greater", "c", "complexes.less({1}, {0})"),
    ("greater_equal", "c", "complexes.less_equal({1}, {0})"),
    ("where", "biufc", "scalar.select({0}, {1}, {2})"),
    ("zero_product either_zero_product", "fc", "scalar.{op}({0}, {1})"),
    ("minimum maximum fmin fmax", "iuf", "scalar.{op}({0}, {1})"),
    ("sign", "iuf", "scalar.{op}({0})"),
    ("absolute", "if", "scalar.{op}({0})"),
    ("absolute", "bu", "{0}"),
    ("floor ceil trunc", "biu", "{0}"),
    ("real conjugate", "biuf", "{0}"),
    ("imag", "biuf", "scalar.like({0}, 0)"),
    ("isnan isinf", "biu", "False"),
    ("isfinite", "biu", "True"),
    ("floor_divide remainder fmod left_shift right_shift power", "iu", "integers.{op}({0}, {1})"),
    ("floor ceil trunc rint signbit exp2 cbrt gammaln", "f", "reals.{op}({0})"),
    ("copysign power hypot arctan2 fmod remainder floor_divide logaddexp", "f", "reals.{op}({0}, {1})"),
    ("sqrt log2 log10 tan sinh cosh erfc isnan isinf isfinite", "f", "math.{op}({0})"),
    ("arcsin", "f", "math.asin({0})"),
    ("arccos", "f", "math.acos({0})"),
    ("arctan", "f", "math.atan({0})"),
    ("arcsinh", "f", "math.asinh({0})"),
    ("arccosh", "f", "math.acosh({0})"),
    ("arctanh", "f", "math.atanh({0})"),
    (" ".join(sorted(TRANSCENDENTAL)), "f", "transcendental.{op}({0})"),
    ("real imag", "c", "{0}.{op}"),
    ("conjugate", "c", "{0}.conjugate()"),
    ("absolute", "c", "abs({0})"),
    ("divide power minimum maximum fmin fmax", "c", "complexes.{op}({0}, {1})"),
    ("sign rint isnan isinf isfinite sqrt exp exp2 expm1 log log2 log10 log1p", "c", "complexes.{op}({0})"),
    ("sin cos tan sinh cosh tanh", "c", "complexes.{op}({0})"),
    ("arcsin arccos arctan arcsinh arccosh arctanh", "c", "complexes.{op}({0})"),
    ("erf erfc", "c", "special.{op}({0})"),
    ("digamma trigamma", "f", "polygamma.{op}({0})"),
    ("partial_add", "f", "sums.partial({0}, {1})"),
    ("multiply_add", "f", "sums.multiply_add({0}, {1}, {2})"),
    ("inverse_00 inverse_01 inverse_10 inverse_11", "f", "matrices.{op}({0}, {1}, {2}, {3})"),
    ("split_steps", "i", "revolve.split({0}, {1})"),
    ("philox4x32 philox4x64 threefry4x32", "u", "counters.{op}({0}, {1}, {2})"),
    ("log_gamma_variate poisson_variate", "f", "samplers.{op}({0}, {1})"),
    ("binomial_variate", "f", "samplers.{op}({0}, {1}, {2})"),
)  # fmt: skip


def _expressions() -> dict[str, dict[str, str]]:
    """Later rows go over earlier ones."""
    table: dict[str, dict[str, str]] = {}
    for ops, kinds, form in ROWS:
        for op in ops.split():
            table.setdefault(op, {}).update(dict.fromkeys(kinds, form.replace("{op}", op)))
    return table


EXPRESSIONS: Mapping[str, Mapping[str, str]] = _expressions()

# Casts by the kinds of both dtypes; {1} is the name of the dtype. A complex number loses its imaginary part, and what
# becomes complex is made real of the same precision first, so that it is rounded once.
CASTS: Mapping[tuple[str, str], str] = {
    **{(source, target): "np.{1}({0})" for source in "biuf" for target in "biuf"},
    **{(source, "b"): "({0} != 0)" for source in "iufc"},
    **{("f", target): "integers.truncate({0}, np.{1})" for target in "iu"},
    **{("c", target): "integers.truncate({0}.real, np.{1})" for target in "iu"},
    ("c", "f"): "np.{1}({0}.real)",
    ("c", "c"): "np.{1}({0})",
    **{(source, "c"): "np.{1}(np.{2}({0}))" for source in "biuf"},
}
