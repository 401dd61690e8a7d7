"""The faults that a drill can inject, by the part of the system that they hit."""
