"""Inspection of one worker's messages: each becomes a `Delivery` when it arrives, and a plain one a task message."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proj.delivery.consuming.held_messages import Survivals, name_of_copy
from proj.delivery.consuming.plain_messages import TaskMessage, convert, tasks_for_plain_messages
from proj.delivery.consuming.receiving import Delivery
from proj.delivery.consuming.redeliveries import history
from proj.delivery.validation.limits import Limits
from proj.delivery.validation.message import Inspected, Refusal, inspect
from proj.printable import shown
from proj.queues import home_queue

if TYPE_CHECKING:
    from celery import Celery

    from proj.broker.version import BrokerVersion
    from proj.delivery.consuming.receiving import KeptMessage


class Inspection:
    """Inspects the messages of one worker."""

    def __init__(self, app: Celery, *, worker: str) -> None:
        """Read the settings of `app`; `worker` is the worker's node name.

        Raises:
            InvalidConfiguration: `proj_adopt` cannot be used.
        """
        self._app = app
        self._worker = worker
        #: Tasks that are registered later are in it, too.
        self._tasks = app.tasks
        conf = app.conf
        self.limits = Limits(
            deepest=conf.proj_deepest, largest_bytes=conf.proj_largest_bytes, latest_eta_s=conf.proj_latest_eta_s
        )
        #: The task that runs the plain messages of each queue, by its name.
        self._plain_tasks = tasks_for_plain_messages(conf.proj_adopt, tasks=self._tasks, accepted=conf.accept_content)
        self.survivals = Survivals()

    def inspect(self, message: KeptMessage, *, queue: str, version: BrokerVersion) -> Delivery:
        """All that is to be known of a message from `queue` of a broker of this `version`."""
        try:
            inspected = self._inspected(message, queue)
        except Exception as error:  # noqa: BLE001 whatever a message makes of us, it is kept
            refusal = Refusal(f"It cannot be inspected: {type(error).__name__}: {shown(error)}.")
            inspected = Inspected(contents=None, refusal=refusal)
        headers = message.headers
        redelivered = bool(message.delivery_info.get("redelivered"))
        survived = self.survivals.times(name_of_copy(headers)) if redelivered else 0
        return Delivery(
            queue=queue,
            history=history(headers, redelivered=redelivered, version=version, survived=survived),
            contents=inspected.contents,
            refusal=inspected.refusal,
        )

    def _inspected(self, message: KeptMessage, queue: str) -> Inspected:
        refusal = self._convert_plain(message, home_queue(queue)) if self._plain_tasks else None
        if refusal is not None:
            return Inspected(contents=None, refusal=refusal)
        return inspect(
            message,
            tasks=self._tasks,
            limits=self.limits,
            now=time.time(),
            zone=self._app.timezone,
            worker=self._worker,
            body_error=message.body_error,
        )

    def _convert_plain(self, message: KeptMessage, queue: str) -> Refusal | None:
        """Make a plain message a task message if a task runs those of `queue`; why that cannot be, or None.

        Copies of the message have its body and properties as they came, and the id that it gets here.
        """
        task = self._plain_tasks.get(queue)
        if task is None:
            return None
        converted = convert(message, task=task, limits=self.limits, body_error=message.body_error)
        if isinstance(converted, TaskMessage):
            converted.replace(message)
            return None
        return converted
