"""The journal: attempts of tasks, workers and queue depths, recorded from events and the broker into an SQLite file."""
