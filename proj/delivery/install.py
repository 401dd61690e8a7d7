"""Everything that keeps a message from being lost, added to an app in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.delivery.shutdown.halt_command import answer_halt
from proj.delivery.worker_steps import watch_worker

if TYPE_CHECKING:
    from celery import Celery


def install(app: Celery) -> None:
    """Add every part of this package to `app`, before the app is first used; each can also be added alone."""
    confirm_publishing(app)
    keep_messages(app)
    answer_halt(app)
    watch_worker(app)
