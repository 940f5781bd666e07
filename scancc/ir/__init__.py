"""The two intermediate representations: scan IR (what is computed) and loop IR (where it is stored).

`types`, `graph` and `ops` define the scan IR, `build` makes its nodes, `printer` and `parser` are its textual
form, and `verifier` holds its rules. `loop` is the loop IR.
"""
