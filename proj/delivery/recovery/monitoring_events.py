"""Monitoring events that never hold up a worker: what cannot be sent now is kept for the next connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.events import Events as StockEvents
from celery.events.dispatcher import EventDispatcher

if TYPE_CHECKING:
    from celery import Celery


class Dispatcher(EventDispatcher):
    """Celery's, which tries once.

    Celery sends heartbeats with `retry=True` from the worker's loop: kombu then connects again there and then, without
    end while that fails, and the loop neither works nor notices that its own connection is gone.
    """

    def send(self, type: str, *args: Any, **fields: Any) -> Any:  # noqa: A002, ANN401 Celery's signature
        """As Celery's; the worker itself connects again when its connection is lost, and then sends what was kept."""
        fields["retry"] = False
        return super().send(type, *args, **fields)


class Events(StockEvents):
    """Celery's `app.events` with that dispatcher."""

    dispatcher_cls = "proj.delivery.recovery.monitoring_events:Dispatcher"


def send_events_once(app: Celery) -> None:
    """Let no monitoring event of `app` wait for a broker; before the app is first used."""
    app.events_cls = "proj.delivery.recovery.monitoring_events:Events"
    app.__dict__.pop("events", None)
