"""Retry actions: sends a failed task again, as a new message with the same arguments, where these are known."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from amqp.basic_message import Message
from amqp.exceptions import AMQPError
from celery import uuid
from celery.backends.base import DisabledBackend
from celery.backends.rpc import RPCBackend
from kombu.serialization import dumps

from proj.broker.connection import connected, open_channel
from proj.dashboard.web.actions.handler import Asked
from proj.dashboard.web.actions.retry_decision import FAILED, Known, decide, question
from proj.delivery.dead_letters.app_queues import Routes
from proj.delivery.dead_letters.confirmed import publish_to_queue
from proj.errors import ProjError
from proj.journal.actions import recorded
from proj.printable import printable, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from celery import Celery

    from proj.dashboard.web.actions.handler import Fields
    from proj.dashboard.web.actions.retry_decision import Again

logger = logging.getLogger(__name__)

#: Seconds for which the same task is not sent again: a confirmation is as long valid.
REMEMBERED_S = 180.0


class Sources(NamedTuple):
    """Where a task is known from; any thread may call them."""

    #: The JSON of a task's attempts; a `Finder` has it.
    attempts: Callable[[str], Mapping[str, Any]]
    #: What Flower keeps of a task: its fields by name; None when it has forgotten it.
    flowers: Callable[[str], Mapping[str, Any] | None]
    #: Whether it is a dead letter; None when they could not be looked at.
    is_letter: Callable[[str], bool | None]


class RetryActions:
    """Sends failed tasks of an app again."""

    needs = ("task",)
    may_have: tuple[str, ...] = ()
    absent = "There is no such task."

    def __init__(self, app: Celery, sources: Sources, *, journal: Path | None) -> None:
        """Take the app, where tasks are known from, and the journal that this process writes, if any."""
        self._app = app
        self._sources = sources
        self._journal = journal
        self._sending = threading.Lock()
        #: The new id of each task that was sent again lately, and when.
        self._sent: dict[str, tuple[str, float]] = {}

    def ask(self, _verb: str, fields: Fields) -> Asked | None:
        """The question.

        Raises:
            ProjError: the task cannot be sent again faithfully.
        """
        known = self._known(fields["task"][0])
        return Asked(question=printable(question(known, decide(known))), count=1, yes="Send 1 task again")

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any]:
        """Send it, and record who did, with its old and its new id.

        Raises:
            ProjError: the task cannot be sent again faithfully, or was a moment ago.
        """
        (task_id,) = fields["task"]
        again = decide(self._known(task_id))
        with self._sending:
            self._refuse_twice(task_id)
            new_id = uuid()
            what = f"{task_id} as {new_id}, {again.name} to {again.queue}"
            with recorded(verb, what, journal=self._journal, who=who, is_writer=True) as done:
                try:
                    self._publish(again, new_id)
                except (AMQPError, OSError) as error:
                    self._sent[task_id], done.value = (new_id, time.monotonic()), count
                    raise ProjError(
                        f"The broker did not confirm the new task {new_id}, so it may have it or not "
                        f"({type(error).__name__}). Look for that id before you send {task_id} once more."
                    ) from error
                self._sent[task_id], done.value = (new_id, time.monotonic()), count
        return {"outcome": f"{again.name} {task_id} was sent again to {again.queue} as {new_id}.", "id": new_id}

    def _refuse_twice(self, task_id: str) -> None:
        now = time.monotonic()
        self._sent = {old: (new, at) for old, (new, at) in self._sent.items() if now - at < REMEMBERED_S}
        if task_id in self._sent:
            new, at = self._sent[task_id]
            raise ProjError(f"The task {task_id} was sent again {now - at:.0f} s ago, as {new}.")

    def _publish(self, again: Again, new_id: str) -> None:
        app = self._app
        made = app.amqp.as_task_v2(new_id, again.name, tuple(again.args), again.kwargs)
        content_type, content_encoding, body = dumps(made.body, app.conf.task_serializer)
        message = Message(
            body,
            content_type=content_type,
            content_encoding=content_encoding,
            application_headers=made.headers,
            correlation_id=new_id,
            delivery_mode=2,
        )
        with connected(app.connection_for_write(heartbeat=0)) as connection:
            publish_to_queue(open_channel(connection), message, again.queue, what=f"the task {new_id}")

    def _known(self, task_id: str) -> Known:
        attempts = self._sources.attempts(task_id)["attempts"]
        last: Mapping[str, Any] = attempts[-1] if attempts else {}
        flowers = self._sources.flowers(task_id) or {}
        state = last.get("state") or {"FAILURE": FAILED}.get(str(flowers.get("state")), flowers.get("state"))
        name = last.get("name") or flowers.get("name")
        return Known(
            id=task_id,
            state=state,
            name=name,
            queue=last.get("queue") or Routes(self._app).queue_of(name, ()),
            args=flowers.get("args"),
            kwargs=flowers.get("kwargs"),
            is_letter=self._sources.is_letter(task_id) if state == FAILED else False,
            stored=self._stored(task_id) if state == FAILED else None,
            pickled=self._app.conf.task_serializer in {"pickle", "application/x-python-serialize"},
        )

    def _stored(self, task_id: str) -> Mapping[str, Any] | None:
        """What the result backend keeps; None when there is none that another process can read, or it is away."""
        backend: Any = self._app.backend
        if isinstance(backend, (DisabledBackend, RPCBackend)):
            return None
        try:
            meta = backend.get_task_meta(task_id, cache=False)
        except Exception as error:  # noqa: BLE001 each backend raises its own
            logger.warning(
                "The result backend does not tell the arguments of %s: %s.",
                printable(task_id),
                shown(error),
                extra={"action": "arguments_not_read"},
            )
            return None
        return meta if isinstance(meta, dict) and meta.get("status") == "FAILURE" else None
