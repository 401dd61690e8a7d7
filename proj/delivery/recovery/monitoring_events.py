"""Monitoring events that never block a worker: an event that cannot be sent now is kept for the next connection.

While the broker has blocked publishers (`connection.blocked`: its memory or its disk is short), it reads nothing from
the connection for events. What a worker writes then stays in the kernel until that ends the connection, and Celery
takes this for the loss of the connection that it consumes from. So events are kept until the broker reads again.

`event_flushes.py` decides when buffered events are sent.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from celery.app import events
from celery.events import dispatcher
from celery.events.event import Event, group_from
from celery.utils.time import utcoffset

from proj.queues import is_broadcast_queue

if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable, Mapping

    import kombu
    from celery import Celery
    from kombu.clocks import LamportClock

    class _EventDispatcher(dispatcher.EventDispatcher):
        """Celery's class, with what celery-types leaves out or says too narrowly."""

        buffer_group: frozenset[str]
        buffer_limit: int
        #: Makes an event of its type and its fields.
        _prepare_event: Callable[..., dict[str, Any]]
        on_send_buffered: Callable[[], object] | None
        clock: LamportClock
        pid: int
        connection: kombu.Connection
        mutex: threading.Lock
        #: Events that could not be sent, or lists of them, with their routing keys.
        _outbound_buffer: deque[tuple[Any, str]]
        #: Events that were not sent yet, by their group.
        _group_buffer: dict[str, list[dict[str, Any]]]
        send: Callable[..., None]

else:
    _EventDispatcher = dispatcher.EventDispatcher

logger = logging.getLogger(__name__)

#: The fields of an event of a task that may be long.
TEXTS = ("args", "kwargs", "result", "exception", "traceback")
#: Characters in one of them, above which the event is not kept in the buffer: RabbitMQ 4 refuses a message above 16 MiB
#: and closes the channel. Celery does not cut the reason of a failure.
LARGE = 16_384
#: The events in which a worker tells its state.
HEARTBEATS = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
#: Queues of which letters are counted: a message may name any queue as its first one.
MOST_LETTER_QUEUES = 50
#: Events that are kept while the broker has blocked publishers, some 4 MB; older ones are dropped, and counted.
MOST_KEPT = 10_000


class EventDispatcher(_EventDispatcher):
    """Celery's, which tries once to send an event, keeps their order, and loses none with a connection.

    Celery sends heartbeats with `retry=True` from the worker's loop. While the broker is away kombu then tries to
    connect inside that call without end, so the loop neither works nor notices that its own connection is lost.
    """

    #: Fields that all events of a batch have.
    _origin: dict[str, object]
    #: Returns further fields of this worker's heartbeats, by their names. Monitors ignore fields that they do not know.
    heartbeat_fields: Callable[[], Mapping[str, int]] | None = None
    #: The dead letters that this process has made, by the queue of the message; None where nobody counts them.
    letters: dict[str, int] | None = None
    #: Returns how many results of this process's tasks could not be stored; None where they go over the broker.
    lost_results: Callable[[], int] | None = None
    #: Whether the broker has blocked publishers, as it said last.
    is_blocked = False
    #: The queue of the message that Celery is given now; None when nothing of it is told.
    received_from: str | None = None
    #: Whether the worker's loop reads the connection, and so hears that it is not blocked any more.
    _is_read = True
    #: Events that were kept and dropped since the broker has blocked publishers.
    _kept = _dropped = 0

    def keep_while_blocked(self, *, is_read: bool) -> None:
        """Keep events from now on while the broker has blocked publishers; the connection is made.

        Args:
            is_read: whether a loop reads the connection. Otherwise it is read when there is something to send.
        """
        self._is_read = is_read
        beneath: Any = self.connection.connection
        beneath.on_blocked = self._on_blocked
        beneath.on_unblocked = self._on_unblocked

    def send(  # the parameters that Celery takes out of an event's fields
        self,
        type: str,  # noqa: A002 Celery's name
        blind: bool = False,  # noqa: FBT001, FBT002 Celery's signature
        utcoffset: Callable[[], float] = utcoffset,
        retry: bool = False,  # noqa: ARG002, FBT001, FBT002 Celery's signature
        retry_policy: dict[str, Any] | None = None,
        Event: Callable[..., dict[str, Any]] = Event,  # noqa: N803 Celery's name
        **fields: object,
    ) -> None:
        """Send, buffer or keep the event, as Celery's; the worker reconnects by itself, and then sends what was kept.

        A buffered event is the dictionary of its fields: to copy them as Celery does costs as much as to encode them.
        """
        group = group_from(type)
        if group not in self.buffer_group:
            if self.is_blocked and self._is_still_blocked():
                self._keep_other(type, group, fields, blind=blind, Event=Event)
                return
            if self.buffer_group or self._outbound_buffer:
                # A heartbeat counts tasks whose events are still buffered.
                self.flush()
            if type in HEARTBEATS:
                fields.update(self._further_fields())
            super().send(type, blind, utcoffset, retry=False, retry_policy=retry_policy, Event=Event, **fields)
            return
        if not self.enabled or (self.groups and group not in self.groups):
            return
        self._add_queue(type, fields)
        buffered = self._group_buffer[group]
        if not buffered:
            self._origin = {"hostname": self.hostname, "utcoffset": utcoffset(), "pid": self.pid}
        fields.update(self._origin, clock=self.clock.forward(), type=type)
        if "timestamp" not in fields:
            fields["timestamp"] = time.time()
        buffered.append(fields)
        if len(buffered) >= self.buffer_limit or _is_large(fields):
            self.flush()
        elif self.on_send_buffered:
            self.on_send_buffered()

    def flush(self, errors: bool = True, groups: bool = True) -> None:  # noqa: FBT001, FBT002 Celery's signature
        """Send what is kept and buffered; while the broker has blocked publishers, keep full batches."""
        if not (self.is_blocked and self._is_still_blocked()):
            self._kept = 0
            super().flush(errors, groups)
            return
        for group, buffered in self._group_buffer.items():
            if len(buffered) >= self.buffer_limit:
                # As Celery's flush does, because a thread may add an event meanwhile.
                with self.mutex:
                    batch = list(buffered)
                    del buffered[: len(batch)]
                self._keep(batch, f"{group}.multi")

    def extend_buffer(self, other: EventDispatcher) -> None:  # type: ignore[override] # Celery's own is always of this class
        """Take over what the dispatcher of the lost connection has kept, and also what it has only buffered."""
        super().extend_buffer(other)
        self.heartbeat_fields, self.letters = other.heartbeat_fields, other.letters
        self.lost_results = other.lost_results
        # The same lists, because a thread may be about to add an event to them.
        self._group_buffer = other._group_buffer
        self._origin = getattr(other, "_origin", {})

    def _further_fields(self) -> dict[str, object]:
        """What a heartbeat tells besides Celery's own fields."""
        letters = {} if self.letters is None else {"dead_letters": dict(self.letters)}
        lost = {} if self.lost_results is None else {"results_lost": self.lost_results()}
        return {**letters, **lost, **(self.heartbeat_fields() if self.heartbeat_fields is not None else {})}

    def _add_queue(self, kind: str, fields: dict[str, Any]) -> None:
        """Tell the queue of a receipt; the event of its publish does, but few producers send it."""
        if kind == "task-received" and self.received_from is not None:
            fields["queue"] = self.received_from

    def _is_still_blocked(self) -> bool:
        if not self._is_read:
            with self.mutex, suppress(OSError):
                self.connection.drain_events(timeout=0)
        return self.is_blocked

    def _keep_other(
        self,
        kind: str,
        group: str,
        fields: dict[str, Any],
        **options: object,
    ) -> None:
        """Keep an event that is not buffered; a heartbeat tells nothing when it comes late."""
        if kind not in HEARTBEATS and self.enabled and (not self.groups or group in self.groups):
            self._keep(self._prepare_event(kind, fields, **options), kind.replace("-", "."))

    def _keep(self, sent: dict[str, Any] | list[dict[str, Any]], routing_key: str) -> None:
        """Keep an event or a list of them, and drop the oldest ones when there are too many."""
        self._outbound_buffer.append((sent, routing_key))
        self._kept += _count(sent)
        while self._kept > MOST_KEPT and self._outbound_buffer:
            oldest = _count(self._outbound_buffer.popleft()[0])
            self._kept -= oldest
            self._dropped += oldest

    def _on_blocked(self, _reason: str) -> None:
        self.is_blocked = True
        self._kept = self._dropped = 0
        logger.warning(
            "The broker has blocked publishers: its memory or its disk is short. Tasks go on. The last %d monitoring "
            "events are kept until it accepts them.",
            MOST_KEPT,
            extra={"action": "events_blocked"},
        )

    def _on_unblocked(self) -> None:
        self.is_blocked = False
        logger.warning(
            "The broker accepts publishes again. Monitoring events dropped meanwhile: %d.",
            self._dropped,
            extra={"action": "events_unblocked", "dropped": self._dropped},
        )
        if self.on_send_buffered:
            self.on_send_buffered()


class Events(events.Events):
    """Celery's `app.events` with that dispatcher."""

    dispatcher_cls = "proj.delivery.recovery.monitoring_events:EventDispatcher"


def send_events_once(app: Celery) -> None:
    """Send monitoring events of `app` without retries; to be called before the app is first used."""
    app.events_cls = "proj.delivery.recovery.monitoring_events:Events"
    # A cached property, in case it was read already.
    app.__dict__.pop("events", None)


def tell_queue(dispatcher: object, queue: str) -> None:
    """Let the event of the message that Celery is given next tell that it came from this queue."""
    if isinstance(dispatcher, EventDispatcher):
        # That of a broadcast is the worker's own, and nothing to monitors.
        dispatcher.received_from = None if is_broadcast_queue(queue) else queue


def count_letters(dispatcher: object) -> None:
    """Let heartbeats tell how many dead letters this process has made, from now on."""
    if isinstance(dispatcher, EventDispatcher) and dispatcher.letters is None:
        dispatcher.letters = {}


def count_letter(dispatcher: object, queue: str) -> None:
    """Count a dead letter of the queue."""
    letters = dispatcher.letters if isinstance(dispatcher, EventDispatcher) else None
    if letters is not None and (queue in letters or len(letters) < MOST_LETTER_QUEUES):
        letters[queue] = letters.get(queue, 0) + 1


def tell_lost_results(dispatcher: object, count: Callable[[], int]) -> None:
    """Let heartbeats tell how many results could not be stored, from now on."""
    if isinstance(dispatcher, EventDispatcher):
        dispatcher.lost_results = count


def _count(sent: dict[str, Any] | list[dict[str, Any]]) -> int:
    return len(sent) if isinstance(sent, list) else 1


def _is_large(fields: dict[str, Any]) -> bool:
    for name in TEXTS:
        text = fields.get(name)
        if isinstance(text, str) and len(text) > LARGE:
            return True
    return False
