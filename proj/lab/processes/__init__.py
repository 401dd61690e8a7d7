"""Processes that the lab starts, awaits and stops; none outlives the lab."""
