"""Waiting results: those that their reply queue did not take, because its node is away or it is full.

A reply queue is on one node of a cluster. While that is away, RabbitMQ rejects what is for it, or does not answer.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.results.outgoing_result import OutgoingResult

#: Seconds for which a reply queue may reject a result, or leave it without an answer, while the message of its task
#: waits. Longer than a broker takes that is only busy, and shorter than anybody notices whose tasks are behind it.
KEPT_S = 3.0
#: Seconds between two tries of a reply queue, each with its oldest result.
TRY_EVERY_S = 1.0
#: Waiting results at most: 64 MiB, because each has 64 KiB at most.
MOST_WAITING = 1000


class Lost(NamedTuple):
    """A result that is given up."""

    result: OutgoingResult
    reason: str


@dataclass(eq=False, slots=True)
class _ReplyQueue:
    """A reply queue that does not take results."""

    #: When its first result that it did not take was to be published, and when it is tried again.
    since: float
    try_at: float
    #: What RabbitMQ did with the result with which it was tried last: "rejected" or "did not confirm".
    answer: str
    #: Those that it is not tried with, the oldest first, and that with which it is tried now.
    results: deque[OutgoingResult] = field(default_factory=deque)
    trying: OutgoingResult | None = None
    #: Those whose tasks' messages still wait.
    kept: list[OutgoingResult] = field(default_factory=list)


class WaitingResults:
    """The results of one worker that their reply queues did not take; all times are monotonic seconds."""

    def __init__(self, timeout_s: float | None, *, most: int = MOST_WAITING) -> None:
        """Give up a result after `timeout_s` seconds, None for never, and the oldest ones beyond `most`."""
        self._timeout_s = timeout_s
        self._most = most
        self._queues: dict[str, _ReplyQueue] = {}
        #: All of them, in the order in which they came.
        self._results: dict[OutgoingResult, _ReplyQueue] = {}

    def __len__(self) -> int:
        """How many there are, with those with which reply queues are tried now."""
        return len(self._results)

    def __iter__(self) -> Iterator[OutgoingResult]:
        """Those with which no reply queue is tried now, the oldest first."""
        return (result for result, queue in self._results.items() if queue.trying is not result)

    @property
    def tried(self) -> int:
        """How many reply queues are tried now."""
        return sum(queue.trying is not None for queue in self._queues.values())

    def has(self, queue: str) -> bool:
        """Whether that reply queue did not take a result, and none since."""
        return queue in self._queues

    def add(self, result: OutgoingResult, now: float) -> bool:
        """Let the result wait, also one with which its reply queue was tried; whether it is the first one."""
        queue = self._queues.get(result.routing_key)
        is_first = queue is None
        if queue is None:
            queue = self._queues[result.routing_key] = _ReplyQueue(result.since, now + TRY_EVERY_S, answer_to(result))
        if queue.trying is result:
            queue.trying, queue.try_at, queue.answer = None, now + TRY_EVERY_S, answer_to(result)
            queue.results.appendleft(result)
        else:
            self._results[result] = queue
            queue.results.append(result)
            if not result.is_let_go:
                queue.kept.append(result)
        return is_first

    def take_due(self, now: float) -> list[OutgoingResult]:
        """Take the results with which reply queues are to be tried now, one for each."""
        due = []
        for queue in self._queues.values():
            if queue.trying is None and queue.results and now >= queue.try_at:
                queue.trying = queue.results.popleft()
                due.append(queue.trying)
        return due

    def take_confirmed(self, name: str) -> list[OutgoingResult]:
        """Take all that wait for this reply queue, which has taken a result."""
        queue = self._queues.pop(name, None)
        if queue is None:
            return []
        for result in queue.results if queue.trying is None else (queue.trying, *queue.results):
            del self._results[result]
        return list(queue.results)

    def take_to_let_go(self, now: float) -> list[OutgoingResult]:
        """Tell those whose tasks' messages have waited for long enough: at once where their queue is known for it."""
        found = []
        for queue in self._queues.values():
            if queue.kept and now - queue.since >= KEPT_S:
                found += [result for result in queue.kept if not result.is_let_go]
                queue.kept.clear()
        return found

    def take_lost(self, now: float) -> list[Lost]:
        """Take those that are given up now."""
        lost: list[Lost] = []
        excess = len(self._results) - self._most
        for result in self:
            if excess > len(lost):
                reason = f"more than {self._most:,} results wait for reply queues that do not take them"
            elif self._timeout_s is not None and now - result.since >= self._timeout_s:
                answer = self._results[result].answer
                reason = f"RabbitMQ {answer} what is for {result.routing_key!r} for {now - result.since:.1f} s"
            else:
                break
            lost.append(Lost(result, reason))
        for result, _reason in lost:
            self._drop(result)
        return lost

    def forget(self, result: OutgoingResult) -> None:
        """The broker will never take this result, with which its reply queue may have been tried."""
        queue = self._results.pop(result, None)
        if queue is not None:
            queue.trying = None
            if not queue.results:
                del self._queues[result.routing_key]

    def take_late(self, result: OutgoingResult) -> bool:
        """Take a result that the broker has confirmed late; False when it is tried again now, or does not wait."""
        queue = self._results.get(result)
        if queue is None or queue.trying is result:
            return False
        del self._results[result]
        queue.results.remove(result)
        return True

    def look_within_s(self, now: float, *, tries: bool = True) -> float:
        """Seconds after which another method may have something to tell, `KEPT_S` at most.

        `tries` is whether reply queues are tried at all.
        """
        queues = self._queues.values()
        moments = [queue.try_at for queue in queues if tries and queue.trying is None and queue.results]
        moments += [queue.since + KEPT_S for queue in queues if queue.kept]
        return min(KEPT_S, max(0.0, min(moments, default=now + KEPT_S) - now))

    def _drop(self, result: OutgoingResult) -> None:
        queue = self._results.pop(result)
        # It is one of the oldest.
        queue.results.remove(result)
        if not queue.results and queue.trying is None:
            del self._queues[result.routing_key]


def answer_to(result: OutgoingResult) -> str:
    """What RabbitMQ did with a result that its reply queue did not take."""
    return "rejected" if result.nack else "did not confirm"
