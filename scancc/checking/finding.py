"""What a check found out about one figure of one subject."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["static", "timed"]
Verdict = Literal["ok", "better", "regression", "undecided", "not compared", "new", "gone"]


@dataclass(frozen=True)
class Finding:
    """`before` is the baseline's value and `after` this run's; None where there is none. `note` says by which rule."""

    subject: str  # FILE:NAME
    figure: str
    kind: Kind
    before: float | int | str | None
    after: float | int | str | None
    verdict: Verdict
    note: str = ""
