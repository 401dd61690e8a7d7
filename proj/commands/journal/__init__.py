"""`celery -A anyapp journal` and its sub-commands."""
