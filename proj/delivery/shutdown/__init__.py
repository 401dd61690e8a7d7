"""How workers stop without losing a task: warm shutdown, halting, draining."""
