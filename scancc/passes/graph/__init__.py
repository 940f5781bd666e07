"""Passes over the scan IR: a graph of nodes becomes another that computes the same."""
