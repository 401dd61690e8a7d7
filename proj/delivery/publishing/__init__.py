"""Publishing with confirms: `delay` returns when the broker has the task."""
