"""Celery's AMQP side with confirms: every task through a confirming producer, monitoring events without a wait."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP

from proj.broker.connection import TRANSPORT_OPTIONS, failures
from proj.delivery.publishing.deadline import Patience, Sending, current, sending
from proj.delivery.publishing.delayed_delivery import is_delayed, lay_way
from proj.delivery.publishing.producer import ConfirmingProducer
from proj.delivery.publishing.producer_pool import ConfirmingPool, PatientConnectionPool
from proj.delivery.settings import setting
from proj.queues import exchange_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu
    from celery import Celery

logger = logging.getLogger(__name__)


def task_sending(app: Celery, task_id: str) -> Sending:
    """The sending of a task of the app, from its first declaration to its confirm.

    What a task sends waits for a full queue as long as for anything: nobody waits for it, and a retry that cannot be
    published would make its task a dead letter.
    """
    return Sending(
        f"Task {task_id}",
        task_id,
        Patience(setting(app, "proj_publish_timeout_s")),
        mandatory=True,
        full_timeout_s=None if app.current_worker_task else setting(app, "proj_queue_full_timeout_s"),
    )


class Confirming:
    """What makes any subclass of Celery's `AMQP` confirm."""

    app: Celery

    def Producer(self, *args: Any, **options: Any) -> ConfirmingProducer:  # noqa: N802, ANN401 Celery's own name, kombu's arguments
        """A producer of ours with this app's settings."""
        conf = self.app.conf
        producer = ConfirmingProducer(*args, **options)
        producer.timeout_s = setting(self.app, "proj_publish_timeout_s")
        producer.full_timeout_s = setting(self.app, "proj_queue_full_timeout_s")
        producer.unconfirmed_exchanges = frozenset(
            {conf.event_exchange, f"{conf.control_exchange}.pidbox", f"reply.{conf.control_exchange}.pidbox"}
        )
        return producer

    @property
    def producer_pool(self) -> Any:  # noqa: ANN401 kombu's pool
        """The pool that `delay`, Celery's results over AMQP, and we ourselves publish with."""
        # One for each process, for a forked one must not use its parent's.
        found = self.__dict__.get(_pool_of_process())
        if found is None:
            # As `app.pool` does, and with its limit. That one cannot be made by several threads at once: kombu goes
            # through all pools of the process meanwhile (kombu.pools.set_limit).
            self.app._ensure_after_fork()  # type: ignore[attr-defined] # unlike celery-types # noqa: SLF001 Celery has no other name for it; a contract test names it
            limit = self.app.conf.broker_pool_limit or 0
            options = self.app.conf.broker_transport_options or {}
            connection = self.app.connection_for_write()
            if connection.transport.driver_type == "amqp":
                # Its channels confirm by themselves, so the connection need not, and events on it do not wait.
                connection = self.app.connection_for_write(
                    transport_options={**TRANSPORT_OPTIONS, **options, "confirm_publish": False}
                )
            pool = ConfirmingPool(PatientConnectionPool(connection, limit=limit), limit=limit, Producer=self.Producer)
            # Of threads that come here at once, one makes the pool of all. Without a lock, which a forked process
            # might find held by a thread that it does not have.
            found = self.__dict__.setdefault(_pool_of_process(), pool)
        return found

    publisher_pool = producer_pool

    def close(self) -> None:
        """Close the pool; another is made when it is needed."""
        pool = self.__dict__.pop(_pool_of_process(), None)
        if pool is not None:
            pool.force_close_all()
            pool.connections.force_close_all()

    def _retry_publish(self, publish: Callable[..., Any], *args: Any, **options: Any) -> Any:  # noqa: ANN401 as Celery's
        # Celery gives the callbacks of a finished task (links, the next of a chain) three attempts, within a second;
        # ours go on until the deadline.
        return publish(*args, **options)

    def _create_task_sender(self) -> Callable[..., Any]:
        send: Callable[..., Any] = super()._create_task_sender()  # type: ignore[misc] # the other base is Celery's

        def send_task_message(producer: kombu.Producer, name: str, message: Any, **options: Any) -> Any:  # noqa: ANN401 as Celery's
            ours = self._ours(producer)
            if ours is None:
                return send(producer, name, message, **options)
            now = current() or self._sending(message)
            options.setdefault("event_dispatcher", SentEvents(self._event_dispatcher))  # type: ignore[attr-defined] # Celery's
            with sending(now):
                if is_delayed(options.get("exchange")):
                    self._lay_way(ours, options["routing_key"], now)
                return send(ours, name, message, **options)

        return send_task_message

    def _ours(self, producer: kombu.Producer) -> kombu.Producer | None:
        """The producer, or one of ours on its connection; None when its broker has no confirms."""
        if getattr(producer, "confirms", False):
            return producer
        if producer.connection.transport.driver_type != "amqp":  # type: ignore[union-attr] # unlike celery-types
            return None
        return self.Producer(producer.connection, serializer=producer.serializer, auto_declare=False)

    def _sending(self, message: Any) -> Sending:  # noqa: ANN401 Celery's tuple
        task_id = str(message.properties.get("correlation_id") or "")
        return task_sending(self.app, task_id)

    def _lay_way(self, producer: Any, routing_key: str, now: Sending) -> None:  # noqa: ANN401 one of ours
        connection = producer.connection
        now.until_done(
            lambda: lay_way(self.app, connection, routing_key),
            connection,
            recover=lambda: producer.reset(connection),
        )


class ConfirmingAMQP(Confirming, AMQP):  # type: ignore[misc] # Celery has no types
    """Celery's own, with confirms."""


class SentEvents:
    """Dispatches the event that a task was sent, at once or never: nobody waits for a monitor."""

    def __init__(self, dispatcher: Any) -> None:  # noqa: ANN401 Celery's dispatcher
        """Publish as this one does."""
        self._dispatcher = dispatcher

    def publish(self, kind: str, fields: dict[str, Any], producer: kombu.Producer, **_: object) -> None:
        """Publish the event over `producer`, without confirm and without retry."""
        if fields.get("queue") is None and (exchange := exchange_of(str(fields.get("routing_key")))):
            # A delayed task for one of our exchanges, which only its key still names.
            fields = {**fields, "queue": exchange}
        # Celery's own keeps what it could not send for ever, when it is not told to raise.
        self._dispatcher.buffer_while_offline = False
        try:
            self._dispatcher.publish(kind, fields, producer)
        except failures(producer.connection):  # type: ignore[arg-type] # unlike celery-types
            logger.debug("An event %s could not be sent.", kind, exc_info=True)


def _pool_of_process() -> str:
    return f"proj_producer_pool_{os.getpid()}"
