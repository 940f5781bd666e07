"""What kernels for CUDA devices call, by the names that kernels for the CPU use: plain functions of numbers.

numba compiles them for the device; nothing here imports numba, so that the same functions can be tested on the CPU.
None calls another. They follow the interpreter where Python or C would not: NaNs, signed zeros, divisions by zero.
"""
