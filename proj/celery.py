"""The Celery application: `celery -A proj …` finds it here."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_init
from celery.utils.nodenames import default_nodename

from proj.delivery.consuming.bindings import subscribe
from proj.delivery.install import install

# Stock Flower listens on every address and without a password unless it is told otherwise.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("celeryconfig")
install(app)


@celeryd_init.connect
def name_worker(instance: Any, **_: object) -> None:  # noqa: ANN401 Celery's worker
    """Give a worker that nobody named a name of its own, so that two terminals can start one each.

    Celery calls every worker of a host alike; since 5.7 the second of a name waits for ever for the first
    one's control queue, and Flower takes the two for one.
    """
    if instance.hostname == default_nodename(None):  # type: ignore[arg-type] # unlike celery-types
        name, _at, host = instance.hostname.partition("@")
        instance.hostname = f"{name}-{os.getpid()}@{host}"


# After the name, for each worker's broadcast queue has it.
subscribe(app)
