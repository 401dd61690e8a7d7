"""Finding: attempts by words about them, and what became of each attempt of a task."""
