"""Sentences: what is wrong now, the gravest first, in words that name the queue and the worker to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.dashboard.live.now import words
from proj.dashboard.live.now.presence import DRAINING, GONE, GONE_S, SILENT
from proj.dashboard.live.now.queue_sentences import of_queues
from proj.dashboard.live.now.status import BAD, OK, UNKNOWN, WARNING, Sentence
from proj.plural import counted
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proj.dashboard.live.now.status import NowStatus, QueueNow, WorkerNow

#: Every kind of sentence, the gravest first. Those behind `fine` are never the first sentence.
KINDS = (
    "starting",
    "broker_away",
    "no_workers",
    "no_consumers",
    "not_consuming",
    "paused",
    "tasks_lost",
    "dead_letters",
    "worker_gone",
    "worker_silent",
    "unfair",
    "failing",
    "growing",
    "events_missing",
    "fine",
    "empty",
    "recorded",
    "queue_unknown",
    "counts_unknown",
)
#: Seconds after which it is known that no worker is there: three heartbeats.
SURE_S = 6.0


def sentences(status: NowStatus) -> tuple[Sentence, ...]:
    """The sentences on a status, whose own are ignored; there is at least one.

    Of one kind, that on the queue with the most avoidable wait, failures or messages is first.
    """
    called = words.short_names([worker.name for worker in status.workers])
    known = list(_all(status, called))
    if not any(one.level in {BAD, WARNING} or one.kind == "starting" for one in known):
        known.append(_fine(status))
    queues = {queue.name: queue for queue in status.queues if queue.name is not None}
    return tuple(
        sorted(
            known,
            key=lambda one: (
                one.level != BAD,
                KINDS.index(one.kind),
                -sum(_weight(one.kind, queues[name]) for name in one.queues if name in queues),
                one.text,
            ),
        )
    )


def _weight(kind: str, queue: QueueNow) -> float:
    if kind == "unfair":
        return queue.avoidable_s
    if kind == "failing":
        return queue.failed
    return queue.growth_per_s or 0.0 if kind == "growing" else queue.ready or 0


def _all(status: NowStatus, called: Mapping[str, str]) -> Iterator[Sentence]:
    broker, during = status.broker, words.during(status.window_s)
    if not status.live:
        text = f"This is a recorded journal, which ends at {words.clock(status.as_of)}."
        yield Sentence(level=OK, kind="recorded", text=text)
    elif broker.away_since is not None:
        text = (
            f"The broker does not answer since {words.clock(broker.away_since)} "
            f"({words.seconds(max(0.0, status.as_of - broker.away_since))}); what is shown was so before."
        )
        yield Sentence(level=BAD, kind="broker_away", text=text)
    elif broker.answers is None and not status.workers:
        yield Sentence(level=UNKNOWN, kind="starting", text="Nothing is known yet: the dashboard has just started.")
    if status.live and broker.away_since is None:
        yield from _of_workers(status, called)
    if broker.doubt is not None and broker.away_since is None:
        yield Sentence(level=UNKNOWN, kind="counts_unknown", text=broker.doubt)
    letters = status.dead_letters
    if letters is not None and letters.new > 0:
        text = (
            f"{counted(letters.new, 'new dead letter')} came {during}; {letters.waiting or 0:,} "
            f"wait{words.s(letters.waiting or 0)} in {letters.queue}. "
            "celery -A yourapp queues dead shows the reasons."
        )
        yield Sentence(level=WARNING, kind="dead_letters", text=text, queues=(letters.queue,))
    yield from of_queues(status, called)
    missing = [worker for worker in status.workers if worker.missing_events]
    if missing:
        count = sum(worker.missing_events for worker in missing)
        names = [called[worker.name] for worker in missing]
        text = (
            f"{counted(count, 'start')} of {words.listed(names)} came in no event {during}, "
            "so the figures of their queues are too low."
        )
        yield Sentence(level=WARNING, kind="events_missing", text=text, workers=_names(missing))


def _of_workers(status: NowStatus, called: Mapping[str, str]) -> Iterator[Sentence]:
    there = [worker for worker in status.workers if worker.state not in {GONE, SILENT, DRAINING}]
    silent = [worker for worker in status.workers if worker.state == SILENT]
    back_s = SURE_S if status.broker.away_until is None else status.as_of - status.broker.away_until
    if not there and not silent and status.broker.answers and status.known_s >= SURE_S:
        yield _no_workers(status.queues)
    for worker in status.workers:
        if not _is_missed(worker, status):
            continue
        text = f"{_with_queues(worker, called)} is gone and did not say that it ends; {_last_heard(worker)}"
        if worker.left:
            text = (
                f"{_with_queues(worker, called)} is gone with {words.tasks(worker.left)} that it had not ended; "
                f"{_last_heard(worker)} The broker gives them to other workers, unless they were acknowledged early."
            )
        yield Sentence(level=WARNING, kind="worker_gone", text=text, workers=(worker.name,), queues=worker.queues)
    if silent and back_s < SURE_S:
        text = f"The broker answers again since {words.seconds(back_s)}; not all workers are heard yet."
        yield Sentence(level=UNKNOWN, kind="starting", text=text)
        return
    for worker in (one for one in silent if not one.solo):
        had = worker.busy_slots + worker.held
        having = f" with {words.tasks(had)}" if had else ""
        text = f"{_with_queues(worker, called)} is silent{having}; {_last_heard(worker)}"
        yield Sentence(level=WARNING, kind="worker_silent", text=text, workers=(worker.name,), queues=worker.queues)


def _is_missed(worker: WorkerNow, status: NowStatus) -> bool:
    """Whether a worker is gone, in the window or with tasks that still are its own, and did not say so."""
    if worker.state != GONE:
        return False
    age_s = worker.heartbeat_age_s or 0.0
    recently = status.window_s is None or age_s <= status.window_s + GONE_S
    return worker.left > 0 or (recently and not worker.goodbye)


def _with_queues(worker: WorkerNow, called: Mapping[str, str]) -> str:
    queues = [printable(queue) for queue in worker.queues]
    return called[worker.name] + (f", a worker of {words.listed(queues)}," if queues else "")


def _last_heard(worker: WorkerNow) -> str:
    if worker.heartbeat_age_s is None:
        return "no heartbeat of it came."
    return f"its last heartbeat came {words.seconds(worker.heartbeat_age_s)} ago."


def _no_workers(queues: Sequence[QueueNow]) -> Sentence:
    waiting = sorted((queue for queue in queues if queue.name and queue.ready), key=lambda one: -(one.ready or 0))
    consumers = sum(queue.consumers or 0 for queue in queues)
    if consumers:
        text = (
            f"No worker is heard, but the broker counts {counted(consumers, 'consumer')}: workers send no heartbeats "
            "(--without-heartbeat), or are no Celery workers."
        )
        return Sentence(level=WARNING, kind="no_workers", text=text)
    if not waiting:
        return Sentence(level=WARNING, kind="no_workers", text="No worker is there. Nothing waits.")
    names = [f"{printable(queue.name or '')} ({queue.ready:,})" for queue in waiting]
    count = sum(queue.ready or 0 for queue in waiting)
    text = f"No worker is there, and {words.messages(count)} wait{words.s(count)}: {words.listed(names)}."
    return Sentence(
        level=BAD, kind="no_workers", text=text, queues=tuple(queue.name for queue in waiting if queue.name)
    )


def _fine(status: NowStatus) -> Sentence:
    totals = status.totals
    idle = not totals.busy_slots and not totals.ready and not any(queue.started for queue in status.queues)
    if idle and status.live:
        workers = counted(totals.workers_alive, "worker")
        be = words.is_or_are(totals.workers_alive)
        return Sentence(level=OK, kind="empty", text=f"Nothing waits and nothing runs; {workers} {be} ready.")
    return Sentence(level=OK, kind="fine", text="Dispatch is fair; nothing waits that need not.")


def _names(workers: Sequence[WorkerNow]) -> tuple[str, ...]:
    return tuple(worker.name for worker in workers)
