"""The examples of Theano's scan documentation, with their imports changed and their prints made Python 3.

    python examples/seed.py
"""

import numpy

from scancc import theano

import scancc.theano.tensor as T  # isort: skip


def power():
    """A**k: the step count is part of the graph, and only the last value is kept."""
    k = T.iscalar("k")
    A = T.vector("A")

    # Symbolic description of the result
    result, updates = theano.scan(fn=lambda prior_result, A: prior_result * A,
                                  outputs_info=T.ones_like(A),
                                  non_sequences=A,
                                  n_steps=k)

    # We only care about A**k, but scan has provided us with A**1 through A**k.
    # Discard the values that we don't care about.
    final_result = result[-1]

    # compiled function that returns A**k
    return theano.function(inputs=[A, k], outputs=final_result, updates=updates)


def rows():
    """tanh(x W + b) row by row: captured variables become non-sequences."""
    X = T.matrix("X")
    W = T.matrix("W")
    b_sym = T.vector("b_sym")

    results, updates = theano.scan(lambda v: T.tanh(T.dot(v, W) + b_sym), sequences=X)
    return theano.function(inputs=[X, W, b_sym], outputs=[results])


def general():
    """The general form: sequences, one of them reversed, past values, a non-sequence."""
    X = T.vector("X")
    A = T.scalar("A")
    Y = T.vector("Y")
    P = T.vector("P")

    results, updates = theano.scan(fn=lambda y, p, x_tm2, x_tm1, A: y + p + x_tm2 + x_tm1 + A,
                                   sequences=[Y, P[::-1]],
                                   outputs_info=[dict(initial=X, taps=[-2, -1])],
                                   non_sequences=A)
    return theano.function(inputs=[X, A, Y, P], outputs=results, updates=updates)


def main():
    f = power()
    print(f(range(10), 2))
    print(f(range(10), 4))
    x = numpy.eye(2)
    w = numpy.ones((2, 2))
    b = numpy.array([1.0, 2.0])
    print(rows()(x, w, b)[0])
    print(numpy.tanh(x.dot(w) + b))
    print(general()([1.0, 1.0], 0.5, [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]))


if __name__ == "__main__":
    main()
