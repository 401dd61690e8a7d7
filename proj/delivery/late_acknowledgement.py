"""Late acknowledgement, for any Celery app: without it a task is lost with the worker that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import bootsteps
from celery.utils.log import get_logger

from proj.delivery.settings import provide_defaults
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery
    from celery.worker import WorkController

#: Settings of Celery that a lossless app needs, in the place of Celery's own defaults, which are all False.
LATE = {
    # A task is acknowledged after its work. RabbitMQ redelivers the tasks of a dead worker to another.
    "task_acks_late": True,
    # A task whose pool process died is tried again instead of acknowledged as failed.
    "task_reject_on_worker_lost": True,
    # The worker connects again when RabbitMQ closes its channel, as after a delivery that took too long.
    "broker_channel_error_retry": True,
}
#: Names of tasks in the warning.
MOST_NAMES = 10

logger = get_logger(__name__)


def acknowledge_late(app: Celery) -> None:
    """Let the app acknowledge late and connect again (`LATE`), unless it says otherwise; its workers then warn."""
    provide_defaults(app, LATE)
    # By its name, because a client that publishes needs nothing of a worker's modules.
    app.steps["worker"].add("proj.delivery.late_acknowledgement:WarnOfEarlyAcknowledgement")


def early_tasks(app: Celery) -> list[str]:
    """The names of the app's own tasks that are acknowledged before they run, sorted."""
    return sorted(name for name, task in app.tasks.items() if not task.acks_late and not name.startswith("celery."))


def early_warning(names: Iterable[str]) -> str | None:
    """What these tasks cost, in one sentence; None when there is none."""
    early = list(names)
    if not early:
        return None
    more = f" and {len(early) - MOST_NAMES} more" if len(early) > MOST_NAMES else ""
    return (
        f"{counted(len(early), 'task is', 'tasks are')} acknowledged early (task_acks_late or acks_late is False), so "
        f"what a worker is running when it is killed is lost: {', '.join(early[:MOST_NAMES])}{more}."
    )


class WarnOfEarlyAcknowledgement(bootsteps.Step):
    """Warns once, when the worker starts."""

    label = "Early acknowledgement"

    def __init__(self, worker: WorkController, **options: object) -> None:
        """Warn; the app's tasks are imported already."""
        super().__init__(worker, **options)
        sentence = early_warning(early_tasks(worker.app))
        if sentence is not None:
            logger.warning("%s", sentence, extra={"action": "early_acknowledgement"})
