"""Results in flight: those that the sender of a worker has published, or tries to publish again."""

from __future__ import annotations

import time
from collections import deque
from itertools import takewhile
from typing import TYPE_CHECKING, cast

from celery.utils.log import get_logger

from proj.delivery.publishing.deadline import Deadline
from proj.delivery.publishing.in_flight import InFlight
from proj.delivery.publishing.outgoing_message import nack_from
from proj.delivery.results import waiting_results
from proj.delivery.results.waiting_results import WaitingResults, answer_to
from proj.printable import printable

if TYPE_CHECKING:
    from proj.delivery.publishing.confirm_channel import ConfirmChannel
    from proj.delivery.publishing.outgoing_message import OutgoingMessage
    from proj.delivery.publishing.producer import ConfirmingProducer
    from proj.delivery.results.outgoing_result import OutgoingResult
    from proj.delivery.results.waiting_results import Lost
    from proj.errors import PublishRefused

#: Results that were not confirmed in time and are remembered for a late confirm, at most.
MOST_LATE = 1000

logger = get_logger(__name__)


class ResultsInFlight(InFlight):
    """Messages in flight, of which one that its reply queue does not take keeps no other waiting."""

    #: Most results come alone, and none may wait for the next.
    collects = False

    def __init__(self, producer: ConfirmingProducer, *, timeout_s: float | None) -> None:
        """Publish over the producer's connection; give up a result after `timeout_s` seconds, None for never."""
        super().__init__(producer, timeout_s=timeout_s)
        self.waiting = WaitingResults(timeout_s)
        #: Those that could overtake STARTED, the oldest first.
        self._early: deque[OutgoingResult] = deque()
        #: Monotonic time of the last look at which the broker could not read what was written.
        self._deaf_at = 0.0
        #: Of one channel those that were not confirmed in time, by delivery tag; a confirm may still come.
        self._late_channel: ConfirmChannel | None = None
        self._late: dict[int, OutgoingResult] = {}

    @property
    def count(self) -> int:
        """How many results are neither confirmed nor lost."""
        return len(self) + len(self._early) + len(self.waiting) - self.waiting.tried

    def all_left(self) -> list[OutgoingResult]:
        """Those."""
        return [*(cast("OutgoingResult", outgoing) for outgoing in self.unsettled()), *self._early, *self.waiting]

    def add(self, *outgoing: OutgoingMessage) -> None:
        """Publish one more result, or several; one of a reply queue that takes none waits for that.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        now = time.monotonic()
        may_arrive = []
        for result in cast("tuple[OutgoingResult, ...]", outgoing):
            if self.waiting.has(result.routing_key):
                self.waiting.add(result, now)
            elif now < result.not_before:
                self._early.append(result)
            else:
                may_arrive.append(result)
        if may_arrive:
            super().add(*may_arrive)

    def look(self) -> tuple[list[OutgoingResult], list[Lost]]:
        """Publish again what is due; the results that are to be let go, and those that are lost.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        now, channel = time.monotonic(), self._channel
        while self._early and now >= self._early[0].not_before:
            self.add(self._early.popleft())
        if channel is None or not channel.alive or channel.blocked:
            self._deaf_at = now
        else:
            self._take_unanswered(channel, now)
            if due := self.waiting.take_due(now):
                if not len(self):
                    self._deadline.restart()
                self._waiting.extend(due)
        return self.waiting.take_to_let_go(now), self.waiting.take_lost(now)

    def wait(self, or_readable: int | None = None) -> None:
        """As `InFlight.wait`, but not for longer than until the next `look`."""
        if not len(self) and self._deadline.has_passed:
            # It is a deadline of what is in flight.
            self._deadline.restart()
        super().wait(or_readable)

    def _take_unanswered(self, channel: ConfirmChannel, now: float) -> None:
        """Let those wait that were written long ago, to a broker that could read them."""
        written = cast("dict[int, OutgoingResult]", channel.in_flight)
        overdue = list(takewhile(lambda item: now >= self._answer_due(item[1]), tuple(written.items())))
        if overdue and channel is not self._late_channel:
            self._late_channel = channel
            self._late.clear()
            channel.events["basic_ack"].add(self._confirm_late)
        for tag, result in overdue:
            del written[tag]
            while len(self._late) >= MOST_LATE:
                del self._late[next(iter(self._late))]
            self._late[tag] = result
            result.nack = ""
            self._let_wait(result)
        if overdue:
            # For each of them the time since it was published counts from here on.
            self._deadline.restart()

    def _confirm_late(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 py-amqp's own signature
        """Confirm a result that waits: the broker was slow. Its reply queue takes results, so the others follow."""
        if self._channel is not self._late_channel:
            return
        for one in [one for one in self._late if one == tag or (multiple and one < tag)]:
            result = self._late.pop(one)
            if self.waiting.take_late(result):
                self._confirm(result)

    def _let_wait(self, result: OutgoingResult) -> None:
        result.settled, result.returned = False, None
        if self.waiting.add(result, time.monotonic()):
            logger.warning(
                "RabbitMQ %s the result of the task %s for its reply queue %s. After %g s the messages of such tasks "
                "are acknowledged without waiting for that queue. Sending their results is tried for %s.",
                answer_to(result),
                printable(result.task_id),
                printable(result.routing_key),
                waiting_results.KEPT_S,
                "ever" if self.timeout_s is None else f"{self.timeout_s:g} s",
                extra={"action": "result_waits"},
            )

    def _write_each(self, channel: ConfirmChannel) -> None:
        now = time.monotonic()
        for result in cast("list[OutgoingResult]", self._waiting):
            result.written_at = now
        super()._write_each(channel)

    def _write_later(self, outgoing: OutgoingMessage) -> None:
        """Let a rejected result wait, without a pause for the others."""
        self.nacked += 1
        self._deadline.restart()
        outgoing.nack = nack_from(outgoing)
        self._let_wait(cast("OutgoingResult", outgoing))

    def _confirm(self, outgoing: OutgoingMessage) -> None:
        super()._confirm(outgoing)
        self._waiting.extend(self.waiting.take_confirmed(outgoing.routing_key))

    def _refuse(self, outgoing: OutgoingMessage, error: PublishRefused) -> None:
        super()._refuse(outgoing, error)
        self.waiting.forget(cast("OutgoingResult", outgoing))

    def _publish_alone(self, channel: ConfirmChannel) -> None:
        """Publish one result alone, and let it wait when it is not confirmed soon."""
        usual, self._deadline = self._deadline, Deadline(waiting_results.KEPT_S)
        try:
            super()._publish_alone(channel)
        except TimeoutError:
            self._let_wait(cast("OutgoingResult", self._alone.pop()))
            raise
        else:
            usual.restart()
        finally:
            self._deadline = usual

    def _read_unless(self, other: int, timeout_s: float) -> None:
        now = time.monotonic()
        moments = [now + self.waiting.look_within_s(now, tries=not self.blocked)]
        if self._early:
            moments.append(self._early[0].not_before)
        if (oldest := next(iter(self.channel.in_flight.values()), None)) is not None:
            moments.append(self._answer_due(oldest))
        super()._read_unless(other, min(timeout_s, max(0.0, min(moments) - now)))

    def _answer_due(self, outgoing: OutgoingMessage) -> float:
        """The monotonic time from which on it waits."""
        return max(cast("OutgoingResult", outgoing).written_at, self._deaf_at) + waiting_results.KEPT_S
