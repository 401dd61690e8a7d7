"""Letters: how many dead letters came from each queue."""
