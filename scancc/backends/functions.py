"""How an op on scalars is written in the kernel's source, by the kind of its operands.

EXPRESSIONS[op][kind] is a format of the operands; kinds are those of NumPy dtypes: b(ool), i(nt), u(int), f(loat),
c(omplex). Numba widens small integers and some float32 results; `narrow` casts what is not exact back.
"""

from __future__ import annotations

from collections.abc import Mapping

Formats = Mapping[str, str]

ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}
COMPARISONS = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!="}
BITWISE = {"bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^"}
LOGICAL = {"logical_and": "&", "logical_or": "|", "logical_xor": "^"}
# Vectorised polynomials of the run-time library.
TRANSCENDENTAL = ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "expit")
# Functions of Python's math module under NumPy's names, for floats and (those of cmath) for complex numbers.
MATH = {
    "sqrt": "sqrt", "expm1": "expm1", "log": "log", "log2": "log2", "log10": "log10", "log1p": "log1p", "sin": "sin",
    "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "sinh": "sinh", "cosh": "cosh",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arctan2": "atan2", "hypot": "hypot", "erf": "erf",
    "erfc": "erfc", "gammaln": "lgamma", "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite",
}  # fmt: skip
CMATH = (
    "sqrt exp log log10 sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh"
).split()
REALS = "fmod floor ceil trunc rint copysign sign signbit fmin fmax remainder floor_divide logaddexp exp2 cbrt".split()
INTEGERS = "floor_divide remainder fmod left_shift right_shift power".split()
COMPLEXES = (
    "less less_equal isnan isinf isfinite minimum maximum fmin fmax sign rint log2 exp2 expm1 log1p power"
).split()


def _call(module: str, function: str, arity: int) -> str:
    return f"{module}.{function}({', '.join(f'{{{i}}}' for i in range(arity))})"


def _table() -> dict[str, dict[str, str]]:
    from scancc.ir.ops import OPS

    table: dict[str, dict[str, str]] = {name: {} for name, d in OPS.items() if d.kind == "elementwise"}
    for name, sign in ARITHMETIC.items():
        table[name] |= dict.fromkeys("iufc", f"({{0}} {sign} {{1}})")
    table["add"]["b"], table["multiply"]["b"] = "({0} | {1})", "({0} & {1})"
    table["divide"] |= {"f": "({0} / {1})", "c": "complexes.divide({0}, {1})"}
    for name, sign in COMPARISONS.items():
        table[name] |= dict.fromkeys("biuf", f"({{0}} {sign} {{1}})")
    table["equal"]["c"], table["not_equal"]["c"] = "({0} == {1})", "({0} != {1})"
    for name, sign in BITWISE.items():
        table[name] |= dict.fromkeys("biu", f"({{0}} {sign} {{1}})")
    for name, sign in LOGICAL.items():
        table[name] |= {"b": f"({{0}} {sign} {{1}})"}
        table[name] |= dict.fromkeys("iufc", f"(({{0}} != 0) {sign} ({{1}} != 0))")
    table["logical_not"] |= {"b": "(not {0})"} | dict.fromkeys("iufc", "({0} == 0)")
    table["invert"] |= {"b": "(not {0})"} | dict.fromkeys("iu", "(~{0})")
    table["negative"] |= dict.fromkeys("iufc", "(-{0})")
    table["absolute"] |= {"b": "{0}", "u": "{0}", "i": "abs({0})", "c": "abs({0})", "f": "reals.absolute({0})"}
    table["sign"] |= {"i": "(({0} > 0) - ({0} < 0))", "u": "({0} > 0)"}
    for name in ("minimum", "maximum"):
        table[name] |= dict.fromkeys("iuf", f"scalar.{name}({{0}}, {{1}})")
        table[name]["b"] = "({0} & {1})" if name == "minimum" else "({0} | {1})"
        table["f" + name[:3]] |= {k: table[name][k] for k in "biu"}
    for name, function in MATH.items():
        table[name]["f"] = _call("math", function, OPS[name].arity or 1)
    for name in CMATH:
        table[name]["c"] = f"cmath.{MATH.get(name, name)}({{0}})"
    for module, names, kinds in (("reals", REALS, "f"), ("integers", INTEGERS, "iu"), ("complexes", COMPLEXES, "c")):
        for name in names:
            table[name] |= dict.fromkeys(kinds, _call(module, name, OPS[name].arity or 1))
    table["greater"]["c"], table["greater_equal"]["c"] = "complexes.less({1}, {0})", "complexes.less_equal({1}, {0})"
    table["power"]["f"] = "({0} ** {1})"
    table["signbit"] |= {"i": "({0} < 0)", "u": "({0} != {0})", "b": "({0} != {0})"}
    for name in ("floor", "ceil", "trunc", "rint"):
        table[name] |= dict.fromkeys("biu", "{0}")
    table["isnan"] |= dict.fromkeys("biu", "({0} != {0})")
    table["isinf"] |= dict.fromkeys("biu", "({0} != {0})")
    table["isfinite"] |= dict.fromkeys("biu", "({0} == {0})")
    table["gammaln"]["f"] = "reals.gammaln({0})"
    table["conjugate"] |= {"c": "{0}.conjugate()"} | dict.fromkeys("biuf", "{0}")
    table["real"] |= {"c": "{0}.real"} | dict.fromkeys("biuf", "{0}")
    table["imag"] |= {"c": "{0}.imag"} | dict.fromkeys("biuf", "({0} * 0)")
    table["where"] |= dict.fromkeys("biufc", "scalar.select({0}, {1}, {2})")
    for name in TRANSCENDENTAL:
        table[name]["f"] = f"transcendental.{name}({{0}})"
    return table


EXPRESSIONS: Mapping[str, Formats] = _table()

# Casts by the kinds of both dtypes, where plain `np.<dtype>(x)` is not NumPy's conversion: floats become small
# integers by way of int64, since what does not fit is undefined otherwise.
CASTS: Mapping[tuple[str, str], str] = {
    **{(k, "b"): "({0} != 0)" for k in "iufc"},
    **{("f", k): "np.{1}(np.int64({0}))" for k in "iu"},
    **{("c", k): "np.{1}({0}.real)" for k in "f"},
    **{("c", k): "np.{1}(np.int64({0}.real))" for k in "iu"},
}
