"""Routing of a task that is sent to a named exchange: only there, at once or delayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu import Exchange, Queue

from proj.delivery.publishing.routes.delayed_delivery import is_quorum_app, without_delay
from proj.queues import DUE, EXCHANGES, delayed_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


def routing_options(app: Celery, options: Mapping[str, object], *, delayed: bool) -> dict[str, object]:
    """The options of `send_task`, changed so that Celery sends the task to the exchange that they name.

    Without this, Celery adds the default queue to every exchange that is named without a queue. It then declares that
    queue, reports it as the task's queue, and sends a delayed task to it instead of the exchange.
    """
    exchange = options.get("exchange")
    name = str(getattr(exchange, "name", exchange) or "")
    if not name or options.get("queue") is not None:
        return dict(options)
    key = str(options.get("routing_key") or "")
    delayed = delayed and is_quorum_app(app)
    if name in EXCHANGES:
        return _delayed(options, name, key) if delayed else _at_once(options, name, key)
    if delayed and (queue := _queue_of(app, name, key)) is not None:
        return {**_without_address(options), "queue": queue}
    return dict(options)


def _at_once(options: Mapping[str, object], name: str, key: str) -> dict[str, object]:
    queue = Queue(name, EXCHANGES[name], routing_key=key)
    # Celery turns a direct exchange without a key into the default exchange.
    address = {"exchange": name, "routing_key": key, "exchange_type": "topic"}
    return {"declare": [EXCHANGES[name]], **options, **address, "queue": queue}


def _delayed(options: Mapping[str, object], name: str, key: str) -> dict[str, object]:
    """The broker's delays keep the key and not the exchange, so the key names the exchange too; see `proj.queues`."""
    queue = Queue(name, Exchange(name, type="topic"), routing_key=delayed_key(name, key))
    return {**_without_address(options), "queue": queue, "declare": []}


def _queue_of(app: Celery, name: str, key: str) -> Queue | None:
    """The queue to which a delayed retry returns, found by the exchange and the key of its message."""
    key = without_delay(key)
    for queue in app.amqp.queues.values():
        if queue.routing_key == key and name in {DUE.name, queue.exchange.name}:
            return queue
    return None


def _without_address(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if name not in {"exchange", "routing_key"}}
