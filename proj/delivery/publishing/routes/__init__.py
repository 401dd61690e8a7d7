"""Where a task goes: the exchange that its caller names, now or after a delay in the broker."""
