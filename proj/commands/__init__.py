"""The sub-commands of `celery`, one a file; every worker start loads them, so each imports its weight late."""
