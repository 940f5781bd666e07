"""scancc: a compiler that turns scans (recurrences over sequences) into native loops."""

from scancc.api import foldl, foldr, map, reduce, scan, scan_compile, until, where
from scancc.jit import jit

__version__ = "0.1.0"
__all__ = ["foldl", "foldr", "jit", "map", "reduce", "scan", "scan_compile", "until", "where"]
