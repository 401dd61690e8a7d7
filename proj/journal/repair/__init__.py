"""What can be read of a damaged journal, and a new journal of it."""
