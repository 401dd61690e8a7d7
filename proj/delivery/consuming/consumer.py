"""The worker's consumer that keeps every message: what cannot be run becomes a dead letter with its reason.

Everything that Celery would acknowledge and forget, reject into nowhere or die of is published to the dead-letter
queue, confirmed, and only then acknowledged.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any

from celery.exceptions import WorkerShutdown
from celery.utils.log import get_logger
from celery.worker import state
from celery.worker.consumer import Consumer as StockConsumer

from proj.delivery import header_names
from proj.delivery.broker_errors import mismatch
from proj.delivery.consuming import message_copy, receiving, redeliveries
from proj.delivery.consuming.disposition import Recourse
from proj.delivery.consuming.forwarder import ANSWER_TIMEOUT_S, Forwarder, declare
from proj.delivery.consuming.plain_messages import JSON, Adopted, adopted, adopters
from proj.delivery.consuming.prefetch import Fitting
from proj.delivery.consuming.quarantine import Suspects
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.printable import shown
from proj.delivery.unreadable_properties import tolerate
from proj.delivery.validation.limits import Limits
from proj.delivery.validation.message import Kind, Refusal, contents, refusal
from proj.errors import EXIT_FAILED
from proj.queues import home_queue, is_broadcast_queue, quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu import Connection

STOCK_REQUEST = "celery.worker.request:Request"
REQUEST = "proj.delivery.consuming.request:Request"

logger = get_logger(__name__)


class Consumer(Recourse, Fitting, StockConsumer):  # type: ignore[misc] # Celery has no types
    """Celery's consumer with an inspection before it and a dead letter after it; over RabbitMQ only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 Celery's arguments
        """Read the settings.

        Raises:
            InvalidConfiguration: `proj_adopt` cannot be used.
        """
        self._moved: deque[message_copy.Parcel] = deque()
        self._queues: dict[str, str] = {}
        #: Connections that were lost while this worker had a task in hand, by its id.
        self._survived: Counter[str] = Counter()
        self._handler: Callable[[Any], Any] | None = None
        super().__init__(*args, **kwargs)
        conf = self.app.conf
        self._limits = Limits(
            deepest=conf.proj_deepest, largest_bytes=conf.proj_largest_bytes, latest_eta_s=conf.proj_latest_eta_s
        )
        #: The task that adopts the plain messages of each queue, by its name.
        self._adopters = adopters(conf.proj_adopt, tasks=self.app.tasks, accepted=conf.accept_content)
        self.forwarder = Forwarder(self._connect_forwarder, self._on_delivered)
        self.suspects = Suspects(self, pending=lambda: self.forwarder.pending)
        #: Receives a message of py-amqp, from wherever it was got.
        self.receive: Callable[[Any], None] = self._not_consuming

    # --- Hooks of Celery's consumer ------------------------------------------------------------------

    def start(self) -> None:
        """As the stock one, but a queue that exists with other arguments ends the worker with a sentence."""
        try:
            super().start()
        except self.channel_errors as error:
            _end_when_mismatched(error)
            raise

    def connect(self) -> Any:  # noqa: ANN401 kombu's connection
        """The connection to consume from, which no message's properties can break."""
        connection = super().connect()
        if connection.transport.driver_type == "amqp":
            tolerate(connection.connection)
        return connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """As Celery's, but the connection of monitoring events, which is as dead, is not closed in order first.

        Raises:
            WorkerShutdown: a queue exists with other arguments, so that no other attempt would end better.
        """
        _end_when_mismatched(exc)
        beneath = getattr(self.event_dispatcher, "connection", None)
        if beneath is not None:
            beneath.collect(socket_timeout=1.0)
        super().on_connection_error_after_connected(exc)

    def update_strategies(self) -> None:
        """Celery's strategies, with our requests for the tasks that have the stock ones."""
        if self.connection.transport.driver_type == "amqp":
            for task in self.app.tasks.values():
                if task.Request == STOCK_REQUEST:
                    task.Request = REQUEST
        super().update_strategies()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:  # noqa: ANN401 as above
        """Celery's handler of a message, behind ours; each connection has one."""
        stock: Callable[[Any], Any] = super().create_task_handler(*args, **kwargs)
        if self.connection.transport.driver_type != "amqp":
            return stock
        self._handler = stock
        self._queues = {}
        self.receive = receiving.receiver(
            self.task_consumer, largest_bytes=self._limits.largest_bytes, label=self._label
        )
        # kombu asks for it by this name when it begins to consume, which is after this.
        self.task_consumer._receive_callback = self.receive  # noqa: SLF001 there is no other hook before kombu's own
        self.forwarder.start()
        self.forwarder.ask(partial(_declare_ours, dead_letters=dead_letter_queue(self.app)))
        self.suspects.begin()
        return self._on_message

    def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ANN401 kombu's message
        """Keep what Celery would acknowledge."""
        self.refuse(message, Refusal(f"It cannot be decoded: {shown(exc)}.", Kind.UNDECODABLE), exc)

    def on_unknown_message(self, body: Any, message: Any) -> None:  # noqa: ANN401, ARG002 Celery's signature
        """Keep what Celery would reject."""
        self.refuse(message, Refusal("It is no message of Celery.", Kind.FOREIGN))

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ANN401, ARG002 as above
        """Keep what Celery would reject."""
        self.refuse(message, Refusal(f"No task is registered as {shown(exc)}.", Kind.UNREGISTERED), exc)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:  # noqa: ANN401, ARG002 as above
        """Keep what Celery would reject."""
        self.refuse(message, Refusal(f"It is no valid task message: {shown(exc)}."), exc)

    def on_close(self) -> None:
        """As the stock one: the connection is lost. What was in hand comes again, and did not kill this worker."""
        self._survived.update(request.id for request in tuple(state.reserved_requests))
        super().on_close()

    def shutdown(self) -> None:
        """Publish and acknowledge what is still to be, while there is a connection."""
        self.forwarder.stop()
        self._settle()
        super().shutdown()

    # --- What becomes of a message ---------------------------------------------------------------------

    def adopt(self, message: Any) -> Refusal | None:  # noqa: ANN401 kombu's message
        """Make a plain message one for the task that adopts its queue, if there is one; why that cannot be, or None.

        What is published of it again, in whichever queue, has its body and properties still, and then an id.
        """
        task = self._adopters.get(home_queue(self.queue_of(message))) if self._adopters else None
        if task is None:
            return None
        found = adopted(message, task=task, limits=self._limits)
        if isinstance(found, Adopted):
            message.properties = {**message.properties, "message_id": found.id}
            message.headers, message.body = found.headers, found.body
            message.content_type, message.content_encoding = JSON, "utf-8"
            return None
        return found

    # --- How ------------------------------------------------------------------------------------------

    def _on_message(self, message: Any) -> None:  # noqa: ANN401 kombu's message
        try:
            self._keep(message)
        except self.connection_errors + self.channel_errors:
            # Not the message's fault: the connection is made anew, and the broker gives it again.
            raise
        except Exception as error:
            logger.exception("Celery failed at a message.")
            self.bury(message, f"Celery failed at it: {type(error).__name__}: {shown(error)}.")

    def _keep(self, message: Any) -> None:  # noqa: ANN401 kombu's message
        found = self.adopt(message) or self._inspected(message)
        if found is not None:
            self.refuse(message, found)
            return
        course = self._course(message)
        if course is redeliveries.Course.RUN:
            self._handler(message)  # type: ignore[misc] # set before anything is consumed
        elif course is redeliveries.Course.BURY:
            limit = self.app.conf.proj_strikes
            reason = f"It killed the main process of its worker {limit} times (proj_strikes) while it ran alone."
            if is_broadcast_queue(self.queue_of(message)):
                reason = f"The main process of its worker died {limit} times (proj_strikes) with it in hand."
            self.bury(message, reason)
        else:
            past, queue = self._past(message), self.queue_of(message)
            suspect = course is redeliveries.Course.SUSPECT
            target = quarantine_queue(queue) if suspect else home_queue(queue)
            logger.warning("A message came back from a worker that vanished; it goes to %s.", target)
            headers = {header_names.REDELIVERIES: past.vanished}
            self.forwarder.send(message_copy.copy(message, queue=target, headers=headers, ours=suspect))

    def _inspected(self, message: Any) -> Refusal | None:  # noqa: ANN401 kombu's message
        return refusal(
            message,
            tasks=self.app.tasks,
            limits=self._limits,
            now=time.time(),
            zone=self.app.timezone,
            worker=self.hostname,
        )

    def _course(self, message: Any) -> redeliveries.Course:  # noqa: ANN401 kombu's message
        past = self._past(message)
        queue = self.queue_of(message)
        held = contents(message)
        task = self.app.tasks[held.headers["task"]]  # type: ignore[union-attr] # it was inspected
        if not task.acks_late:
            # It is acknowledged when it begins, so what comes back never began.
            return redeliveries.Course.RUN
        return redeliveries.course(
            past,
            alone=queue != home_queue(queue),
            limit=self.app.conf.proj_strikes,
            own=is_broadcast_queue(queue),
        )

    def _label(self, message: Any) -> None:  # noqa: ANN401 kombu's message
        message.keeper = self
        message_copy.restore_origin(message)

    def _connect_forwarder(self) -> Connection:
        options = {"read_timeout": ANSWER_TIMEOUT_S, "write_timeout": ANSWER_TIMEOUT_S, "confirm_publish": True}
        # No heartbeat: nobody would beat it while there is nothing to do.
        return self.app.connection_for_write(heartbeat=0, transport_options=options)

    @staticmethod
    def _not_consuming(raw: Any) -> None:  # noqa: ANN401 py-amqp's message
        raise RuntimeError(f"There is no connection for {raw!r}.")


def _end_when_mismatched(error: Exception) -> None:
    """Do nothing, unless the broker says that a queue or an exchange exists with other arguments.

    Raises:
        WorkerShutdown: it does. Celery's loop would connect again for ever, or end with a stack trace.
    """
    found = mismatch(error)
    if found is not None:
        logger.critical("%s", found.message)
        raise WorkerShutdown(EXIT_FAILED) from error


def _declare_ours(connection: Any, *, dead_letters: str) -> None:  # noqa: ANN401 py-amqp's connection
    declare(connection, dead_letters)
