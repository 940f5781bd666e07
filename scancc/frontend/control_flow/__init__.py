"""Python's control flow on traced values: `if`, `while`, `for` and their jumps, `and`, `or`, `not`, and more.

A function is traced as it stands. Where it asks a traced value for its truth or its number, its source is rewritten
so that control flow becomes calls (`convert`), and traced again: `flow` has what the calls do with traced values.
Anything that does not need this never sees it (`scancc/frontend/calling.py`). The idea of rewriting the source is that
of AutoGraph (Moldovan et al., MLSys 2019).
"""
