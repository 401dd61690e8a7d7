"""Which tasks are held now: ids from the workers and the dead-letter queue, counts from the broker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.broker.control_bus import ControlBus
from proj.broker.worker_replies import by_node, read_stats, read_tasks
from proj.delivery.dead_letters.queue import DeadLetterQueue
from proj.errors import DeadLettersNotRead, NoDeadLetters
from proj.journal.ledger import Holdings
from proj.queues import EXCHANGES, is_fed_by

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery

    from proj.broker.queue_depths import QueueDepths

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
    #: The names of the workers that answered.
    answered: frozenset[str]


def held_tasks(
    app: Celery, queue_depths: QueueDepths, *, queues: Collection[str], dead_letters: str, workers: Collection[str] = ()
) -> HeldTasks:
    """What workers, broker and the dead-letter queue hold now of the tasks of `queues`.

    Of `workers` it is also told which are connected and do not answer.

    Dead letters that are not read are counted as messages that the broker holds.

    Raises:
        NoBroker: no broker answers.
    """
    dead, unread, warning = _dead_letter_ids(app, queue_depths, dead_letters)
    with ControlBus(app) as bus:
        active = bus.ask("active", timeout_s=INSPECT_TIMEOUT_S, safe=True)
        running = _task_ids(active)
        # Where no worker answers, two more questions only take as many seconds more.
        commands = ("reserved", "scheduled") if active else ()
        held = {id_ for command in commands for id_ in _task_ids(bus.ask(command, timeout_s=INSPECT_TIMEOUT_S))}
        # Only those that answered, so that it takes no time.
        stats = bus.ask("stats", nodes=active.keys(), timeout_s=INSPECT_TIMEOUT_S)
        silent = frozenset(node for node in set(workers) - active.keys() if bus.is_listening(node))
    # The broker is asked last, so that a message that moves meanwhile is counted twice rather than not at all.
    also = [dead_letters] if unread is None else []
    depths = [depth for depth in queue_depths.read(also=also) if _may_hold(depth.name, [*queues, *also])]
    unacknowledged = [depth.unacknowledged for depth in depths]
    holdings = Holdings(
        running=running,
        held=frozenset(held - running),
        dead=dead,
        ready=sum(depth.ready for depth in depths) + (unread or 0),
        silent=silent,
        in_advance=sum(read_stats(reply).in_advance for reply in stats.values()),
        unacknowledged=None if None in unacknowledged else sum(count or 0 for count in unacknowledged),
    )
    return HeldTasks(holdings=holdings, warning=warning, answered=frozenset(active))


def _dead_letter_ids(app: Celery, depths: QueueDepths, name: str) -> tuple[frozenset[str], int | None, str | None]:
    """The ids in the dead-letter queue, how many letters were not read (None: the queue was not), and a warning."""
    try:
        with DeadLetterQueue(app, name=name, management=depths.management) as letters:
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


def _task_ids(replies: Mapping[str, object]) -> frozenset[str]:
    """The task ids in the workers' replies to `active`, `reserved` or `scheduled`."""
    tasks = [task for reply in by_node(replies, list).values() for task in read_tasks(reply)]
    return frozenset(task.id for task in tasks if task.id is not None)
