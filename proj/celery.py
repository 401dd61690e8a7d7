"""The Celery application: `celery -A proj …` finds it here."""

from __future__ import annotations

import os

from celery import Celery

from proj.delivery.consuming.bindings import subscribe
from proj.delivery.install import install

# By default Flower listens on every address, without a password.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
install(app)
# After `install`, which names the worker: the name is a part of the name of its broadcast queue.
subscribe(app)
