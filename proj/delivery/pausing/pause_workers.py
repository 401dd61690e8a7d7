"""Pausing and resuming a queue: marks it on the broker, tells every worker, and waits until each has followed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.broker.pauses import mark, unmark
from proj.broker.worker_replies import by_node
from proj.delivery.pausing.follow_command import FOLLOW, FollowReply, read_follow
from proj.delivery.shutdown.halt_workers import RunningWorkers
from proj.interruption import raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery

    from proj.broker.control_bus import ControlBus
    from proj.broker.queue_depths import QueueDepths

#: Seconds that a worker may take to reply.
REPLY_TIMEOUT_S = 2.0
#: Seconds for workers that just start, where none is known.
_NONE_KNOWN_S = 0.5
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class PauseOutcome:
    """What became of one worker that was told to look at a queue."""

    worker: str
    #: It has done what it was told.
    followed: bool
    #: What it answered, for people.
    answer: str
    #: Tasks of the queue that it was running; None when it did not say.
    running: int | None = None
    #: Messages of the queue that it has given back; None when it did not say.
    given_back: int | None = None


@dataclass(frozen=True, kw_only=True)
class Paused:
    """What became of one queue."""

    queue: str
    #: Whether it is paused now; a pause that a worker refused is taken back.
    paused: bool
    #: The workers that consume from the queue, or would, by name.
    workers: list[PauseOutcome]
    #: Why a silent worker would not be known, for people; None when it would.
    doubt: str | None

    @property
    def is_done(self) -> bool:
        """Whether every worker followed."""
        return all(each.followed for each in self.workers)


def set_paused(
    app: Celery, bus: ControlBus, depths: QueueDepths, queue: str, *, paused: bool, timeout_s: float
) -> Paused:
    """Pause or resume the queue, and wait up to `timeout_s` seconds until every worker has followed.

    After it no worker that followed a pause begins a task of the queue. Workers that start later ask the broker.

    Raises:
        NoBroker: no broker answers.
        ProjError: the queue's name is too long to be paused.
    """
    connection: Any = bus.connection.connection
    # First, so that a worker that starts meanwhile either finds the mark or is told below.
    (mark if paused else unmark)(connection, queue)
    workers = RunningWorkers(app, bus, depths)
    replies = _ask(bus, workers, queue, paused=paused, timeout_s=timeout_s)
    outcomes = outcomes_of(replies, workers.queues, queue, paused=paused)
    refused = paused and any(reply is not None and reply.refused for reply in replies.values())
    if refused:
        unmark(connection, queue)
        bus.ask(FOLLOW, nodes=replies, timeout_s=REPLY_TIMEOUT_S, queue=queue)
    return Paused(queue=queue, paused=paused and not refused, workers=outcomes, doubt=workers.doubt)


def outcomes_of(
    replies: Mapping[str, FollowReply | None], queues: Mapping[str, Collection[str]], queue: str, *, paused: bool
) -> list[PauseOutcome]:
    """The outcome of each worker that the queue concerns.

    Args:
        replies: the last reply of each worker that replied; None for one that does not know the command.
        queues: the queues of each known worker, also of those that did not reply.
        queue: the queue.
        paused: whether it is to be paused.
    """
    outcomes = []
    for node in sorted({*replies, *queues}):
        reply = replies.get(node)
        if reply is not None:
            if reply.consumes or reply.paused:
                outcomes.append(_outcome(node, reply, paused=paused))
        elif queue in queues.get(node, ()):
            answer = "does not know the command: its app has not called install(app)" if node in replies else "none"
            # It was never paused, so there is nothing to resume.
            outcomes.append(PauseOutcome(worker=node, followed=not paused and node in replies, answer=answer))
        elif node not in replies and not paused:
            # A worker does not list a queue that it leaves alone.
            outcomes.append(PauseOutcome(worker=node, followed=False, answer="none"))
    return outcomes


def _outcome(node: str, reply: FollowReply, *, paused: bool) -> PauseOutcome:
    if reply.refused is not None and paused:
        answer = f"refuses: {reply.refused}"
    elif not reply.is_final(paused=paused):
        answer = f"still starts {reply.starting}" if reply.starting and paused else "has not followed yet"
    else:
        answer = "paused" if paused else "consumes"
    return PauseOutcome(
        worker=node,
        followed=answer in {"paused", "consumes"},
        answer=answer,
        running=reply.running,
        given_back=reply.given_back if paused else None,
    )


def _ask(
    bus: ControlBus, workers: RunningWorkers, queue: str, *, paused: bool, timeout_s: float
) -> dict[str, FollowReply | None]:
    """The last reply of each worker, asked until nothing is left to do for it; all are told, also unknown ones."""
    end = time.monotonic() + timeout_s
    replies: dict[str, FollowReply | None] = {}
    known = workers.queues
    # Where the broker's list was not read, a worker may be unknown that only took long to say its queues.
    limit = len(known) if known and workers.doubt is None else None
    wait_s = REPLY_TIMEOUT_S if known or workers.doubt else _NONE_KNOWN_S
    pending: set[str] | None = None
    while True:
        said = by_node(bus.ask(FOLLOW, nodes=pending, limit=limit, timeout_s=wait_s, queue=queue), dict)
        replies.update({node: read_follow(reply) for node, reply in said.items()})
        pending = {
            node
            for node in {*known, *replies}
            if node not in replies or ((reply := replies[node]) is not None and not reply.is_final(paused=paused))
        }
        if not pending or time.monotonic() >= end:
            return replies
        limit, wait_s = None, REPLY_TIMEOUT_S
        raise_if_interrupted()
        time.sleep(_POLL_S)
