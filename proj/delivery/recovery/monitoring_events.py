"""Monitoring events that never block a worker: an event that cannot be sent now is kept for the next connection.

`event_flushes.py` decides when buffered events are sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app import events
from celery.events import dispatcher
from celery.events.event import group_from

if TYPE_CHECKING:
    from celery import Celery

#: Characters in the texts of one event, above which it is not kept in the buffer: RabbitMQ 4 refuses a message above
#: 16 MiB, and closes the channel. Celery does not cut the reason of a failure.
LARGE = 16_384


class EventDispatcher(dispatcher.EventDispatcher):
    """Celery's, which tries once to send an event, keeps their order, and loses none with a connection.

    Celery sends heartbeats with `retry=True` from the worker's loop. While the broker is away kombu then tries to
    connect inside that call without end, so the loop neither works nor notices that its own connection is lost.
    """

    buffer_group: frozenset[str]
    #: Events that were not sent yet, by their group.
    _group_buffer: dict[str, list[dict[str, Any]]]

    def send(self, type: str, *args: Any, **fields: Any) -> None:  # noqa: A002, ANN401 Celery's signature
        """Send or keep the event, as Celery's; the worker reconnects by itself, and then sends what was kept."""
        fields["retry"] = False
        buffered = group_from(type) in self.buffer_group
        if self.buffer_group and not buffered:
            # A heartbeat counts tasks whose events are still buffered.
            self.flush()
        super().send(type, *args, **fields)
        if buffered and sum(len(text) for text in fields.values() if isinstance(text, str)) > LARGE:
            self.flush()

    def extend_buffer(self, other: EventDispatcher) -> None:  # type: ignore[override] # Celery's own is always of this class
        """Take over what the dispatcher of the lost connection has kept, and also what it has only buffered."""
        super().extend_buffer(other)
        # The same lists, because a thread may be about to add an event to them.
        self._group_buffer = other._group_buffer


class Events(events.Events):
    """Celery's `app.events` with that dispatcher."""

    dispatcher_cls = "proj.delivery.recovery.monitoring_events:EventDispatcher"


def send_events_once(app: Celery) -> None:
    """Send monitoring events of `app` without retries; to be called before the app is first used."""
    app.events_cls = "proj.delivery.recovery.monitoring_events:Events"
    # A cached property, in case it was read already.
    app.__dict__.pop("events", None)
