"""The command line: `scancc compile | run | bench | check | explain | doctor | cache`."""

from scancc.cli.main import main

__all__ = ["main"]
