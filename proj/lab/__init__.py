"""Repeatable experiments: everything that starts processes of its own."""
