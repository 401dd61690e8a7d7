"""The scenes, by the part of the system that the fault strikes."""
