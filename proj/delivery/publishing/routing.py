"""Where a task goes whose sender names an exchange: there, at once or delayed, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.utils.quorum_queues import detect_quorum_queues
from kombu import Exchange, Queue
from kombu.transport import native_delayed_delivery as native

from proj.queues import DUE, EXCHANGES, delayed_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery


def destination(app: Celery, options: Mapping[str, Any], *, delayed: bool) -> dict[str, Any]:
    """The options of `send_task` such that Celery does what they say.

    Celery adds the default queue to every exchange that is named without a queue. It then declares that queue, reports
    it as the task's, and sends a delayed task to it *instead* of the exchange.
    """
    exchange = options.get("exchange")
    name = str(getattr(exchange, "name", exchange) or "")
    if not name or options.get("queue") is not None:
        return dict(options)
    key = str(options.get("routing_key") or "")
    delayed = delayed and detect_quorum_queues(app, "amqp")[0]
    if name in EXCHANGES:
        return _delayed(options, name, key) if delayed else _at_once(options, name, key)
    if delayed and (queue := _queue_of(app, name, key)) is not None:
        return {**_without_address(options), "queue": queue}
    return dict(options)


def _at_once(options: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
    queue = Queue(name, EXCHANGES[name], routing_key=key)
    # Of a direct exchange without a key Celery would make the default exchange.
    address = {"exchange": name, "routing_key": key, "exchange_type": "topic"}
    return {"declare": [EXCHANGES[name]], **options, **address, "queue": queue}


def _delayed(options: Mapping[str, Any], name: str, key: str) -> dict[str, Any]:
    """The broker's delays keep the key and forget the exchange, so the key names it too; see `proj.queues`."""
    queue = Queue(name, Exchange(name, type="topic"), routing_key=delayed_key(name, key))
    return {**_without_address(options), "queue": queue, "declare": []}


def _queue_of(app: Celery, name: str, key: str) -> Queue | None:
    """The queue that a delayed retry came from, by the exchange and key that its message came by."""
    key = native._delay_prefix_re.sub("", key, count=1)  # type: ignore[attr-defined] # unlike celery-types # noqa: SLF001 kombu has no public inverse of its own
    for queue in app.amqp.queues.values():
        if queue.routing_key == key and name in {DUE.name, queue.exchange.name}:
            return queue
    return None


def _without_address(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in {"exchange", "routing_key"}}
