"""Count differences: explains why the broker and the events count different numbers of messages in a queue."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds between two counts of a quorum queue (`quorum_tick_interval`).
TICK_S = 5.0
#: Seconds that an event may need to reach the dashboard.
TRAVEL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class QueueCounts:
    """The counts of one queue, by the broker and by events, and what may explain a difference."""

    #: By the broker; unacknowledged is None when the management API cannot be asked.
    ready: int
    unacknowledged: int | None
    #: By events: sent and not received; received and, by the dispatch mode of the worker, not acknowledged.
    sent: int
    held: int
    #: Running attempts that are not in `held`, because their workers do not report when they acknowledge.
    running: int = 0
    #: Sent, not received, and not due yet.
    delayed: int = 0
    #: Those in `held` whose worker sends no heartbeats any more.
    orphaned: int = 0
    #: Whether tasks were received without a task-sent event.
    unannounced: bool = False
    #: Events that are known to be missing.
    lost: int = 0
    quorum: bool = False
    #: Consumers that the broker counts, of which each worker should have one, and workers that send events.
    consumers: int = 0
    workers: int = 0
    #: The most messages that workers in adaptive dispatch have before they give them to their pool. No event tells of
    #: them.
    in_advance: int = 0
    #: Seconds since the broker counted, and since the last event of the queue.
    age_s: float = 0.0
    quiet_s: float = 60.0

    @property
    def outdated(self) -> bool:
        """Whether events came after the broker counted."""
        return self.quiet_s <= self.age_s + TRAVEL_S

    @property
    def silent_consumers(self) -> str | None:
        """That some consumers send no events; None when all do."""
        if self.consumers <= self.workers:
            return None
        return f"the broker counts {_number(self.consumers, 'consumer')}, but {_number(self.workers, 'worker')} " + (
            "sends events." if self.workers == 1 else "send events."
        )


def explain_difference(counts: QueueCounts) -> str | None:
    """One sentence on why the two counts differ; None when they agree."""
    more_ready = counts.ready - counts.sent
    if more_ready > 0:
        return _more_ready(counts, more_ready)
    if more_ready < 0:
        return _fewer_ready(counts, -more_ready)
    if counts.unacknowledged is None:
        return None
    more = counts.unacknowledged - counts.held
    # Messages that run are unacknowledged, too, if their workers acknowledge late.
    if more in {0, counts.running}:
        return None
    return _of_unacknowledged(counts, more)


def _more_ready(counts: QueueCounts, more: int) -> str:
    difference = f"The broker has {_number(more, 'message')} more ready than events report"
    if counts.unannounced:
        return (
            f"{difference}: producers send no task-sent events (task_send_sent_event), so the events' count is "
            "a lower bound."
        )
    if counts.outdated:
        return _counted_before(counts)
    return (
        f"{difference}: sent before the dashboard listened, or by a producer that sends no task-sent events "
        "(task_send_sent_event)."
    )


def _fewer_ready(counts: QueueCounts, fewer: int) -> str:
    difference = f"The broker has {_number(fewer, 'message')} fewer ready than events report"
    if fewer <= counts.delayed:
        return f"{difference}: messages with an ETA that are not due yet wait in other queues."
    if fewer <= counts.in_advance:
        return f"{difference}: {_asked_for_in_advance(counts)}"
    if counts.silent_consumers is not None:
        return f"{difference}: {counts.silent_consumers}"
    if counts.outdated:
        return _counted_before(counts)
    if counts.lost:
        return f"{difference}: {_known_to_be_lost(counts.lost)}."
    return f"{difference}: purged, expired, or taken by a consumer that sends no events."


def _of_unacknowledged(counts: QueueCounts, more: int) -> str:
    difference = f"Events report {counts.held:,} unacknowledged and the broker {counts.unacknowledged:,}"
    if -counts.orphaned <= more < 0:
        return f"{difference}: {_number(-more, 'message')} went to workers whose heartbeats have stopped."
    if 0 < more <= counts.in_advance:
        return f"{difference}: {_asked_for_in_advance(counts)}"
    if more > 0 and counts.silent_consumers is not None:
        return f"{difference}: {counts.silent_consumers}"
    if counts.quorum and counts.quiet_s <= counts.age_s + TICK_S + TRAVEL_S:
        return f"{difference}: it counts those of a quorum queue only every {TICK_S:.0f} seconds."
    if counts.outdated:
        return _counted_before(counts)
    if counts.lost:
        reason = _known_to_be_lost(counts.lost)
    elif more > 0:
        reason = "received before the dashboard listened, or by a worker whose events did not arrive"
    else:
        reason = "acknowledged early, or ended without an event"
    return f"{difference}: {reason}."


def _counted_before(counts: QueueCounts) -> str:
    return f"The broker counted {counts.age_s:.1f} s ago, and events came after that."


def _asked_for_in_advance(counts: QueueCounts) -> str:
    return (
        f"workers in adaptive dispatch ask for up to {_number(counts.in_advance, 'message')}, and no event tells of "
        "one before it goes to the pool."
    )


def _known_to_be_lost(lost: int) -> str:
    return f"{_number(lost, 'event')} {'is' if lost == 1 else 'are'} known to be lost"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
