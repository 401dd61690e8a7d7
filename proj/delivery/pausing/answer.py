"""The worker's side of the command `proj_follow_pauses`, and what `inspect stats` tells of paused queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import bootsteps
from celery.worker.control import control_command

from proj.delivery.pausing.follow_command import FOLLOW

if TYPE_CHECKING:
    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.stock import ControlState


class FollowPauses(bootsteps.StartStopStep):
    """Adds the command to those that the worker knows; the consumer itself asks for pauses with each connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    label = "Paused queues"

    def __init__(self, consumer: Consumer, **options: object) -> None:
        """Add it."""
        super().__init__(consumer, **options)
        control_command(name=FOLLOW, args=[("queue", str)], help="Look whether a queue is paused.")(follow)

    def info(self, consumer: Consumer) -> dict[str, Any]:  # type: ignore[override] # the stub says None
        """What `inspect stats` shows."""
        pauses = getattr(consumer, "pauses", None)
        return {"paused_queues": pauses.names} if pauses is not None and pauses.names else {}


def follow(state: ControlState, queue: str, **_: object) -> dict[str, object]:
    """Look at the queue's pause soon, and reply how it is now.

    The connection is being read here, so a question to the broker has to wait.
    """
    # An app may have a consumer of its own.
    consumer: Any = state.consumer
    pauses = getattr(consumer, "pauses", None)
    if pauses is None:
        return {"error": "the consumer of this worker cannot leave a queue alone"}
    consumer.call_soon(pauses.look, queue)
    reply: dict[str, object] = {"ok": "looks", **pauses.state_of(queue)}
    return reply
