"""The Celery application: `celery -A proj …` finds it here."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from proj.delivery.consuming.bindings import subscribe
from proj.delivery.install import install
from proj.namesake import refuse_namesake

# By default Flower listens on every address, without a password.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")


def no_defaults() -> dict[str, object]:
    """No settings. Called when they are first read, because Celery prints an earlier error as a traceback."""
    refuse_namesake(Path())
    return {}


app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
app.add_defaults(no_defaults)
install(app)
# After `install`, which names the worker: the name is a part of the name of its broadcast queue.
subscribe(app)
