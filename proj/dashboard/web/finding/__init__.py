"""Finding: tasks by words or by a bar of a timeline, and all attempts of a task."""
