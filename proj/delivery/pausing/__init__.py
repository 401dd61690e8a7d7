"""Pausing queues: workers consume from a paused queue no more, and give back what they have not started of it."""
