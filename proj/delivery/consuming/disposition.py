"""What a worker can do with a message instead of running it: refuse it, bury it, give it back, strike it.

Each publishes a copy, confirmed, and acknowledges the message only then.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.app.task import Context
from celery.exceptions import InvalidTaskError, NotRegistered
from celery.utils.log import get_logger

from proj.delivery import header_names
from proj.delivery.consuming import message_copy, redeliveries
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.validation.message import Contents, Kind, Refusal, contents
from proj.queues import home_queue

if TYPE_CHECKING:
    from collections import Counter, deque
    from collections.abc import Callable, Mapping

    from celery import Celery

    from proj.delivery.consuming.forwarder import Forwarder

logger = get_logger(__name__)


class Recourse:
    """The part of a worker's consumer that gives messages up, or back."""

    app: Celery
    hostname: str
    connection_errors: tuple[type[Exception], ...]
    call_soon: Callable[..., object]
    event_dispatcher: Any
    task_consumer: Any
    forwarder: Forwarder
    #: Copies that are safe, whose originals are to be acknowledged.
    _moved: deque[message_copy.Parcel]
    #: The queues of this connection, by their consumers' tags.
    _queues: dict[str, str]
    #: Connections that were lost while this worker had a task in hand, by its id.
    _survived: Counter[str]

    def refuse(self, message: Any, found: Refusal, error: Exception | None = None) -> None:  # noqa: ANN401 kombu's
        """Give the message up for what was found, and tell whom Celery would tell."""
        logger.error("Message refused: %s", found.reason)
        held = _contents(message)
        task_id, name = (held.headers.get("id"), held.headers.get("task")) if held else (None, None)
        known = isinstance(task_id, str) and 0 < len(task_id) <= 255 and isinstance(name, str)  # noqa: PLR2004 shortstr
        failure: Exception = InvalidTaskError(found.reason)
        if found.kind is Kind.UNREGISTERED:
            failure = NotRegistered(name)
        self.bury(
            message,
            found.reason,
            then=partial(self._mark, held, message.properties, failure) if known and held else None,
        )
        if known and self.event_dispatcher:
            self.event_dispatcher.send("task-failed", uuid=task_id, exception=repr(failure), traceback="")
        if found.kind is Kind.UNREGISTERED:
            signals.task_unknown.send(sender=self, message=message, exc=error or failure, name=name, id=task_id)
        else:
            signals.task_rejected.send(sender=self, message=message, exc=error or failure)

    def bury(self, message: Any, reason: str, then: Callable[[], None] | None = None) -> None:  # noqa: ANN401 kombu's
        """Make the message a dead letter: publish it, acknowledge it, and do `then` on the forwarder's thread."""
        queue = self.queue_of(message)
        self.forwarder.send(
            message_copy.letter(
                message,
                dead_letters=dead_letter_queue(self.app),
                reason=reason,
                queue=home_queue(queue),
                worker=self.hostname,
                time=time.time(),
                attempts=self._past(message).attempts,
                then=then,
            )
        )

    def give_back(self, message: Any) -> None:  # noqa: ANN401 kombu's message
        """To the end of its queue, because its task wants so; a dead letter when it does so for ever."""
        past = self._past(message)
        limit = self.app.conf.proj_requeues
        if past.requeues >= limit:
            self.bury(message, f"Its task gave it back {limit} times (proj_requeues) and once more.")
        else:
            self._move_home(message, {header_names.REQUEUES: past.requeues + 1})

    def strike(self, message: Any, guilt: str) -> str | None:  # noqa: ANN401 kombu's message
        """To the end of its queue with one strike more; the reason when it was the last and made it a dead letter."""
        struck = self._past(message).strikes + 1
        if struck >= self.app.conf.proj_strikes:
            reason = f"It killed its pool process {struck} times (proj_strikes), last by {guilt}."
            self.bury(message, reason)
            return reason
        logger.warning("A task killed its pool process by %s. It is tried again.", guilt)
        self._move_home(message, {header_names.STRIKES: struck})
        return None

    def queue_of(self, message: Any) -> str:  # noqa: ANN401 kombu's message
        """The queue from which it came."""
        info = message.delivery_info
        if "queue" in info:
            return str(info["queue"])
        tag = info.get("consumer_tag")
        if tag not in self._queues:
            self._queues.update({value: name for name, value in self.task_consumer._active_tags.items()})  # noqa: SLF001 kombu tells nowhere else
        return self._queues.get(tag) or str(self.app.conf.task_default_queue)

    # --- How ------------------------------------------------------------------------------------------

    def _move_home(self, message: Any, headers: dict[str, int]) -> None:  # noqa: ANN401 kombu's message
        past = self._past(message)
        queue = home_queue(self.queue_of(message))
        headers = {**headers, header_names.REDELIVERIES: past.vanished}
        self.forwarder.send(message_copy.copy(message, queue=queue, headers=headers, ours=False))

    def _past(self, message: Any) -> redeliveries.Past:  # noqa: ANN401 kombu's message
        identity = message.headers.get("id")
        return redeliveries.past(
            message.headers,
            redelivered=bool(message.delivery_info.get("redelivered")),
            survived=self._survived[identity] if isinstance(identity, str) else 0,
        )

    def _mark(self, held: Contents, properties: Mapping[str, Any], failure: Exception) -> None:
        """Record the failure for who waits for the result; on the forwarder's thread."""
        where = {name: properties.get(name) for name in ("reply_to", "correlation_id")}
        request = Context({**held.headers, **_embedded(held), "args": held.args, "kwargs": held.kwargs, **where})
        self.app.backend.mark_as_failure(held.headers["id"], failure, request=request)

    def _on_delivered(self, moved: message_copy.Parcel) -> None:
        """On the forwarder's thread: the copy is safe."""
        self._moved.append(moved)
        self.call_soon(self._settle)

    def _settle(self) -> None:
        """Acknowledge the originals of the copies that are safe."""
        while self._moved:
            message = self._moved.popleft().original
            if not message.acknowledged:
                message.ack_log_error(logger, self.connection_errors)


def _contents(message: Any) -> Contents | None:  # noqa: ANN401 kombu's message
    try:
        return contents(message)
    except Exception:  # noqa: BLE001 it was refused because it holds nothing, or nothing that can be read
        headers = message.headers
        return Contents(headers=headers, args=(), kwargs={}, embed={}) if isinstance(headers, dict) else None


def _embedded(held: Contents) -> dict[str, Any]:
    return dict(held.embed) if isinstance(held.embed, dict) else {}
