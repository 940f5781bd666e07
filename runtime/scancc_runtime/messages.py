"""The texts of checks and prints, for whoever runs a program: kernels call `show` while they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def rendered(message: str, names: tuple[str, ...], values: Sequence[Any]) -> str:
    """`message`, a format string, with its values; the last of them go by `names`."""
    plain = len(values) - len(names)
    return message.format(*values[:plain], **dict(zip(names, values[plain:], strict=True)))


def show(message: str, names: tuple[str, ...], *values: Any) -> None:
    """Print at once, also where the output is a file."""
    print(rendered(message, names, values), flush=True)


def failed_check(message: str, names: tuple[str, ...], values: Sequence[Any], steps: tuple[int, ...]) -> str:
    """The text of a check that failed, at a step of the loops around it."""
    text = rendered(message, names, values)
    return f"{text}\n  at step {', '.join(map(str, steps))}" if steps else text
