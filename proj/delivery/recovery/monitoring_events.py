"""Monitoring events that never block a worker: an event that cannot be sent now is kept for the next connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app import events
from celery.events import dispatcher

if TYPE_CHECKING:
    from celery import Celery


class EventDispatcher(dispatcher.EventDispatcher):
    """Celery's, which tries once to send an event.

    Celery sends heartbeats with `retry=True` from the worker's loop. While the broker is away kombu then tries to
    connect inside that call without end, so the loop neither works nor notices that its own connection is lost.
    """

    def send(self, type: str, *args: Any, **fields: Any) -> None:  # noqa: A002, ANN401 Celery's signature
        """Send or keep the event, as Celery's; the worker reconnects by itself, and then sends what was kept."""
        fields["retry"] = False
        super().send(type, *args, **fields)


class Events(events.Events):
    """Celery's `app.events` with that dispatcher."""

    dispatcher_cls = "proj.delivery.recovery.monitoring_events:EventDispatcher"


def send_events_once(app: Celery) -> None:
    """Send monitoring events of `app` without retries; to be called before the app is first used."""
    app.events_cls = "proj.delivery.recovery.monitoring_events:Events"
    # A cached property, in case it was read already.
    app.__dict__.pop("events", None)
