"""The bootstep of adaptive dispatch, and the call that adds it to an app."""

from __future__ import annotations

import logging
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from celery import bootsteps
from celery.worker.control import Panel

from proj.delivery.dispatch.dispatcher import Dispatcher
from proj.delivery.dispatch.mode import ADAPTIVE
from proj.delivery.recovery.monitoring_events import EventDispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.stock import ControlState

#: Pools that run tasks beside the worker's loop, so that the loop can give messages back meanwhile.
_POOLS = ("prefork", "thread")

P = ParamSpec("P")
R = TypeVar("R")

logger = logging.getLogger(__name__)


class AdaptDispatch(bootsteps.StartStopStep):
    """Gives the worker's consumer a dispatcher, when the app asks for adaptive dispatch and the worker can do it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Adaptive dispatch"

    def start(self, consumer: Consumer) -> None:
        """Make the dispatcher once; the consumer lets it begin anew with each connection."""
        if not _is_wanted(consumer) or consumer.dispatcher is not None:
            return
        reason = _obstacle(consumer)
        if reason is not None:
            logger.warning(
                "Adaptive dispatch is off, because %s. Each slot gets one message at a time.",
                reason,
                extra={"action": "adaptive_dispatch_off"},
            )
            return
        _tell_of_revoked_tasks()
        dispatcher = consumer.dispatcher = Dispatcher(
            consumer, slots=consumer.prefetch.slots, budget_s=consumer.app.conf.proj_dispatch_budget_s
        )
        if isinstance(consumer.event_dispatcher, EventDispatcher):
            # That of the next connection takes it over.
            consumer.event_dispatcher.heartbeat_fields = partial(_counts, dispatcher)

    def info(self, consumer: Consumer) -> dict[str, Any]:  # type: ignore[override] # the stub says None
        """What `inspect stats` shows."""
        if not _is_wanted(consumer):
            return {}
        dispatcher = consumer.dispatcher
        if dispatcher is None:
            # Commands are answered from the step `Control` on, which comes before this one. Who asks then must not hear
            # of another mode than the worker will have.
            return {} if _obstacle(consumer) else {"dispatch": {"mode": ADAPTIVE}}
        return {"dispatch": {"mode": ADAPTIVE, **_counts(dispatcher), "budget_s": dispatcher.budget_s}}


def _tell_of_revoked_tasks() -> None:
    """Let the commands that revoke tasks tell the dispatcher; a pool process would run what is in its pipe."""
    for name in ("revoke", "revoke_by_stamped_headers"):
        command = Panel.data[name]
        if not hasattr(command, "__wrapped__"):
            Panel.data[name] = _and_drop(command)


def _and_drop(command: Callable[Concatenate[ControlState, P], R]) -> Callable[Concatenate[ControlState, P], R]:
    @wraps(command)
    def revoke(control_state: ControlState, /, *args: P.args, **kwargs: P.kwargs) -> R:
        reply = command(control_state, *args, **kwargs)
        dispatcher = getattr(control_state.consumer, "dispatcher", None)
        if dispatcher is not None:
            dispatcher.in_pipes.drop_revoked()
        return reply

    return revoke


def _counts(dispatcher: Dispatcher) -> dict[str, int]:
    """What heartbeats and `inspect stats` tell of the dispatcher; Celery tells of what is in the pool."""
    return {"window": dispatcher.window, "held": len(dispatcher.held), "given_back": dispatcher.given_back}


def _is_wanted(consumer: Consumer) -> bool:
    # An app may have a consumer of its own.
    return consumer.app.conf.proj_dispatch == ADAPTIVE and hasattr(consumer, "dispatcher")


def _obstacle(consumer: Consumer) -> str | None:
    """Why the worker cannot do it; None when it can."""
    if not consumer.is_amqp:
        return "the broker is not RabbitMQ"
    pool = type(consumer.pool).__module__.rpartition(".")[2]
    if pool not in _POOLS or consumer.hub is None:
        return f"the pool {pool} runs tasks in the worker's loop"
    return None
