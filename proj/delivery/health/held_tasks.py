"""Who holds which task now: workers are asked for ids, the broker for counts and dead letters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proj.broker.connection import connected
from proj.journal.ledger import Holdings
from proj.queues import EXCHANGES, is_fed_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from celery import Celery
    from kombu import Connection

    from proj.broker.queue_depths import Gauge

#: Seconds for workers to answer; one that does not is taken for dead, and the broker's count speaks for it.
INSPECT_TIMEOUT_S = 2.0
#: Dead letters that are looked at.
MOST_DEAD = 100_000
#: Where Celery keeps tasks until they are due.
_DELAYS = re.compile(r"celery_delayed_\d+")


def holdings(app: Celery, gauge: Gauge, *, queues: Collection[str], dead_letters: str) -> Holdings:
    """What is held now of the tasks of `queues`.

    Raises:
        NoBroker: no broker answers.
    """
    with connected(app.connection_for_read()) as connection:
        dead = frozenset(_ids_in(connection, dead_letters))
        inspect = app.control.inspect(timeout=INSPECT_TIMEOUT_S, connection=connection)
        active = inspect.active()
        running = _named(active)  # type: ignore[arg-type] # unlike celery-types
        # Where nobody answers, two more questions are as many seconds lost.
        held = _named(inspect.reserved()) | _named(inspect.scheduled()) if active else frozenset()  # type: ignore[arg-type] # unlike celery-types
    # Last, so that what moved meanwhile is counted rather than missed.
    concerned = [depth for depth in gauge.read() if _concerns(depth.name, queues)]
    unacknowledged = [depth.unacknowledged for depth in concerned]
    return Holdings(
        running=running,
        held=held - running,
        dead=dead,
        ready=sum(depth.ready for depth in concerned),
        unacknowledged=None if None in unacknowledged else sum(count or 0 for count in unacknowledged),
    )


def _concerns(name: str, queues: Collection[str]) -> bool:
    """Whether tasks of the queues may wait there; for an exchange of ours in the place of a queue, in what it feeds."""
    fed = any(is_fed_by(name, exchange) for exchange in EXCHANGES.keys() & set(queues))
    return fed or name in queues or _DELAYS.fullmatch(name) is not None


def _named(replies: dict[str, list[dict[str, Any]]] | None) -> frozenset[str]:
    """The task ids in the workers' replies to `active`, `reserved` or `scheduled`."""
    tasks = [task for own in (replies or {}).values() for task in own]
    return frozenset(str((task.get("request") or task)["id"]) for task in tasks)


def _ids_in(connection: Connection, queue: str) -> Iterable[str]:
    """The task ids of the messages in a queue, which stay in it; none when there is no such queue."""
    channel = connection.channel()
    try:
        waiting = channel.queue_declare(queue=queue, passive=True).message_count  # type: ignore[attr-defined] # unlike celery-types
    except connection.channel_errors:
        return []
    messages = (channel.basic_get(queue, no_ack=False) for _ in range(min(waiting, MOST_DEAD)))  # type: ignore[attr-defined] # unlike celery-types
    ids = [_id_of(message) for message in messages if message is not None]
    # What was not acknowledged goes back to its place.
    channel.close()  # type: ignore[attr-defined] # unlike celery-types
    return ids


def _id_of(message: Any) -> str:  # noqa: ANN401 kombu's message
    """The id of its task; a plain message that was adopted as one has it as its own."""
    return str((message.headers or {}).get("id") or message.properties.get("message_id"))
