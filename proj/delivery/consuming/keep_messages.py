"""Keeping every message, for any Celery app: the consumer of its workers, and the settings for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.publishing.backend_choice import RESULT_BACKEND, use_backend
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from celery import Celery


def keep_messages(app: Celery) -> None:
    """Let workers of the app lose no message; call it before the app is first used.

    Settings: `proj_deepest`, `proj_largest_bytes` and `proj_latest_eta_s` (see `proj.delivery.validation.limits`),
    `proj_strikes` (pool processes or workers that a message may kill), `proj_requeues` (how often a task may requeue
    its message), `proj_adopt` (by the name of a queue, the task that runs its plain messages).
    """
    app.add_defaults({"worker_consumer": "proj.delivery.consuming.consumer:Consumer"})  # type: ignore[arg-type] # a dict is allowed
    provide_defaults(app)
    use_backend(app, RESULT_BACKEND)
