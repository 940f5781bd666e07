"""Performance checks: baselines of figures, the comparison with them, and reports of it."""
