"""Explanations: why the broker counts other messages in a queue than events tell of."""

from __future__ import annotations

from dataclasses import dataclass

#: Seconds between two counts of a quorum queue (`quorum_tick_interval`).
TICK_S = 5.0
#: Seconds that an event may take to us.
WAY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of one queue."""

    #: As the broker counts them; unacknowledged is None when it cannot be asked.
    ready: int
    unacknowledged: int | None
    #: By events: sent and not received; received and, by the mode of their workers, not acknowledged.
    sent: int
    held: int
    #: Running attempts that are not in `held`, of workers that do not say when they acknowledge.
    running: int = 0
    #: Sent, not received, and not due yet.
    delayed: int = 0
    #: Of those in `held`, with workers that are not heard of any more.
    orphaned: int = 0
    #: Whether tasks came of whose publish no event told.
    silent: bool = False
    #: Events that are known to be missing.
    lost: int = 0
    quorum: bool = False
    #: Consumers that the broker counts, and workers of the queue that are heard of.
    consumers: int = 0
    workers: int = 0
    #: Seconds since the broker counted, and since the last event of the queue.
    age_s: float = 0.0
    quiet_s: float = 60.0

    @property
    def moving(self) -> bool:
        """Whether events came since the broker counted."""
        return self.quiet_s <= self.age_s + WAY_S

    @property
    def strangers(self) -> str | None:
        """That someone consumes who sends no events; None when nobody does."""
        if self.consumers <= self.workers:
            return None
        return (
            f"the broker counts {self.consumers} {'consumer' if self.consumers == 1 else 'consumers'}, "
            f"and events come from {self.workers} {'worker' if self.workers == 1 else 'workers'}."
        )


def explanation(facts: Facts) -> str | None:
    """One sentence on why the two counts differ; None when they agree."""
    more_ready = facts.ready - facts.sent
    if more_ready > 0:
        return _more_ready(facts, more_ready)
    if more_ready < 0:
        return _fewer_ready(facts, -more_ready)
    if facts.unacknowledged is None:
        return None
    more = facts.unacknowledged - facts.held
    # Who acknowledges late has what it runs, too.
    if more in {0, facts.running}:
        return None
    return _of_unacknowledged(facts, more)


def _more_ready(facts: Facts, more: int) -> str:
    if facts.silent:
        return (
            f"{_messages(more)} more {_are(more)} ready than events tell of, for producers do not tell what they send "
            "(task_send_sent_event): events give the least."
        )
    if facts.moving:
        return _counted_before(facts)
    return (
        f"{_messages(more)} more {_are(more)} ready than events tell of: sent before the dashboard listened, "
        "or by a producer that does not tell (task_send_sent_event)."
    )


def _fewer_ready(facts: Facts, fewer: int) -> str:
    those = f"{_messages(fewer)} that events tell of"
    if fewer <= facts.delayed:
        return f"{those} {_are(fewer)} not due yet: the broker keeps what has an ETA in queues of its own."
    if facts.strangers is not None:
        return f"{those} {_are(fewer)} not ready any more: {facts.strangers}"
    if facts.moving:
        return _counted_before(facts)
    if facts.lost:
        return f"{those} left the queue unheard: {facts.lost:,} events are known to be lost."
    return f"{those} left the queue without a worker's event: purged, expired, or taken by someone else."


def _of_unacknowledged(facts: Facts, more: int) -> str:
    both = f"Events tell of {facts.held:,} unacknowledged and the broker of {facts.unacknowledged:,}"
    if -facts.orphaned <= more < 0:
        return f"{both}: {_messages(-more)} {_are(-more)} with workers that are not heard of any more."
    if more > 0 and facts.strangers is not None:
        return f"{both}: {facts.strangers}"
    if facts.quorum and facts.quiet_s <= facts.age_s + TICK_S + WAY_S:
        return f"{both}, which counts a quorum queue's every {TICK_S:.0f} seconds only."
    if facts.moving:
        return _counted_before(facts)
    if facts.lost:
        why = f"{facts.lost:,} events are known to be lost"
    elif more > 0:
        why = "received before the dashboard listened, or by a worker whose events did not come"
    else:
        why = "acknowledged early, or ended without an event"
    return f"{both}: {why}."


def _counted_before(facts: Facts) -> str:
    return f"The broker counted {facts.age_s:.1f} s ago, and events came since."


def _messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
