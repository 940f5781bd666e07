"""Passes over the scan IR, storage planning, and lowering to the loop IR."""
