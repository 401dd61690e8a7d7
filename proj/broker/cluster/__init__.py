"""Which nodes of a cluster answer, and which of its queues have no majority."""
