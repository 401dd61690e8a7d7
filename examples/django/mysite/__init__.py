"""A Django project with Celery, whose app is loaded when Django starts."""

from mysite.celery import app as celery_app

__all__ = ["celery_app"]
