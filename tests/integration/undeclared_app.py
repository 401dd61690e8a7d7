"""An app that is not ours and declares nothing, for `test_undeclared.py`."""

from __future__ import annotations

import os
from pathlib import Path

from celery import Celery

from proj.delivery.install import install

app = Celery("undeclared", broker=os.environ.get("CELERY_BROKER_URL"))
app.conf.update(
    proj_declare=False,
    task_default_queue="orders",
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_routes={"undeclared.mail": {"queue": "mails"}},
)
install(app)


@app.task(name="undeclared.note")
def note(number: int) -> None:
    """Write the number down."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{number}\n")


@app.task(name="undeclared.mail", acks_on_failure_or_timeout=False)
def mail() -> None:
    """Fail, and become a dead letter."""
    raise ValueError("no")
