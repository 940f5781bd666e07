"""The same computation on many rows at once: a transformation whose result is an ordinary graph.

    rules.py        RULES: every op with one more leading axis on some of its operands
    loops.py        scans and conditionals of rows that all do the same, and single ops without a rule
    divergence.py   what a row does by itself: branches, ends of loops, lengths
    by_rows.py      a loop over the rows for that
    masked.py       or one loop for all rows, with a flag that says which of them go on
    padded.py       outputs of such loops
"""
