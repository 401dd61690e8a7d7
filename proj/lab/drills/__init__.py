"""Drills: each injects a fault while tasks run, and reports what became of every task."""
