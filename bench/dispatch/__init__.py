"""What `bench/dispatch.py` measures, one figure a module, and what the figures share."""
