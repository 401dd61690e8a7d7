"""The Celery app, as in Celery's documentation for Django, with one import and one call more."""

import os

from celery import Celery

from proj.delivery.install import install

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

app = Celery("mysite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
install(app)
