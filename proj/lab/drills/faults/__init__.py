"""The faults that a drill can inject, by what they strike."""
