"""`celery -A anyapp queues` and its sub-commands."""
