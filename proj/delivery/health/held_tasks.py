"""Which tasks are held now: ids from the workers and the dead-letter queue, counts from the broker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.broker.connection import connected
from proj.delivery.dead_letters.queue import DeadLetterQueue
from proj.errors import DeadLettersNotRead, NoDeadLetters
from proj.journal.ledger import Holdings
from proj.queues import EXCHANGES, is_fed_by

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from celery import Celery

    from proj.broker.queue_depths import Gauge

#: Seconds that workers have to answer. The broker counts the messages of a worker that does not.
INSPECT_TIMEOUT_S = 2.0
#: The queues in which Celery keeps tasks until they are due.
_DELAYS = re.compile(r"celery_delayed_\d+")


@dataclass(frozen=True, kw_only=True)
class HeldTasks:
    """What is held now, and what could not be read."""

    holdings: Holdings
    #: Why something is not known, for people; None when everything was read.
    warning: str | None


def held_tasks(app: Celery, gauge: Gauge, *, queues: Collection[str], dead_letters: str) -> HeldTasks:
    """What workers, broker and the dead-letter queue hold now of the tasks of `queues`.

    Dead letters that are not read are counted as messages that the broker holds.

    Raises:
        NoBroker: no broker answers.
    """
    dead, unread, warning = _dead_letter_ids(app, gauge, dead_letters)
    with connected(app.connection_for_read()) as connection:
        inspect = app.control.inspect(timeout=INSPECT_TIMEOUT_S, connection=connection)
        active = inspect.active()
        running = _ids(active)
        # Where no worker answers, two more questions only take as many seconds more.
        held = _ids(inspect.reserved()) | _ids(inspect.scheduled()) if active else frozenset()
    # The broker is asked last, so that a message that moves meanwhile is counted twice rather than not at all.
    also = [dead_letters] if unread is None else []
    depths = [depth for depth in gauge.read(also=also) if _may_hold(depth.name, [*queues, *also])]
    unacknowledged = [depth.unacknowledged for depth in depths]
    holdings = Holdings(
        running=running,
        held=held - running,
        dead=dead,
        ready=sum(depth.ready for depth in depths) + (unread or 0),
        unacknowledged=None if None in unacknowledged else sum(count or 0 for count in unacknowledged),
    )
    return HeldTasks(holdings=holdings, warning=warning)


def _dead_letter_ids(app: Celery, gauge: Gauge, name: str) -> tuple[frozenset[str], int | None, str | None]:
    """The ids in the dead-letter queue, how many letters were not read (None: the queue was not), and a warning."""
    try:
        with DeadLetterQueue(app, name=name, management=gauge.management) as letters:
            ids = [unacked.letter.id for unacked in letters]
            return frozenset(ids), letters.total - len(ids), letters.warning
    except NoDeadLetters:
        return frozenset(), 0, None
    except DeadLettersNotRead as error:
        return (
            frozenset(),
            None,
            f"The dead letters were not read, so tasks among them count as waiting in the broker. {error.message}",
        )


def _may_hold(name: str, queues: Collection[str]) -> bool:
    """Whether tasks of the queues may wait there; for an exchange of ours among `queues`, in a queue that it feeds."""
    fed = any(is_fed_by(name, exchange) for exchange in EXCHANGES.keys() & set(queues))
    return fed or name in queues or _DELAYS.fullmatch(name) is not None


def _ids(replies: Mapping[str, Sequence[Mapping[str, Any]]] | None) -> frozenset[str]:
    """The task ids in the workers' replies to `active`, `reserved` or `scheduled`."""
    tasks = [task for own in (replies or {}).values() for task in own]
    return frozenset(str((task.get("request") or task)["id"]) for task in tasks)
