"""Steps of a worker that its user may lack the rights for: the worker goes on without them, and says what it lacks.

They have queues that the broker deletes with their connection, so nobody else can make them: the control queue of the
worker, the reply queue of `mingle`, and the queue by which `gossip` hears other workers. And they publish monitoring
events. Tasks need none of it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from amqp import spec
from amqp.exceptions import AccessRefused, NotFound
from celery import bootsteps
from celery.utils.log import get_logger
from celery.worker.consumer import Control, Events, Gossip, Mingle

from proj.broker.permissions.rights import missing_right

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery.events import EventDispatcher

    from proj.delivery import stock

#: What a worker does not do without the step.
WITHOUT: dict[type, str] = {
    Control: "It is not heard by celery inspect and control, queues halt and pause, and health.",
    Mingle: "It does not learn from other workers which tasks are revoked.",
    Gossip: "It does not hear of other workers.",
    Events: "The dashboard and journal record do not see its tasks.",
}

logger = get_logger(__name__)


class GoOnWithout(bootsteps.Step):
    """Lets a worker start without the steps that the broker refuses."""

    label = "Optional steps"

    def include(self, parent: stock.Consumer) -> bool:
        """Guard each of the steps, which are made already."""
        # celery-types lacks them.
        steps: list[Any] = vars(parent.blueprint)["order"]
        for step in steps:
            if (without := what_is_missing(step)) is not None:
                step.start = partial(_start, step, step.start, without)
        return False


def what_is_missing(step: object) -> str | None:
    """What a worker does not do without this step, Celery's or one of ours in its place; None for any other."""
    return next((without for kind, without in WITHOUT.items() if isinstance(step, kind)), None)


def _start(step: object, start: Callable[[object], None], without: str, consumer: stock.Consumer) -> None:
    try:
        start(consumer)
    except (AccessRefused, NotFound) as error:
        if isinstance(error, NotFound) and "no exchange" not in str(error):
            # A node is down, and connecting again helps.
            raise
        warn(type(step).__name__, without, error)
        if type(step) is Events:
            # celery-types lacks it.
            events: Any = step
            events.send_events, before = False, events.send_events
            start(consumer)
            events.send_events = before
        return
    if type(step) is Events:
        _disable_when_refused(consumer.event_dispatcher)


def warn(name: str, without: str, error: BaseException) -> None:
    """Say what the worker does without, and which right is missing."""
    right = missing_right(error)
    logger.warning(
        "This worker goes on without %s: %s. %s",
        name,
        right.sentence if right is not None else str(getattr(error, "reply_text", None) or error),
        without,
        extra={"action": "optional_step_refused", "step": name},
    )


def _disable_when_refused(dispatcher: EventDispatcher | None) -> None:
    """Send no events any more when the broker refuses the first one; py-amqp would raise that in the worker's loop.

    No answer is waited for: the refusal comes with the frames that the loop reads.
    """
    producer = getattr(dispatcher, "producer", None)
    channel: Any = getattr(producer, "channel", None)
    callbacks = getattr(channel, "_callbacks", None)
    if dispatcher is None or callbacks is None:
        return
    close: Callable[..., object] = callbacks[spec.Channel.Close]

    def on_close(*arguments: object) -> None:
        try:
            close(*arguments)
        except (AccessRefused, NotFound) as error:
            # Not `disable`, which waits for a lock that this thread may have.
            if dispatcher.enabled:
                warn(Events.__name__, WITHOUT[Events], error)
            dispatcher.enabled = False

    callbacks[spec.Channel.Close] = on_close
