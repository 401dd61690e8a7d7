"""Monitoring events that never block a worker: an event that cannot be sent now is kept for the next connection.

`event_flushes.py` decides when buffered events are sent.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.app import events
from celery.events import dispatcher
from celery.events.event import Event, group_from
from celery.utils.time import utcoffset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celery import Celery
    from kombu.clocks import LamportClock

#: The fields of an event of a task that may be long.
TEXTS = ("args", "kwargs", "result", "exception", "traceback")
#: Characters in one of them, above which the event is not kept in the buffer: RabbitMQ 4 refuses a message above 16 MiB
#: and closes the channel. Celery does not cut the reason of a failure.
LARGE = 16_384
#: The events in which a worker tells its state.
HEARTBEATS = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})


class EventDispatcher(dispatcher.EventDispatcher):
    """Celery's, which tries once to send an event, keeps their order, and loses none with a connection.

    Celery sends heartbeats with `retry=True` from the worker's loop. While the broker is away kombu then tries to
    connect inside that call without end, so the loop neither works nor notices that its own connection is lost.
    """

    buffer_group: frozenset[str]
    buffer_limit: int
    on_send_buffered: Callable[[], object] | None
    clock: LamportClock
    pid: int
    #: Events that were not sent yet, by their group.
    _group_buffer: dict[str, list[dict[str, Any]]]
    #: Fields that all events of a batch have.
    _origin: dict[str, object]
    #: Returns further fields of this worker's heartbeats, by their names. Monitors ignore fields that they do not know.
    heartbeat_fields: Callable[[], Mapping[str, int]] | None = None

    def send(  # the parameters that Celery takes out of an event's fields
        self,
        type: str,  # noqa: A002 Celery's name
        blind: bool = False,  # noqa: FBT001, FBT002 Celery's signature
        utcoffset: Callable[[], float] = utcoffset,
        retry: bool = False,  # noqa: ARG002, FBT001, FBT002 Celery's signature
        retry_policy: dict[str, Any] | None = None,
        Event: Callable[..., dict[str, Any]] = Event,  # noqa: N803 Celery's name
        **fields: Any,  # noqa: ANN401 Celery's signature
    ) -> None:
        """Send, buffer or keep the event, as Celery's; the worker reconnects by itself, and then sends what was kept.

        A buffered event is the dictionary of its fields: to copy them as Celery does costs as much as to encode them.
        """
        group = group_from(type)
        if group not in self.buffer_group:
            if self.buffer_group:
                # A heartbeat counts tasks whose events are still buffered.
                self.flush()
            if type in HEARTBEATS and self.heartbeat_fields is not None:
                fields.update(self.heartbeat_fields())
            super().send(type, blind, utcoffset, False, retry_policy, Event, **fields)  # type: ignore[arg-type] # celery-types takes offsets for whole hours # noqa: FBT003 Celery's signature
            return
        if not self.enabled or (self.groups and group not in self.groups):
            return
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

    def extend_buffer(self, other: EventDispatcher) -> None:  # type: ignore[override] # Celery's own is always of this class
        """Take over what the dispatcher of the lost connection has kept, and also what it has only buffered."""
        super().extend_buffer(other)
        self.heartbeat_fields = other.heartbeat_fields
        # The same lists, because a thread may be about to add an event to them.
        self._group_buffer = other._group_buffer
        self._origin = getattr(other, "_origin", {})


class Events(events.Events):
    """Celery's `app.events` with that dispatcher."""

    dispatcher_cls = "proj.delivery.recovery.monitoring_events:EventDispatcher"


def send_events_once(app: Celery) -> None:
    """Send monitoring events of `app` without retries; to be called before the app is first used."""
    app.events_cls = "proj.delivery.recovery.monitoring_events:Events"
    # A cached property, in case it was read already.
    app.__dict__.pop("events", None)


def _is_large(fields: dict[str, Any]) -> bool:
    for name in TEXTS:
        text = fields.get(name)
        if isinstance(text, str) and len(text) > LARGE:
            return True
    return False
