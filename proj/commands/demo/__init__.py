"""`celery -A proj demo`."""
