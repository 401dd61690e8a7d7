"""Inspection of messages: checks of their headers, times, body and size, and the reason when one cannot be run."""
