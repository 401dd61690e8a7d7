"""Celery's steps of a consumer, in forms that do not keep it from consuming."""
