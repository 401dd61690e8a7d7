"""Keeping every message as a piece for any Celery app: which consumer its workers have, and its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from celery import Celery


def keep_messages(app: Celery) -> None:
    """Let workers of the app keep every message; before the app is first used.

    Settings: `proj_deepest`, `proj_largest_bytes` and `proj_latest_eta_s` (see `limits.Limits`), `proj_strikes`
    (processes that a task may kill), `proj_requeues` (how often a task may give its message back),
    `proj_adopt` (by the names of queues: the task that adopts its plain messages, see `adoption`).
    """
    app.add_defaults({"worker_consumer": "proj.delivery.consuming.consumer:Consumer"})  # type: ignore[arg-type] # unlike celery-types
    provide_defaults(app)
