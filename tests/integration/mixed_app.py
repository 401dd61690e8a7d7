"""An app of someone else's, of which some processes have `install(app)` and others not yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import Celery

from proj.delivery.install import install

app = Celery("mixed", set_as_current=False)
app.conf.update(task_default_queue="mixed", task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=1)
if os.environ.get("MIXED") != "stock":
    install(app, dispatch="adaptive" if os.environ.get("MIXED") == "adaptive" else None)


@app.task
def note(text: str) -> None:
    """Write a line: the text, and which kind of process ran it."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{text} {os.environ['MIXED']}\n")


@app.task(bind=True, max_retries=1)
def note_at_second_try(self: Any, text: str) -> None:
    """As `note`, after one retry."""
    if not self.request.retries:
        raise self.retry(countdown=0)
    note(text)
