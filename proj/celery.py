"""The Celery application: `celery -A proj …` finds it here."""

from __future__ import annotations

import os

from celery import Celery

# Stock Flower listens on every address and without a password unless it is told otherwise.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("celeryconfig")
