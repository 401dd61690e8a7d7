"""A window of messages on their way: written without waiting, each until the broker has confirmed it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from amqp.exceptions import MessageNacked

from proj.broker.connection import failures
from proj.delivery.broker_errors import queue_full, refusal
from proj.delivery.publishing.confirm_channel import SILENCE_S, ConfirmChannel, Publish, where
from proj.delivery.publishing.deadline import Patience, reason
from proj.errors import PublishRefused, Unconfirmed

if TYPE_CHECKING:
    from proj.delivery.publishing.producer import ConfirmingProducer
    from proj.errors import QueueFull

#: How many messages are written before the broker's confirms are looked at, when the window is not full.
LOOK_EVERY = 50
#: Seconds after which they are looked at in any case, when there is something to write.
LOOK_EVERY_S = 0.1
#: Ids of tasks that are named in an error's sentence; its `task_ids` has them all.
NAMED = 3
#: Seconds for which answers are waited for after the deadline, so that fewer are told that nobody knows.
LAST_WORDS_S = 1.0


class Window:
    """What is on its way over one producer's connection.

    Each message is in one of three places: in flight on the channel; waiting to be written (again), because the
    connection was lost or the broker refused it for the moment; or suspect. The broker closes the channel over one
    message and does not say which, so that all which were in flight then are published one by one.
    """

    def __init__(self, producer: ConfirmingProducer, *, timeout_s: float | None) -> None:
        """Publish over the producer's connection; `timeout_s` without any progress is the deadline."""
        self._producer = producer
        self._connection = producer.connection
        self._errors = failures(self._connection)  # type: ignore[arg-type] # unlike celery-types
        self._patience = Patience(timeout_s)
        self._channel: ConfirmChannel | None = None
        self._waiting: deque[Publish] = deque()
        self._suspects: deque[Publish] = deque()
        self._again_at = 0.0
        self._heard_at = time.monotonic()
        self._unlooked = 0
        self._looked_at = 0.0
        #: Whether it has raised, and does not go on.
        self.given_up = False
        self.confirmed = 0
        self._news: list[str] = []
        #: How often a message was written again, for the connection was lost before its confirm.
        self.republished = 0
        #: How often the broker refused one for the moment.
        self.nacked = 0
        #: Since when nothing but refusals has come, by the monotonic clock.
        self._refused_since: float | None = None
        #: Why, by the id of each task that the broker will not have.
        self.refused: dict[str, PublishRefused] = {}

    def __len__(self) -> int:
        """How many messages are on their way."""
        in_flight = 0 if self._channel is None else len(self._channel.in_flight)
        return in_flight + len(self._waiting) + len(self._suspects)

    @property
    def timeout_s(self) -> float | None:
        """Seconds without any progress until it gives up; None is for ever."""
        return self._patience.timeout_s

    def take_news(self) -> list[str]:
        """The ids of what the broker has confirmed since this was asked last.

        Whoever wants to hear of each asks, and is not called from here: an error of theirs, such as that of a pipe
        that nobody reads, would be taken for one of the connection, and all would be published again.
        """
        news, self._news = self._news, []
        return news

    @property
    def blocked(self) -> bool:
        """Whether the broker has stopped reading from publishers."""
        return self._channel is not None and self._channel.blocked

    @property
    def channel(self) -> ConfirmChannel:
        """Its channel, made anew when it was lost.

        Raises:
            what kombu and py-amqp raise when they cannot connect.
        """
        if self._channel is None or not self._channel.alive:
            self._retrieve(self._waiting)
            self._channel = ConfirmChannel.of(self._connection)  # type: ignore[arg-type] # unlike celery-types
            self._channel.on_settled = self._settle
            self._heard_at = time.monotonic()
        return self._channel

    def usable_channel(self) -> ConfirmChannel:
        """Its channel, for which it waits when the connection is lost.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        while True:
            try:
                return self.channel
            except self._errors as error:  # noqa: PERF203 each attempt may fail
                self._recover(error)

    def excuse(self, seconds: float) -> None:
        """Do not count these seconds: it was not the broker that was waited for."""
        self._patience.extend(seconds)

    def flush(self) -> None:
        """Have everything that is written sent now."""
        if self._channel is not None:
            self._channel.cork(on=False)

    def add(self, publish: Publish) -> None:
        """Take one more message on its way.

        Raises:
            Unconfirmed: the deadline has passed.
        """
        if not len(self):
            self._patience.renew()
        self._waiting.append(publish)
        self._unlooked += 1
        try:
            if self._unlooked >= LOOK_EVERY or time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._look(timeout_s=0)
            self._write()
        except self._errors as error:
            self._recover(error)

    def wait(self) -> None:
        """Wait for one thing that the broker says, and act on it.

        Raises:
            QueueFull: the deadline has passed, and the broker has refused all that is still on its way.
            Unconfirmed: the deadline has passed.
        """
        left_s = self._patience.left_s
        try:
            self._write()
            timeout_s = SILENCE_S if left_s is None else min(left_s, SILENCE_S)
            if self._waiting and not self.blocked:
                timeout_s = max(0.0, min(timeout_s, self._again_at - time.monotonic()))
            self._look(timeout_s)
            silent_s = time.monotonic() - self._heard_at
            if silent_s >= SILENCE_S and not self.blocked:
                self.flush()
                self.channel.ask()
                self._heard_at = time.monotonic()
        except self._errors as error:
            self._recover(error)
        if self._patience.is_over and len(self):
            self._hear_out()

    def close(self) -> None:
        """Leave the channel to others."""
        if self._channel is not None:
            self._channel.on_settled = None
            self._channel.in_flight.clear()
            self._channel.cork(on=False)

    def _write(self) -> None:
        """Write all that waits, unless it must wait longer."""
        channel = self.channel
        while self._suspects:
            self._publish_suspect(channel)
        if channel.blocked or time.monotonic() < self._again_at or self._patience.is_over:
            return
        channel.cork(on=True)
        while self._waiting:
            try:
                channel.write(self._waiting[0])
            except Exception as error:  # noqa: PERF203 each may fail
                if isinstance(error, OSError) or not channel.alive:
                    raise
                # A header that AMQP cannot carry, for example; nothing of it was written.
                publish = self._waiting.popleft()
                self._refuse(publish, PublishRefused(f"Task {publish.task_id} cannot be encoded: {reason(error)}."))
            else:
                self._waiting.popleft()

    def _look(self, timeout_s: float) -> None:
        """Take in all that the broker has said, at most `timeout_s` from now."""
        self._unlooked = 0
        self._looked_at = time.monotonic()
        channel = self.channel
        if timeout_s:
            channel.cork(on=False)
        while channel.drain(timeout_s):
            self._heard_at = time.monotonic()
            timeout_s = 0

    def _publish_suspect(self, channel: ConfirmChannel) -> None:
        suspect = self._suspects[0]
        channel.cork(on=False)
        channel.on_settled = None
        try:
            channel.basic_publish(
                suspect.message,
                suspect.exchange,
                suspect.routing_key,
                suspect.mandatory,
                confirm_timeout=self._patience.left_s,
            )
        except MessageNacked:
            self._wait_longer(self._suspects.popleft())
        except self._errors as error:
            refused = refusal(error, f"Task {suspect.task_id}")
            if refused is None:
                raise
            self._refuse(self._suspects.popleft(), refused)
            if not channel.alive:
                raise ConnectionResetError("The broker closed the channel.") from error
        else:
            self._confirm(self._suspects.popleft())
        finally:
            channel.on_settled = self._settle

    def _recover(self, error: Exception) -> None:
        """Go on after the loss of the channel or the connection."""
        final = refusal(error, self._named())
        if self._channel is not None and final is not None:
            if not (self._channel.in_flight or self._suspects):
                # The connection itself is refused: a wrong password, a virtual host that is not there.
                raise self._refusing(final) from error
            self._retrieve(self._suspects)
            return
        if final is not None:
            raise self._refusing(final) from error
        if self._channel is not None and self._channel.alive:
            self._read_last_words(self._channel)
        self._producer.reset(self._connection)  # type: ignore[arg-type] # unlike celery-types
        self._retrieve(self._waiting)
        self._again_at = 0.0
        if self._patience.is_over:
            raise self._given_up(reason(error)) from error
        self._patience.pause()

    def _read_last_words(self, channel: ConfirmChannel) -> None:
        """Take in the confirms that came before the connection broke."""
        try:
            while channel.drain(timeout_s=0):
                pass
        except self._errors:
            pass

    def _retrieve(self, place: deque[Publish]) -> None:
        """Take back what was in flight on the channel, to be written again first and in its order."""
        if self._channel is None:
            return
        lost = list(self._channel.in_flight.values())
        self._channel.in_flight.clear()
        self._channel = None
        self.republished += len(lost)
        for publish in lost:
            publish.returned = None
            publish.doubtful = True
        place.extendleft(reversed(lost))

    def _settle(self, publish: Publish) -> None:
        if not publish.acked:
            self._wait_longer(publish)
        elif publish.returned is not None:
            refused = refusal(publish.returned, f"Task {publish.task_id}")
            self._refuse(publish, refused or PublishRefused(reason(publish.returned)))
        else:
            self._confirm(publish)

    def _confirm(self, publish: Publish) -> None:
        self.confirmed += 1
        self._news.append(publish.task_id)
        self._progress()

    def _refuse(self, publish: Publish, error: PublishRefused) -> None:
        self.refused[publish.task_id] = error
        self._progress()

    def _progress(self) -> None:
        self._patience.renew()
        self._refused_since = None

    def _wait_longer(self, publish: Publish) -> None:
        self.nacked += 1
        if self._refused_since is None:
            self._refused_since = time.monotonic()
        publish.nack = f"a nack from {where(publish)}"
        if not self._waiting:
            self._again_at = time.monotonic() + self._patience.next_pause_s()
        publish.settled, publish.returned = False, None
        self._waiting.append(publish)

    def _ids(self) -> tuple[str, ...]:
        in_flight = [] if self._channel is None else list(self._channel.in_flight.values())
        return tuple(publish.task_id for publish in (*in_flight, *self._suspects, *self._waiting))

    def _named(self) -> str:
        ids = self._ids()
        return f"{len(ids)} tasks ({', '.join(ids[:NAMED])}{', …' * (len(ids) > NAMED)})"

    def _refusing(self, final: PublishRefused) -> PublishRefused:
        self.given_up = True
        return PublishRefused(final.message, self._ids())

    def _hear_out(self) -> None:
        """Take in the answers to what was written just before the deadline.

        Raises:
            QueueFull: the broker has refused all that is still on its way.
            Unconfirmed: of some of it, nobody knows.
        """
        end = time.monotonic() + LAST_WORDS_S
        try:
            while self._refused_since is not None and self.channel.in_flight and time.monotonic() < end:
                self._look(max(0.0, end - time.monotonic()))
        except self._errors as error:
            self._recover(error)
        if self._patience.is_over and len(self):
            raise self._given_up("publishers are blocked" if self.blocked else "no confirm came")

    def _given_up(self, why: str) -> QueueFull | Unconfirmed:
        """The error after the deadline: what is known of those that are still on their way."""
        self.given_up = True
        refused = [publish for publish in self._waiting if publish.nack]
        known = not any(publish.doubtful for publish in self._waiting)
        if refused and known and len(self) == len(self._waiting) and self._refused_since is not None:
            tried_s = time.monotonic() - self._refused_since
            what = f"{self._named()}, and took {self.confirmed} others"
            return queue_full(what, refused[0].nack, tried_s=tried_s, task_ids=self._ids())
        return Unconfirmed(
            f"{self._named()} may or may not have been accepted: the broker did not confirm them within "
            f"{self._patience.timeout_s:g} s ({why}); {self.confirmed} others it has.",
            self._ids(),
        )
