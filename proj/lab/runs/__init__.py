"""Measured runs: one workload or pipeline on fresh workers, kept in a journal."""
