"""Requeuing many letters: a killed requeue loses none, and the next one names those that may be done twice.

A letter is published to its queue before it is acknowledged here. A requeue that is killed in between leaves it in both
queues, and the acknowledgements of a killed process may get lost on their way. So before it publishes some letters, it
writes their names into a queue of the broker, `<dead letters>.requeued`. That queue is deleted when the requeue has
ended in order. What it names and is still a dead letter may have been requeued before.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from amqp.basic_message import Message
from amqp.exceptions import AccessRefused, AMQPError

from proj.broker.connection import connected, open_channel
from proj.broker.declaration import declare, own_channel
from proj.delivery.dead_letters.confirmed import publish_to_queue
from proj.errors import ProjError
from proj.interruption import raise_if_interrupted
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    import amqp
    from celery import Celery

    from proj.delivery.dead_letters.letter import DeadLetter
    from proj.delivery.dead_letters.queue import DeadLetterQueue, UnackedLetter

#: Letters that one note names, at most, and the bytes that all their bodies may have in memory.
BATCH, BATCH_BYTES = 10, 8_000_000
#: The end of the name of the queue of notes.
NOTES_SUFFIX = ".requeued"


@dataclass(frozen=True, kw_only=True)
class Requeued:
    """What became of one letter."""

    letter: DeadLetter
    #: It may be in that queue twice: a requeue was killed while it was at work on it.
    twice: bool
    #: Why it stays where it is; None when it was requeued.
    error: str | None


class Requeue(Service):
    """Requeues letters of one queue; it stops after their reader, whose end settles what was acknowledged."""

    def __init__(self, app: Celery, letters: DeadLetterQueue, *, queue: str | None = None) -> None:
        """Take the letters' reader, which is not started yet; `queue` is another one than those they came from."""
        self._letters = letters
        self._to = queue
        self._notes = letters.name + NOTES_SUFFIX
        self._address = app.connection_for_write(heartbeat=0)
        self._resources = contextlib.ExitStack()
        self._channel: amqp.Channel | None = None
        self._reading: Any = None
        #: Whether the notes are this one's: it has the letters, so no other requeue is at work.
        self._has_begun = False
        #: What an earlier requeue that was killed was at work on, and this one has not requeued.
        self._doubtful: set[str] = set()
        #: Whether every acknowledgement has reached the broker.
        self._is_settled = True
        #: Why no doubt could be noted, for people; None when it can.
        self.warning: str | None = None

    def start(self) -> None:
        """Connect, and make the queue of notes; another requeue may be at work on it still.

        Raises:
            NoBroker: no broker answers.
        """
        connection: Any = self._resources.enter_context(connected(self._address)).connection
        try:
            declare(connection, self._notes, by_order=True)
        except AccessRefused as error:
            self.warning = (
                "If this is killed, nobody can tell which letters were requeued before: the user may not make the "
                f"queue {self._notes} ({error.reply_text})."
            )
            return
        self._reading = connection
        self._channel = open_channel(self._resources.enter_context(connected(self._address.clone())))

    def stop(self) -> None:
        """Delete the notes, unless some letter is in doubt still."""
        with self._resources, contextlib.suppress(AMQPError, OSError, ProjError):
            if self._channel is None or not self._has_begun or not self._is_settled or self._letters.is_lost:
                return
            if self._doubtful:
                self._channel.queue_purge(self._notes)
                self._note(self._doubtful)
            else:
                self._channel.queue_delete(self._notes)
            self._channel = None

    def run(self, chosen: Iterable[UnackedLetter]) -> Iterator[Requeued]:
        """Requeue the letters, and say of each what became of it; `KeyboardInterrupt` ends it between two letters.

        Raises:
            AMQPError, OSError: the connection is lost; the letters that were not acknowledged return.
        """
        self._begin()
        self._is_settled = False
        batch: list[UnackedLetter] = []
        size = 0
        try:
            for unacked in chosen:
                batch.append(unacked)
                size += len(unacked.body)
                if len(batch) >= BATCH or size >= BATCH_BYTES:
                    yield from self._send(batch)
                    batch, size = [], 0
            yield from self._send(batch)
        except (KeyboardInterrupt, GeneratorExit):
            self._is_settled = True
            raise
        self._is_settled = True

    @property
    def is_in_doubt(self) -> bool:
        """Whether an earlier requeue may have requeued letters that this one has not."""
        return bool(self._doubtful)

    def forget_absent(self, there: Collection[str]) -> None:
        """All letters were looked at: what is not among these marks was acknowledged after all."""
        self._doubtful &= set(there)

    def _begin(self) -> None:
        """Read what an earlier requeue left; the letters' reader has started, so that no other one is at work."""
        if self._channel is None or self._has_begun:
            return
        # A requeue that has ended since the start has deleted the queue.
        declare(self._reading, self._notes, by_order=True)
        with own_channel(self._reading) as channel:
            # They return when the channel is closed.
            while (note := channel.basic_get(self._notes)) is not None:
                self._doubtful.update(_marks(note.body))
        self._has_begun = True

    def _send(self, batch: list[UnackedLetter]) -> Iterator[Requeued]:
        if batch:
            self._note([unacked.letter.mark for unacked in batch])
        for unacked in batch:
            raise_if_interrupted()
            mark = unacked.letter.mark
            twice = mark in self._doubtful
            error = None
            try:
                self._letters.requeue(unacked, queue=self._to)
            except ProjError as refused:
                error = refused.message
            else:
                self._doubtful.discard(mark)
            yield Requeued(letter=unacked.letter, twice=twice and error is None, error=error)

    def _note(self, marks: Collection[str]) -> None:
        if self._channel is None:
            return
        note = json.dumps(sorted(marks)).encode()
        try:
            self._publish(note)
        except ProjError:
            # Another requeue, which had the letters before, has ended and deleted the queue.
            declare(self._reading, self._notes, by_order=True)
            self._publish(note)

    def _publish(self, note: bytes) -> None:
        channel = cast("amqp.Channel", self._channel)
        publish_to_queue(channel, Message(note, delivery_mode=2), self._notes, what="a note of this requeue")


def _marks(body: str | bytes) -> list[str]:
    """The marks in a note; none in a message of somebody else's."""
    try:
        found = json.loads(body)
    except ValueError:
        return []
    return [mark for mark in found if isinstance(mark, str)] if isinstance(found, list) else []
