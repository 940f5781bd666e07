"""Theano's interface on scancc: `from scancc import theano; import scancc.theano.tensor as T`.

A thin layer: symbolic variables are the tracer's own values, `scan` is the scan of the public API, `function` gives the
graph the shapes of its arguments and compiles it. What differs from Theano on purpose is in docs/differences.md.
"""

from scancc.frontend.shared import Shared as SharedVariable
from scancc.theano import gradient, scan_module, tensor
from scancc.theano.configuration import config
from scancc.theano.function import Function, In, MissingInputError, UnusedInputError, function
from scancc.theano.gradient import Lop, Rop, grad
from scancc.theano.graphs import clone
from scancc.theano.scan_module import foldl, foldr, map, reduce, scan
from scancc.theano.variables import shared

__all__ = [
    "Function", "In", "Lop", "MissingInputError", "Rop", "SharedVariable", "UnusedInputError", "clone", "config",
    "foldl", "foldr", "function", "grad", "gradient", "map", "reduce", "scan", "scan_module", "shared", "tensor",
]  # fmt: skip
