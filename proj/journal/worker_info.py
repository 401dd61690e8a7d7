"""The census: workers asked what they are, and told to send events of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.journal.records import Worker
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery

#: Seconds to wait for answers; a worker that has none by then is asked again.
TIMEOUT_S = 1.0


def enable_events(app: Celery) -> None:
    """Tell all workers to send events of tasks, as Flower does; those that were started with -E do so already."""
    with app.connection_for_write() as connection:
        app.control.enable_events(connection=connection)


def asked(app: Celery, names: Collection[str] | None = None) -> list[Worker]:
    """What the named workers, or all, say of their slots, queues and dispatch; without those that do not answer."""
    with app.connection_for_write() as connection:
        inspect = app.control.inspect(
            destination=None if names is None else sorted(names),
            limit=None if names is None else len(names),
            timeout=TIMEOUT_S,
            connection=connection,
        )
        stats = _answers(inspect.stats())
        queues = _answers(inspect.active_queues())
        settings = _answers(inspect.conf(with_defaults=True))
    return [
        Worker(
            name=name,
            slots=_slots(stats.get(name)),
            queues=_queues(queues.get(name)),
            dispatch=dispatch(settings.get(name)),
        )
        for name in sorted(stats.keys() | queues.keys() | settings.keys())
    ]


def dispatch(settings: object) -> str | None:
    """The dispatch mode that a worker's settings make; `proj_dispatch` says it, where it is set.

    Multiplier 0 is round-robin: RabbitMQ then hands out messages in turn without a limit. One message a slot that is
    acknowledged late is fair. All else is other. None when the settings do not tell.
    """
    if not isinstance(settings, dict):
        return None
    said = settings.get("proj_dispatch")
    if isinstance(said, str) and said:
        return said
    multiplier = settings.get("worker_prefetch_multiplier")
    if not isinstance(multiplier, int):
        return None
    if multiplier == 0:
        return "round-robin"
    return "fair" if multiplier == 1 and settings.get("task_acks_late") is True else "other"


def _answers(answers: object) -> Mapping[str, Any]:
    """Answers by worker: whoever can publish may answer anything, and nobody may answer at all."""
    if not isinstance(answers, dict):
        return {}
    return {name: answer for name, answer in answers.items() if isinstance(name, str) and name.isascii()}


def _slots(stats: object) -> int | None:
    pool = stats.get("pool") if isinstance(stats, dict) else None
    slots = pool.get("max-concurrency") if isinstance(pool, dict) else None
    return slots if isinstance(slots, int) and 0 < slots < 2**31 else None


def _queues(queues: object) -> tuple[str, ...]:
    if not isinstance(queues, list):
        return ()
    names = (queue.get("name") for queue in queues if isinstance(queue, dict))
    # The one for broadcasts is each worker's own, and tells nothing of where its tasks come from.
    return tuple(sorted(name for name in names if isinstance(name, str) and name.isascii() and not is_plumbing(name)))
