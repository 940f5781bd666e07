"""Differentiation of the scan IR: transformations whose results are ordinary graphs.

    rules.py          RULES: for every op what reverse mode and forward mode make of it
    elementwise.py    partial derivatives of element-wise ops
    shapes.py         views, moves of elements, reductions
    algebra.py        products, linear algebra
    zeros.py          products in which zero stays zero, and where a plain product does
    arithmetic.py     the few operations that derivatives are built of, with the shortcuts of 0 and 1
    reverse.py        reverse mode through a graph; conditionals
    reverse_scan.py   reverse mode through a scan: one adjoint carry a tap
    step_flow.py      ... what is known of the zeros and infinities of its derivatives
    overlap.py        ... by sequences of which several steps read the same rows
    residuals.py      ... the forward values that the loop back uses
    checkpoint.py     ... with some states kept instead of the history
    binomial.py       ... with fewer of them, at the places that make the fewest steps again
    window.py         ... through a window of steps
    custom.py         rules that the user gives
    forward.py        forward mode through a graph, scans and conditionals included
"""
