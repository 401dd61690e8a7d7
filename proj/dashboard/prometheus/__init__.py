"""The figures on /metrics."""
