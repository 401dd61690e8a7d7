"""Now: what happens in a rolling window, for work that goes on, and what of it is wrong."""
