"""What the Dispatch page shows now: events, worker replies and broker counts, kept as one state."""
