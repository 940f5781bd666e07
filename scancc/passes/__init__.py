"""From a traced graph to loops: graph/, storage/, lower/, loops/, and devices/; `pipeline.py` has the order."""
