"""`celery -A proj lab` and its sub-commands."""
