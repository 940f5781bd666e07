"""scancc: a compiler that turns scans (recurrences over sequences) into native loops."""

__version__ = "0.1.0"

from scancc import lax, random
from scancc.api import filter, foldl, foldr, map, reduce, scan, scan_compile, shared, until, where
from scancc.custom_derivatives import custom_jvp, custom_vjp
from scancc.debug import check, debug_nans, debug_print, trace_steps
from scancc.frontend.conditionals import cond
from scancc.frontend.pytrees import register_pytree_node
from scancc.frontend.special import erf, erfc, expit, gammaln, logsumexp, softmax, take
from scancc.frontend.updates import at_add, at_maximum, at_minimum, at_multiply, at_set
from scancc.gradients import grad, hvp, jvp, linearize, stop_gradient, value_and_grad, vjp
from scancc.jacobians import hessian, jacfwd, jacrev
from scancc.jit import jit
from scancc.lax import associative_scan
from scancc.placement import device_get, device_put
from scancc.vmapping import vmap

__all__ = [
    "associative_scan", "at_add", "at_maximum", "at_minimum", "at_multiply", "at_set", "check", "cond", "custom_jvp",
    "custom_vjp", "debug_nans", "device_get", "device_put",
    "debug_print", "erf", "erfc", "expit", "filter", "foldl", "foldr", "gammaln", "grad", "hessian", "hvp", "jacfwd",
    "jacrev", "jit", "jvp", "lax",
    "linearize", "logsumexp", "map", "random", "reduce",
    "register_pytree_node", "scan", "scan_compile", "shared", "softmax", "stop_gradient",
    "take", "trace_steps", "until", "value_and_grad", "vjp", "vmap", "where",
]  # fmt: skip
