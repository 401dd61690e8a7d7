"""The bootstep of adaptive dispatch, and the call that adds it to an app."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from proj.delivery.dispatch.dispatcher import Dispatcher
from proj.delivery.dispatch.mode import ADAPTIVE
from proj.delivery.recovery.monitoring_events import EventDispatcher

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer

#: Pools that run tasks beside the worker's loop, so that the loop can give messages back meanwhile.
_POOLS = ("prefork", "thread")

logger = logging.getLogger(__name__)


class AdaptDispatch(bootsteps.StartStopStep):
    """Gives the worker's consumer a dispatcher, when the app asks for adaptive dispatch and the worker can do it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Adaptive dispatch"

    def start(self, consumer: Consumer) -> None:
        """Make the dispatcher once; the consumer lets it begin anew with each connection."""
        # An app may have a consumer of its own.
        if consumer.app.conf.proj_dispatch != ADAPTIVE or not hasattr(consumer, "dispatcher"):
            return
        if consumer.dispatcher is not None:
            return
        reason = _obstacle(consumer)
        if reason is not None:
            logger.warning(
                "Adaptive dispatch is off, because %s. Each slot gets one message at a time.",
                reason,
                extra={"action": "adaptive_dispatch_off"},
            )
            return
        dispatcher = consumer.dispatcher = Dispatcher(
            consumer, slots=consumer.prefetch.slots, budget_s=consumer.app.conf.proj_dispatch_budget_s
        )
        if isinstance(consumer.event_dispatcher, EventDispatcher):
            # That of the next connection takes it over.
            consumer.event_dispatcher.heartbeat_fields = partial(_counts, dispatcher)

    def info(self, consumer: Consumer) -> dict[str, Any]:  # type: ignore[override] # the stub says None
        """What `inspect stats` shows."""
        dispatcher = getattr(consumer, "dispatcher", None)
        if dispatcher is None:
            return {}
        return {"dispatch": {"mode": ADAPTIVE, **_counts(dispatcher), "budget_s": dispatcher.budget_s}}


def _counts(dispatcher: Dispatcher) -> dict[str, int]:
    """What heartbeats and `inspect stats` tell of the dispatcher."""
    return {"window": dispatcher.window, "held": dispatcher.waiting, "given_back": dispatcher.given_back}


def _obstacle(consumer: Consumer) -> str | None:
    """Why the worker cannot do it; None when it can."""
    if not consumer.is_amqp:
        return "the broker is not RabbitMQ"
    pool = type(consumer.pool).__module__.rpartition(".")[2]
    if pool not in _POOLS or consumer.hub is None:
        return f"the pool {pool} runs tasks in the worker's loop"
    return None
