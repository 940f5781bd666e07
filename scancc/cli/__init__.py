"""The command line: `scancc compile | run | bench | cache`."""

from scancc.cli.main import main

__all__ = ["main"]
