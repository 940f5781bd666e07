"""The CPU's machine code: loop IR printed as LLVM IR, optimised and loaded through llvmlite.

kernel.py prints statements, ops.py expressions, library.py what kernels call, engine.py makes machine code of it.
"""
