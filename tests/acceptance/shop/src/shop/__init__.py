"""A shop, as Celery's documentation lays out a project."""

from shop.celery import app as celery_app

__all__ = ["celery_app"]
