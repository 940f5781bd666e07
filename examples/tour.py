"""All examples in one run: results, the peers' answers beside them, then the speed of each recurrence.

One table for each example shows that its answers are right, the last table what they cost: medians of
interleaved repeats, in nanoseconds a step, with the speed-up over the Python loop in brackets. Exit status
1 means that an answer differs from a peer's.
"""

from __future__ import annotations

import sys

import autoregression
import fit_garch
import fit_lynx_hare
import fit_nile
import hmm_posteriors
import nile
import sp500
import text_rnn
import train_rnn
from report import Agreement, missing_peers, race, show, summary, wide_console
from rich.table import Table

EXAMPLES = {
    "sunspots: AR(2)": (autoregression, 100_000),
    "Nile: Kalman filter": (nile, 100_000),
    "S&P 500: GARCH(1,1)": (sp500, 100_000),
    "speeches: RNN": (text_rnn, len(text_rnn.load_text()[0]) - 1),
}
FITS = {
    "S&P 500: GARCH(1,1) fitted": fit_garch,
    "Nile: local level and ARMA(1, 1) fitted": fit_nile,
    "lynx and hare: Lotka-Volterra fitted": fit_lynx_hare,
    "S&P 500: posteriors by gradient": hmm_posteriors,
    "speeches: RNN trained": train_rnn,
}
COLUMNS = ("Python loop", "njit", "JAX", "scancc")


def answers() -> list[Agreement]:
    """Print each example's table; returns the agreements of all of them."""
    found: list[Agreement] = []
    for title, (example, _) in EXAMPLES.items():
        agreements, notes = example.compare()
        show(title, agreements, notes)
        found += agreements
    for title, fit in FITS.items():
        agreements, notes = fit.compare()
        show(title, agreements, notes)
        found += agreements
    return found


def speeds() -> Table:
    """Nanoseconds a step of every contender, on the examples' data repeated to the number of steps given."""
    table = Table(title="Speed: ns a step (speed-up over the Python loop)", title_justify="left")
    table.add_column("recurrence")
    for name in ("steps", *COLUMNS):
        table.add_column(name, justify="right")
    for title, (example, steps) in EXAMPLES.items():
        times = race(example.contenders())
        loop = times["Python loop"]
        cells = [
            f"{seconds / steps * 1e9:,.1f} ({loop / seconds:,.3g}x)" if (seconds := times.get(name)) else "-"
            for name in COLUMNS
        ]
        table.add_row(title, f"{steps:,}", *cells)
    return table


def main() -> int:
    found = answers()
    worst = max(found, key=lambda a: a.difference)
    differing = [a for a in found if not a.holds]
    console = wide_console()
    console.print(
        f"{len(found) - len(differing)} of {len(found)} answers agree; the largest difference is "
        f"{worst.difference:.1e} ({worst.quantity}, {summary(worst.theirs)} by {worst.peer})",
        markup=False,
    )
    console.print(speeds())
    for note in missing_peers("numba", "jax"):
        console.print(f"note: {note}", style="dim", markup=False)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
