"""The CUDA back end: the same loop IR, printed for numba.cuda."""
