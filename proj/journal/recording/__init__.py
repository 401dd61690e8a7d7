"""How events of tasks and workers get from the broker into a journal, or into memory."""
