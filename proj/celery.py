"""The Celery application: `celery -A proj …` finds it here."""

from __future__ import annotations

import os
from typing import Protocol

from celery import Celery
from celery.signals import celeryd_init
from celery.utils.nodenames import default_nodename

from proj.delivery.consuming.bindings import subscribe
from proj.delivery.install import install

# By default Flower listens on every address, without a password.
os.environ.setdefault("FLOWER_ADDRESS", "127.0.0.1")

app = Celery("proj", include=["proj.tasks"])
app.config_from_object("proj.settings")
install(app)


class NamedWorker(Protocol):
    """The part of Celery's worker that is used here; celery-types does not have it."""

    hostname: str


@celeryd_init.connect
def name_worker(instance: NamedWorker, **_: object) -> None:
    """Give a worker that was started without --hostname a name of its own, so that two terminals can start one each.

    Celery gives all workers of a host the same default name. Since 5.7 a second worker of that name waits for ever for
    the first one's control queue, and Flower shows both as one.
    """
    if instance.hostname == default_nodename(""):
        name, _at, host = instance.hostname.partition("@")
        instance.hostname = f"{name}-{os.getpid()}@{host}"


# After the name is set, because it is a part of the name of the worker's broadcast queue.
subscribe(app)
