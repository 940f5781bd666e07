"""Passes over the loop IR, and what they have to know of loops."""
