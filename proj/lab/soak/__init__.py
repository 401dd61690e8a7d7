"""The soak: many tasks for a long time, with a fault every few seconds."""
