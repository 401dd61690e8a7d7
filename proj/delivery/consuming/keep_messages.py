"""Keeping every message, for any Celery app: the consumer of its workers, and the settings for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import bootsteps
from celery.utils.imports import symbol_by_name
from celery.utils.log import get_logger

from proj.delivery.publishing.backend_choice import RESULT_BACKEND, use_backend
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from celery import Celery
    from celery.worker import WorkController

#: The consumer of the app's workers, below the app's own setting.
CONSUMER = {"worker_consumer": "proj.delivery.consuming.consumer:Consumer"}

logger = get_logger(__name__)


def keep_messages(app: Celery) -> None:
    """Let workers of the app lose no message; call it before the app is first used.

    Settings: `proj_deepest`, `proj_largest_bytes` and `proj_latest_eta_s` (see `proj.delivery.validation.limits`),
    `proj_strikes` (pool processes or workers that a message may kill), `proj_requeues` (how often a task may requeue
    its message), `proj_adopt` (by the name of a queue, the task that runs its plain messages).
    """
    provide_defaults(app, CONSUMER)
    provide_defaults(app)
    use_backend(app, RESULT_BACKEND)
    # By its name, because a client that publishes needs nothing of a worker's modules.
    app.steps["worker"].add("proj.delivery.consuming.keep_messages:WarnOfOtherConsumer")
    app.steps["consumer"].add("proj.delivery.topology.required_queues:RequireQueues")


class WarnOfOtherConsumer(bootsteps.Step):
    """Warns once, when a worker starts whose app has set a consumer of its own."""

    label = "Other consumer"

    def __init__(self, worker: WorkController, **options: object) -> None:
        """Warn."""
        super().__init__(worker, **options)
        chosen = worker.app.conf.worker_consumer
        ours = symbol_by_name(CONSUMER["worker_consumer"])
        if not issubclass(symbol_by_name(chosen), ours):
            logger.warning(
                "This app has set worker_consumer to %s, so its worker keeps no message that it cannot run, and has no "
                "dead letters, leases or adaptive dispatch. Derive it from %s.",
                chosen,
                CONSUMER["worker_consumer"],
                extra={"action": "other_consumer"},
            )
