"""The same computation on many rows at once: a transformation whose result is an ordinary graph.

    rules.py    RULES: every op with one more leading axis on some of its operands
    loops.py    scans and conditionals, and the fallback for ops without a rule: a loop over the rows
    padded.py   outputs of loops that rows leave at different steps
"""
