"""Random numbers in steps: counter-based, so that a draw is a function of a key and nothing else.

    key = sc.random.key(0)
    noise = sc.random.normal(key, (1000,))                    the same numbers wherever and whenever it runs

    def step(t, y, key):
        return 0.9 * y + sc.random.normal(sc.random.fold_in(key, t))

    stream = sc.random.RandomStream(0)                        or with state: every draw is a new one
    sc.scan(lambda y: 0.9 * y + stream.normal(), None, 0.0, n_steps=1000)

Element i of a draw depends on the key and on i alone: no back end, number of threads or split of a batch changes it.
Use a key for one draw; `split` and `fold_in` make new ones. The generators are "philox4x32" (the default),
"threefry4x32" and "philox4x64", which gives the words of `numpy.random.Philox(key=key)` and, by `uniform`, the
doubles of `numpy.random.Generator(Philox(key=key)).random()`.
"""

from scancc.random.distributions import (
    bernoulli,
    beta,
    binomial,
    bits,
    exponential,
    gamma,
    gumbel,
    integers,
    normal,
    poisson,
    uniform,
)
from scancc.random.keys import fold_in, key, split
from scancc.random.selections import categorical, choice, permutation
from scancc.random.stream import RandomStream

__all__ = [
    "RandomStream", "bernoulli", "beta", "binomial", "bits", "categorical", "choice", "exponential", "fold_in", "gamma",
    "gumbel", "integers", "key", "normal", "permutation", "poisson", "split", "uniform",
]  # fmt: skip
