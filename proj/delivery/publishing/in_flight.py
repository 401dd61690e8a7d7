"""Messages in flight: written without waiting, and tried again until the broker has confirmed each."""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING

from amqp.exceptions import ChannelError, MessageNacked

from proj.broker.connection import failures
from proj.delivery.broker_errors import CRASH_PAUSE_S, MOST_CRASHES, crashing, final_error, is_crash
from proj.delivery.publishing.confirm_channel import LATE_BINDING_PAUSE_S, LATE_BINDING_S, SILENCE_S, ConfirmChannel
from proj.delivery.publishing.deadline import Deadline, error_text
from proj.delivery.publishing.outgoing_message import nack_from
from proj.delivery.publishing.unconfirmed import rejected, subject_of, unconfirmed
from proj.errors import PublishRefused

if TYPE_CHECKING:
    from proj.delivery.publishing.outgoing_message import OutgoingMessage
    from proj.delivery.publishing.producer import ConfirmingProducer
    from proj.errors import QueueFull, Unconfirmed

#: After how many added messages confirms are read, when no limit makes the sender wait.
READ_EVERY = 50
#: Seconds after which confirms are read in any case, when a message is added.
READ_EVERY_S = 0.1
#: Seconds after the deadline in which confirms are still read, so that fewer tasks are reported as unconfirmed.
LAST_CONFIRMS_S = 1.0
#: After how many lost connections a message is published alone.
MOST_TOGETHER = 2


class InFlight:
    """The messages of one sender that the broker has not confirmed.

    Each message is in one of three places: in flight on the channel; waiting to be written, again after the connection
    was lost or the broker sent a nack; or to be published alone. The broker closes a channel or the connection because
    of one message and does not say which, so all that were in flight then are published one by one. So are those that
    were in flight when the connection was lost `MOST_TOGETHER` times: one of them may be the reason, and no innocent is
    published more often because of it.
    """

    #: Whether messages are collected into full packets while others are added.
    collects = True

    def __init__(self, producer: ConfirmingProducer, *, timeout_s: float | None) -> None:
        """Publish over the producer's connection; give up after `timeout_s` seconds without progress."""
        self._producer = producer
        self._connection = producer.connection
        self._errors = failures(self._connection)
        self._deadline = Deadline(timeout_s)
        self._channel: ConfirmChannel | None = None
        self._waiting: deque[OutgoingMessage] = deque()
        self._alone: deque[OutgoingMessage] = deque()
        #: Monotonic time before which nothing is written, because of a nack.
        self._write_at = 0.0
        #: Monotonic time of the broker's last frame.
        self._heard_at = time.monotonic()
        self._added_since_read = 0
        self._read_at = 0.0
        #: Whether it has raised, and publishes no more.
        self.given_up = False
        self.confirmed = 0
        self._settled: list[OutgoingMessage] = []
        #: How often a message was written again because the connection was lost before its confirm.
        self.republished = 0
        #: How often the broker sent a nack.
        self.nacked = 0
        #: Monotonic time since which the broker has sent nothing but nacks; None when it has sent none.
        self._nacked_since: float | None = None
        #: Monotonic time at which an exchange first returned a message, where a binding may take effect late.
        self._returned_at: float | None = None
        #: The reason for each task that the broker will never accept, by id.
        self.refused: dict[str, PublishRefused] = {}

    def __len__(self) -> int:
        """How many messages are not confirmed."""
        in_flight = 0 if self._channel is None else len(self._channel.in_flight)
        return in_flight + len(self._waiting) + len(self._alone)

    @property
    def timeout_s(self) -> float | None:
        """Seconds without progress after which it gives up; None is for ever."""
        return self._deadline.timeout_s

    def take_settled(self) -> list[OutgoingMessage]:
        """The messages that the broker has confirmed or refused since the last call.

        There is no callback: an error of the caller, such as that of a broken pipe, would be taken for an error of the
        connection, and everything would be published again.
        """
        settled, self._settled = self._settled, []
        return settled

    def unsettled(self) -> tuple[OutgoingMessage, ...]:
        """The messages that are neither confirmed nor refused."""
        in_flight = [] if self._channel is None else list(self._channel.in_flight.values())
        return (*in_flight, *self._alone, *self._waiting)

    @property
    def blocked(self) -> bool:
        """Whether the broker does not read from publishers."""
        return self._channel is not None and self._channel.blocked

    @property
    def channel(self) -> ConfirmChannel:
        """Its channel, a new one when it was lost.

        Raises:
            Exception: one of `failures`, when it cannot connect.
        """
        if self._channel is None or not self._channel.alive or self._channel.is_refused:
            self._take_back()
            self._channel = ConfirmChannel.for_connection(self._connection)
            self._channel.on_settled, self._channel.leaves = self._settle, bool(self._connection.alt)
            self._heard_at = time.monotonic()
        return self._channel

    def await_channel(self) -> ConfirmChannel:
        """Its channel, for which it waits while the connection is lost.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        while True:
            try:
                return self.channel
            except self._errors as error:  # noqa: PERF203 each attempt may fail
                self._recover(error)

    def extend_deadline(self, seconds: float) -> None:
        """Do not count these seconds, in which it was not the broker that was waited for."""
        self._deadline.extend(seconds)

    def flush(self) -> None:
        """Send everything that is written now."""
        if self._channel is not None:
            self._channel.cork(on=False)

    def add(self, *outgoing: OutgoingMessage) -> None:
        """Publish one more message, or several, without waiting for a confirm.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        if not len(self):
            self._note_progress()
        self._waiting.extend(outgoing)
        self._added_since_read += len(outgoing)
        try:
            if self._added_since_read >= READ_EVERY or time.monotonic() - self._read_at >= READ_EVERY_S:
                self._read(timeout_s=0)
            self._write()
        except self._errors as error:
            self._recover(error)

    def wait(self, or_readable: int | None = None) -> None:
        """Wait for one answer of the broker, and act on it.

        Args:
            or_readable: a file descriptor; the wait also ends when there is something to read from it.

        Raises:
            QueueFull: the deadline has passed, and the broker has rejected all messages that are left.
            Unconfirmed: the deadline has passed.
        """
        left_s = self._deadline.left_s
        try:
            self._write()
            timeout_s = SILENCE_S if left_s is None else min(left_s, SILENCE_S)
            if self._waiting and not self.blocked:
                timeout_s = max(0.0, min(timeout_s, self._write_at - time.monotonic()))
            if or_readable is None:
                self._read(timeout_s)
            else:
                self._read_unless(or_readable, timeout_s)
            silent_s = time.monotonic() - self._heard_at
            if silent_s >= SILENCE_S and not self.blocked:
                self.flush()
                self.channel.check_connection()
                self._heard_at = time.monotonic()
            self.channel.check_progress()
        except self._errors as error:
            self._recover(error)
        if self._deadline.has_passed and len(self):
            self._read_last_confirms()

    def close(self) -> None:
        """Leave the channel to others."""
        if self._channel is not None:
            self._channel.on_settled = None
            self._channel.in_flight.clear()
            self._channel.cork(on=False)

    def _write(self) -> None:
        """Write all waiting messages, unless a nack or a blocked connection forbids it."""
        if (channel := self.channel).blocked:
            return
        while self._alone:
            self._publish_alone(channel)
        if time.monotonic() < self._write_at or self._deadline.has_passed:
            return
        if self.collects:
            channel.cork(on=True)
        with channel.together() if len(self._waiting) > 1 else nullcontext():
            self._write_each(channel)

    def _write_each(self, channel: ConfirmChannel) -> None:
        while self._waiting:
            outgoing = self._waiting[0]
            try:
                channel.write(outgoing)
            except PublishRefused as refusal:
                self._refuse(outgoing, refusal)
            self._waiting.popleft()

    def _read(self, timeout_s: float) -> None:
        """Read everything that the broker has sent; wait for it at most `timeout_s`."""
        self._added_since_read = 0
        self._read_at = time.monotonic()
        channel = self.channel
        if timeout_s:
            channel.cork(on=False)
        while channel.drain(timeout_s):
            self._heard_at = time.monotonic()
            timeout_s = 0

    def _read_unless(self, other: int, timeout_s: float) -> None:
        """As `_read`, but stop waiting when `other` is readable."""
        self.flush()
        if self.channel.is_readable(timeout_s, other):
            self._read(timeout_s=0)

    def _publish_alone(self, channel: ConfirmChannel) -> None:
        outgoing = self._alone[0]
        channel.cork(on=False)
        channel.on_settled = None
        try:
            channel.basic_publish(
                outgoing.message,
                outgoing.exchange,
                outgoing.routing_key,
                outgoing.mandatory,
                confirm_timeout=self._deadline.left_s,
            )
        except MessageNacked:
            self._write_later(self._alone.popleft())
        except PublishRefused as refusal:
            # Nothing of it was written.
            self._refuse(self._alone.popleft(), refusal)
        except self._errors as error:
            subject = f"task {outgoing.task_id}"
            outgoing.crashed += is_crash(error)
            final = crashing(error, subject) if outgoing.crashed >= MOST_CRASHES else final_error(error, subject)
            if final is None:
                outgoing.lost += 1
                # The others first: they may be innocent.
                self._alone.rotate(-1)
                raise
            self._refuse(self._alone.popleft(), final)
            if not channel.alive:
                raise ConnectionResetError("The broker closed the channel.") from error
        else:
            self._confirm(self._alone.popleft())
        finally:
            channel.on_settled = self._settle

    def _recover(self, error: Exception) -> None:
        """Prepare to go on after the channel or the connection was lost.

        Raises:
            PublishRefused: the broker refuses the connection itself.
            Unconfirmed: the deadline has passed.
        """
        if self._channel is not None and self._channel.alive:
            error = self._read_what_came_before(self._channel) or error
        final = final_error(error, subject_of(self._ids()))
        if final is not None and self._channel is not None and (self._channel.in_flight or self._alone):
            self._take_back(alone=True)
            if not isinstance(error, ChannelError):
                self._producer.reset(self._connection)
            return
        if final is not None:
            # A wrong password, or a virtual host that does not exist.
            self.given_up = True
            raise PublishRefused(final.message, self._ids()) from error
        self._producer.reset(self._connection)
        self._take_back(alone=is_crash(error))
        self._write_at = 0.0
        if self._deadline.has_passed:
            raise self._given_up_error(error_text(error)) from error
        self._deadline.pause(CRASH_PAUSE_S if is_crash(error) else 0.0)

    def _read_what_came_before(self, channel: ConfirmChannel) -> Exception | None:
        """Read what the broker sent before the connection was lost: confirms, and why it closed the connection."""
        try:
            while channel.drain(timeout_s=0):
                pass
        except self._errors as error:
            return error if getattr(error, "reply_code", None) else None
        return None

    def _take_back(self, *, alone: bool = False) -> None:
        """Let what was in flight on the channel be written again, in its order and first, or be published alone."""
        if self._channel is None:
            return
        lost = list(self._channel.in_flight.values())
        self._channel.in_flight.clear()
        self._channel = None
        self.republished += len(lost)
        for outgoing in reversed(lost):
            outgoing.returned = None
            outgoing.lost += 1
            place = self._alone if alone or outgoing.lost >= MOST_TOGETHER else self._waiting
            place.appendleft(outgoing)

    def _settle(self, outgoing: OutgoingMessage) -> None:
        if not outgoing.acked:
            self._write_later(outgoing)
        elif outgoing.returned is not None and self._may_be_bound_late(outgoing):
            self._put_back(outgoing, pause_s=LATE_BINDING_PAUSE_S)
        elif outgoing.returned is not None:
            final = final_error(outgoing.returned, f"task {outgoing.task_id}")
            self._refuse(outgoing, final or PublishRefused(error_text(outgoing.returned)))
        else:
            self._confirm(outgoing)

    def _confirm(self, outgoing: OutgoingMessage) -> None:
        self.confirmed += 1
        self._settled.append(outgoing)
        self._note_progress()

    def _refuse(self, outgoing: OutgoingMessage, error: PublishRefused) -> None:
        self.refused[outgoing.task_id] = outgoing.refusal = error
        self._settled.append(outgoing)
        self._note_progress()

    def _note_progress(self) -> None:
        self._deadline.restart()
        self._nacked_since = None

    def _write_later(self, outgoing: OutgoingMessage) -> None:
        """Write a message again after a pause, because the broker sent a nack."""
        self.nacked += 1
        if self._nacked_since is None:
            self._nacked_since = time.monotonic()
        outgoing.nack = nack_from(outgoing)
        self._put_back(outgoing, pause_s=None if self._waiting else self._deadline.next_pause_s())

    def _may_be_bound_late(self, outgoing: OutgoingMessage) -> bool:
        """Whether the queue may have been bound just now, so that another attempt may reach it."""
        if not outgoing.exchange or self._channel is None or not self._channel.binds_late:
            return False
        now = time.monotonic()
        if self._returned_at is None:
            self._returned_at = now
        return now - self._returned_at < LATE_BINDING_S

    def _put_back(self, outgoing: OutgoingMessage, *, pause_s: float | None) -> None:
        """Write a message again after a pause, or with those that wait already."""
        if pause_s is not None:
            self._write_at = time.monotonic() + pause_s
        outgoing.settled, outgoing.returned = False, None
        self._waiting.append(outgoing)

    def _ids(self) -> tuple[str, ...]:
        return tuple(outgoing.task_id for outgoing in self.unsettled())

    def _read_last_confirms(self) -> None:
        """Read the answers to what was written just before the deadline.

        Raises:
            QueueFull: the broker has rejected all messages that are left.
            Unconfirmed: the broker may have some of them or not.
        """
        end = time.monotonic() + LAST_CONFIRMS_S
        try:
            while self._nacked_since is not None and self.channel.in_flight and time.monotonic() < end:
                self._read(max(0.0, end - time.monotonic()))
        except self._errors as error:
            self._recover(error)
        if self._deadline.has_passed and len(self):
            raise self._given_up_error("publishers are blocked" if self.blocked else "no confirm came")

    def _given_up_error(self, reason: str) -> QueueFull | Unconfirmed:
        """The error after the deadline, for the messages that are left."""
        self.given_up = True
        ids = self._ids()
        tried_s = None if self._nacked_since is None else time.monotonic() - self._nacked_since
        return rejected(ids, self._waiting, tried_s=tried_s, confirmed=self.confirmed) or unconfirmed(
            ids, timeout_s=self.timeout_s, reason=reason, confirmed=self.confirmed
        )
