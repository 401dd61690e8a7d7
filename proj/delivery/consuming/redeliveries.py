"""Redeliveries: how often a message was tried, read from its headers, and what is done with it next.

A quorum queue counts deliveries in a header. A classic queue only marks a message as redelivered, so the worker
writes its own count into the copy that it publishes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from proj.delivery.header_names import (
    ACQUIRED_COUNT,
    BROKER_COUNTS,
    DELIVERY_COUNT,
    LAST_DEATH,
    REDELIVERIES,
    REQUEUES,
    STRIKES,
)
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.version import BrokerVersion


#: Workers that may be lost with a message before it is run alone.
_LOST_BEFORE_QUARANTINE = 2
#: Innocent returns after which the broker's count begins anew: half of the delivery limit of our policy and of RabbitMQ
#: 4. Not sooner, because a connection that is lost between the confirm of a copy and the acknowledgement leaves both.
_INNOCENT_RETURNS = 10


class Decision(Enum):
    """What to do with a message that has arrived."""

    RUN = "run"
    #: Publish it again to the end of its queue, with our own count in its headers.
    REQUEUE = "requeue"
    #: The same, because the broker's count has what no lost worker caused. It begins anew with the copy.
    RECOUNT = "recount"
    #: Move it to the queue whose messages are run alone.
    QUARANTINE = "quarantine"
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, kw_only=True)
class History:
    """How often a message was tried before, and how those attempts ended."""

    #: Pool processes that it killed.
    killed_processes: int
    #: Times that its task requeued it.
    requeues: int
    #: Workers that were lost while they held it.
    lost_workers: int
    #: Those of them that were lost since it was published to the queue that it is in now.
    lost_workers_here: int
    #: Returns in this queue that the broker counts, and that other causes than lost workers had.
    innocent_returns: int
    #: Whether the broker counts deliveries in this queue.
    counted: bool
    #: Whether what the broker says may be of an earlier queue; then `lost_workers_here` is 0.
    doubtful: bool

    @property
    def attempts(self) -> int:
        """How often it has been tried, this attempt included."""
        return 1 + self.killed_processes + self.requeues + self.lost_workers

    @property
    def before_this_copy(self) -> int:
        """Attempts before a worker published this copy; the broker does not know of them."""
        return self.attempts - 1 - self.lost_workers_here


#: The history of a message that was never delivered before; most have it.
FIRST = History(
    killed_processes=0,
    requeues=0,
    lost_workers=0,
    lost_workers_here=0,
    innocent_returns=0,
    counted=False,
    doubtful=False,
)
_OUR_COUNTS = (STRIKES, REQUEUES, REDELIVERIES)


def history(headers: Mapping[Any, Any], *, redelivered: bool, version: BrokerVersion, survived: int = 0) -> History:
    """The history that the headers tell; a value that is no count is read as 0.

    The broker's count is ignored unless the broker says that the message was `redelivered`: any client can set the
    header. `survived` redeliveries came from a lost connection of a worker that is still alive.

    A message that came by a dead-letter exchange may have the counts of its earlier queue, also after returns in this
    one, and no header tells them apart. Tried on real brokers, for a message that was returned in its earlier queue:

    - 3.10: counts begin at 0 in the new queue, and the message is not marked as redelivered.
    - 4.0: a quorum queue shows the count of an earlier quorum queue, a rejection included, until it has returned the
      message itself. Then it shows its own. Its delivery limit is compared with its own alone.
    - 4.3: a quorum queue adds its own failed deliveries to those of the earlier queue, which is compared with its
      delivery limit. `x-acquired-count` is its own after the first return. A classic queue counts failed deliveries for
      later queues, and marks what failed before as redelivered.
    """
    if not redelivered and headers.keys().isdisjoint(_OUR_COUNTS):
        return FIRST
    returns = failed_deliveries(headers, redelivered=redelivered)
    counted = _is_counted(headers, redelivered=redelivered)
    doubtful = returns > 0 and version.keeps_counts_of_dead_letters and _may_be_of_an_earlier_queue(headers)
    here = 0 if doubtful else max(0, returns - survived)
    return History(
        killed_processes=count(headers, STRIKES),
        requeues=count(headers, REQUEUES),
        lost_workers=count(headers, REDELIVERIES) + here,
        lost_workers_here=here,
        innocent_returns=returns - here if counted else 0,
        counted=counted,
        doubtful=doubtful,
    )


def last_death(headers: Mapping[Any, Any]) -> str | None:
    """What tells the latest dead-lettering of a message from all others; None when there was none.

    Source: https://www.rabbitmq.com/docs/dlx#effects
    """
    deaths = _deaths(headers)
    return " ".join(str(deaths[0].get(key)) for key in ("queue", "reason", "count", "time")) if deaths else None


def lost_workers_of_copy(history: History, *, quorum: bool, version: BrokerVersion) -> int | None:
    """What to write into a copy of a message that a worker gives back unrun; None when `basic.nack` does as well.

    A classic queue marks a returned message as it marks that of a lost worker, so the message always needs a copy.
    RabbitMQ 4.3 does not count `basic.nack` on a quorum queue. Earlier versions count every return: the first is
    tolerated, and for the next a copy starts a new count. It forgets what the broker counted, lost workers included.
    """
    if not quorum:
        return history.lost_workers
    if not version.counts_nacks:
        return None
    # The broker may count one more than the worker knows of: RabbitMQ 3.10 takes back, and counts, what was on its way
    # to a consumer that was cancelled.
    returned_before = history.lost_workers_here or (history.innocent_returns and not history.doubtful)
    if not returned_before:
        return None
    return history.lost_workers - history.lost_workers_here


def failed_deliveries(headers: Mapping[Any, Any], *, redelivered: bool) -> int:
    """How often the broker took the message back; on a classic queue, which does not count, 1 at most.

    Before RabbitMQ 4.3 the delivery count has every return. Since 4.3 it has those that failed (a rejection, a closed
    channel, a lost connection), is absent when there were none, and does not have those by `basic.nack`.
    Source: https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
    """
    if not _is_counted(headers, redelivered=redelivered):
        return int(redelivered)
    failed = count(headers, DELIVERY_COUNT)
    # A redelivered message was delivered before, also where a broker's count says 0. More failed deliveries than
    # deliveries in this queue are of an earlier one.
    return min(failed, count(headers, ACQUIRED_COUNT)) if ACQUIRED_COUNT in headers else max(failed, 1)


def _is_counted(headers: Mapping[Any, Any], *, redelivered: bool) -> bool:
    return redelivered and any(name in headers for name in BROKER_COUNTS)


def _may_be_of_an_earlier_queue(headers: Mapping[Any, Any]) -> bool:
    """Whether a consumer may have returned the message before it was dead-lettered, and no copy was made since.

    Nobody consumes from the queues in which Celery's delayed tasks and leased messages wait.
    """
    if headers.get(LAST_DEATH) == last_death(headers):
        return False
    return any(not is_plumbing(str(death.get("queue"))) for death in _deaths(headers))


def _deaths(headers: Mapping[Any, Any]) -> list[Mapping[Any, Any]]:
    """The table of each queue and reason for which the message was dead-lettered, the latest first."""
    deaths = headers.get("x-death")
    return [death for death in deaths if isinstance(death, dict)] if isinstance(deaths, list) else []


def decide(history: History, *, alone: bool, limit: int, own: bool = False) -> Decision:
    """What to do with a message of this history.

    A worker that died while it held several messages may have been killed by any of them, so none is dead-lettered
    yet. A worker that died while it ran one message `alone` was killed by that one; after `limit` such deaths it is
    dead-lettered. A message in a worker's `own` queue is never quarantined, because no other worker may take it: it
    gets `limit` attempts there.

    Innocent returns count toward the broker's delivery limit, at which it drops the message or makes it a dead letter.
    So before there are many of them, or when the count may be of an earlier queue, it begins anew.
    """
    if history is FIRST:
        return Decision.RUN
    decision = _blame(history, alone=alone, limit=limit, own=own)
    innocent = decision is Decision.RUN and history.innocent_returns >= _INNOCENT_RETURNS
    return Decision.RECOUNT if history.doubtful or innocent else decision


def _blame(history: History, *, alone: bool, limit: int, own: bool) -> Decision:
    if own and history.lost_workers >= limit:
        return Decision.DEAD_LETTER
    if alone:
        return Decision.DEAD_LETTER if history.lost_workers_here >= limit else Decision.RUN
    if not history.lost_workers_here:
        return Decision.RUN
    if history.lost_workers >= _LOST_BEFORE_QUARANTINE and not own:
        return Decision.QUARANTINE
    return Decision.RUN if history.counted else Decision.REQUEUE


def count(headers: Mapping[Any, Any], name: str) -> int:
    """The number in a header; 0 when it holds no count."""
    value = headers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
