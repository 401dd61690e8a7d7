"""The name of a worker that was started without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import click
from celery.signals import celeryd_init
from celery.utils.nodenames import default_nodename
from click.core import ParameterSource

from proj.delivery.receivers import connect

if TYPE_CHECKING:
    from celery import Celery


class _Worker(Protocol):
    """The part of Celery's worker that is used here; celery-types does not have it."""

    app: Celery
    hostname: str


def name_workers(app: Celery) -> None:
    """Give each worker of the app that is started without --hostname a name of its own: `celery-4711@host`.

    The number is that of its process. Celery gives all workers of a host the same default name. Since 5.7 a second
    worker of that name ends with RESOURCE_LOCKED, or waits for ever, and Flower shows both as one.
    """

    def name(instance: _Worker, **_: object) -> None:
        if instance.app is app and instance.hostname == default_nodename("") and not _is_typed():
            before, _at, host = instance.hostname.partition("@")
            instance.hostname = f"{before}-{os.getpid()}@{host}"

    connect(app, celeryd_init, name, uid="worker_name")


def _is_typed() -> bool:
    """Whether the name was given to the command `worker`, although it is the default name."""
    context = click.get_current_context(silent=True)
    return context is not None and context.get_parameter_source("hostname") not in {None, ParameterSource.DEFAULT}
