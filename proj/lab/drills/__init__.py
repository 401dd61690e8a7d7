"""Drills: a fault injected while tasks run, and what became of every task."""
