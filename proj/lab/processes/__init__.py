"""Processes that the lab starts: owned, awaited, stopped, and never left behind."""
