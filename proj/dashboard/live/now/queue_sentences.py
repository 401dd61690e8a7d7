"""Queue sentences: what is wrong with each queue, and which worker is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.dashboard.live.now import words
from proj.dashboard.live.now.presence import ALIVE, NEVER_HEARD
from proj.dashboard.live.now.status import BAD, UNKNOWN, WARNING, Sentence
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from proj.dashboard.live.now.status import NowStatus, QueueNow, Share

#: Avoidable seconds that are told, of the window and a minute.
UNFAIR_S = 1.0
#: Seconds without a receipt, after which free workers beside waiting messages do not consume.
STUCK_S = 10.0
#: Failures of a queue that are told, and their share; above the second share it is bad.
FAILURES, FAILING, MOSTLY_FAILING = 3, 0.1, 0.5
#: The share of the failures of one worker, above which it is named.
NEARLY_ALL = 0.75
#: Messages by which a queue must have grown, and the share of what waits; and seconds that must be known.
GROWN, GROWN_SHARE, GROWN_S = 10, 0.2, 20.0
#: The share of the avoidable seconds of one worker, above which it alone is named.
MOSTLY = 0.6
#: The share of the longest idle time that a worker must have to be named.
ALSO_IDLE = 0.3


def of_queues(status: NowStatus, called: Mapping[str, str]) -> Iterator[Sentence]:
    """The sentences on all queues, in any order."""
    alive = {worker.name: worker for worker in status.workers if worker.state in {ALIVE, NEVER_HEARD}}
    for queue in status.queues:
        if queue.name is None:
            if queue.started:
                text = f"The queue of {words.tasks(queue.started)} is not known. {queue.unknown_why}"
                yield Sentence(level=UNKNOWN, kind="queue_unknown", text=text)
        elif status.live and status.broker.away_since is None and alive:
            yield from _stuck(status, queue, len(alive), called)
        yield from _unfair(status, queue, called)
        yield from _losing(status, queue, called)
        yield from _growing(status, queue)


def _stuck(status: NowStatus, queue: QueueNow, alive: int, called: Mapping[str, str]) -> Iterator[Sentence]:
    """That nobody takes what waits."""
    name, ready = _named(queue), queue.ready or 0
    if not ready or not queue.is_ours:
        return
    if queue.paused:
        text = (
            f"{name} is paused, and {words.messages(ready)} wait{words.s(ready)}{_oldest(queue)}. "
            f"celery -A yourapp queues resume {name} ends that."
        )
        yield Sentence(level=WARNING, kind="paused", text=text, queues=(queue.name or "",))
        return
    if queue.consumers == 0 and not queue.busy_slots:
        workers = f"{alive} worker{'s' * (alive > 1)} alive"
        text = (
            f"{workers}, none consuming from {name}, where {words.messages(ready)} wait{words.s(ready)}"
            f"{_oldest(queue)}{_should(queue, called)}."
        )
        yield Sentence(level=BAD, kind="no_consumers", text=text, queues=(queue.name or "",), workers=queue.workers)
        return
    quiet_s = status.known_s if queue.quiet_s is None else queue.quiet_s
    free = queue.slots - queue.busy_slots
    if quiet_s >= STUCK_S and free > 0 and queue.workers:
        names = [called.get(worker, printable(worker)) for worker in queue.workers]
        text = (
            f"{name}: {words.messages(ready)} wait{words.s(ready)} and none was received for {words.seconds(quiet_s)}, "
            f"although {words.listed(names)} {words.is_or_are(len(names))} alive with {free} of {queue.slots} "
            f"slot{'s' * (queue.slots > 1)} free."
        )
        yield Sentence(level=BAD, kind="not_consuming", text=text, queues=(queue.name or "",), workers=queue.workers)


def _unfair(status: NowStatus, queue: QueueNow, called: Mapping[str, str]) -> Iterator[Sentence]:
    """That tasks wait in a worker while another is free."""
    if min(queue.avoidable_s, queue.avoidable_s_per_min) < UNFAIR_S or not queue.held_by:
        return
    holders = _most(queue.held_by, MOSTLY)
    idlers = _idlers(queue, holders, called)
    behind = words.listed([called.get(worker, printable(worker)) for worker in holders])
    free = words.listed([called.get(worker, printable(worker)) for worker in idlers]) if idlers else "another worker"
    seconds, during = words.seconds(queue.avoidable_s), words.during(status.window_s)
    plural = len(idlers) > 1
    if queue.held_avoidably:
        waits = (
            f"{words.tasks(queue.held_avoidably)} wait{words.s(queue.held_avoidably)} behind {behind}'s long tasks "
            f"while {free} {'are' if plural else 'is'} idle ({seconds} avoidable {during})"
        )
    else:
        waits = (
            f"tasks waited behind {behind}'s long tasks while {free} {'were' if plural else 'was'} idle "
            f"({seconds} avoidable {during}); none waits so at this moment"
        )
    yield Sentence(
        level=WARNING,
        kind="unfair",
        text=f"{_named(queue)}: {waits}.",
        queues=() if queue.name is None else (queue.name,),
        workers=tuple(holders),
    )


def _idlers(queue: QueueNow, holders: Sequence[str], called: Mapping[str, str]) -> list[str]:
    """The workers that were idle most; while tasks wait, those that are idle now."""
    among = queue.free if queue.held_avoidably else called
    idle = [one for one in queue.idle if one.worker in among and one.worker not in holders]
    if not idle:
        return [name for name in queue.free if queue.held_avoidably and name not in holders]
    return [one.worker for one in idle if one.seconds >= ALSO_IDLE * idle[0].seconds]


def _losing(status: NowStatus, queue: QueueNow, called: Mapping[str, str]) -> Iterator[Sentence]:
    """That tasks are lost or fail."""
    during, named = words.during(status.window_s), () if queue.name is None else (queue.name,)
    if queue.lost:
        culprits = [worker.name for worker in status.workers if worker.lost and queue.name in worker.queues]
        by = f" with {words.listed([called[name] for name in culprits])}" if culprits else ""
        text = (
            f"{_named(queue)}: {words.tasks(queue.lost)} {words.is_or_are(queue.lost)} lost{by} {during}, because the "
            "worker had acknowledged what it ran when it was killed (task_acks_late is False)."
        )
        yield Sentence(level=BAD, kind="tasks_lost", text=text, queues=named, workers=tuple(culprits))
    ended = queue.done + queue.failed
    if queue.failed >= FAILURES and queue.failed >= FAILING * ended:
        share = queue.failed / ended
        failing = [worker for worker in status.workers if worker.failed and queue.name in worker.queues]
        failures = sum(worker.failed for worker in failing)
        worst = max(failing, key=lambda worker: worker.failed, default=None)
        others = any(worker.done for worker in status.workers if worker is not worst and queue.name in worker.queues)
        mostly = worst is not None and others and worst.failed >= NEARLY_ALL * failures and worst.failed > worst.done
        where = f", nearly all in {called[worst.name]}" if mostly and worst is not None else ""
        text = (
            f"{_named(queue)}: {queue.failed:,} of {words.tasks(ended)} failed {during} ({100 * share:.0f} %){where}."
        )
        yield Sentence(
            level=BAD if share >= MOSTLY_FAILING else WARNING,
            kind="failing",
            text=text,
            queues=named,
            workers=(worst.name,) if mostly and worst is not None else (),
        )


def _growing(status: NowStatus, queue: QueueNow) -> Iterator[Sentence]:
    """That more comes than is done."""
    ready, growth = queue.ready or 0, queue.growth_per_s or 0.0
    known_s = min(status.known_s, status.window_s or status.known_s)
    grown = growth * known_s
    if (
        known_s < GROWN_S
        or grown < max(GROWN, GROWN_SHARE * ready)
        or ready <= queue.slots
        or not queue.started
        or queue.paused
    ):
        return
    text = (
        f"{_named(queue)} grows by {words.rate(growth)} messages a second: {words.rate(queue.arrivals_per_s)} arrive "
        f"and {words.rate(queue.done_per_s + queue.failed_per_s)} end, {ready:,} wait, and "
        f"{queue.busy_slots} of {queue.slots} slot{'s' * (queue.slots != 1)} {words.is_or_are(queue.busy_slots)} busy."
    )
    yield Sentence(level=WARNING, kind="growing", text=text, queues=() if queue.name is None else (queue.name,))


def _named(queue: QueueNow) -> str:
    return "A queue that is not known" if queue.name is None else printable(queue.name)


def _should(queue: QueueNow, called: Mapping[str, str]) -> str:
    """Who said that it consumes the queue."""
    if not queue.workers:
        return ""
    return f"; {words.listed([called.get(worker, printable(worker)) for worker in queue.workers])} should consume it"


def _oldest(queue: QueueNow) -> str:
    return "" if queue.oldest_s is None else f", the oldest for {words.seconds(queue.oldest_s)}"


def _most(shares: Sequence[Share], part: float) -> list[str]:
    """The first workers that have this part of the seconds together."""
    whole, summed, names = sum(one.seconds for one in shares), 0.0, []
    for one in shares:
        names.append(one.worker)
        summed += one.seconds
        if summed >= part * whole:
            break
    return names
