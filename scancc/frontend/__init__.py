"""Front end: ordinary NumPy step functions in, scan IR out.

Read in this order: `location` (where the user's expression stands), `scope` (graphs under construction and what
they capture), `tracer` (the value that records operations), `ufuncs` and `numpy_functions` (what NumPy calls
become), `indexing`, `scan_arguments` (Theano's conventions, normalised), `scans` (a step function into a scan op).
"""
