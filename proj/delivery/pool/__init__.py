"""The pool of processes: its pipes, and its warm shutdown."""
