"""Celery's AMQP class with confirms: every task goes through a confirming producer, monitoring events do not wait."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import kombu
from celery.app.amqp import AMQP, _callback_publish_retry  # type: ignore[attr-defined] # celery-types lacks the second
from celery.events.dispatcher import EventDispatcher

from proj.broker.connection import TRANSPORT_OPTIONS, failures
from proj.broker.permissions.undeclared import UndeclaringConnection
from proj.delivery.publishing.deadline import Deadline, PublishOperation, current_operation, publishing
from proj.delivery.publishing.producer import ConfirmingProducer
from proj.delivery.publishing.producer_pool import ConfirmingProducerPool, DeadlineConnectionPool
from proj.delivery.publishing.retry_policy import chosen_policy
from proj.delivery.publishing.routes.delayed_delivery import ensure_route, is_delayed
from proj.delivery.settings import setting
from proj.delivery.validation.limits import is_canvas_deeper
from proj.environment import in_random_order
from proj.errors import PublishRefused
from proj.queues import exchange_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from celery import Celery
    from celery.app.amqp import task_message
    from kombu import Exchange
    from kombu.message import Message
    from kombu.transport.base import StdChannel

    from proj.delivery.publishing.in_flight_producer import InFlightProducer
    from proj.delivery.publishing.retry_policy import RetryPolicy

    class _EventDispatcher(EventDispatcher):
        """Celery's class, with a name that its stub lacks."""

        buffer_while_offline: bool

        def _prepare_event(self, kind: str, fields: dict[str, object]) -> dict[str, object]: ...

    class _AMQP(AMQP):
        """Celery's class, with the names that its stub lacks; the contract tests check them."""

        _event_dispatcher: _EventDispatcher

        def _create_task_sender(self) -> Callable[..., object]: ...

else:
    _AMQP = AMQP

logger = logging.getLogger(__name__)


def task_operation(app: Celery, task_id: str, options: Mapping[str, Any]) -> PublishOperation:
    """The publish operation of a task, from its first declaration to its confirm; `options` are Celery's.

    A task that publishes another one waits for a full queue until the deadline: no person waits for it, and a retry
    that cannot be published would make its task a dead letter.
    """
    amqp = cast("ConfirmingAMQP", app.amqp)
    of_call, retry = options.get("retry_policy"), options.get("retry")
    return PublishOperation(
        f"task {task_id}",
        task_id,
        Deadline(setting(app, "proj_publish_timeout_s")),
        mandatory=True,
        full_timeout_s=None if app.current_worker_task else setting(app, "proj_queue_full_timeout_s"),
        policy=chosen_policy(app, of_call) if of_call else amqp.policy_of_app,
        retry=amqp.retries if retry is None else bool(retry),
    )


class SpreadConnection(kombu.Connection):
    """kombu's connection, which begins with any of several URLs: with the first of them, one node would get all."""

    def __init__(self, hostname: str | list[str] = "localhost", *words: object, **options: object) -> None:
        """As kombu's, whose first parameter is a URL, or several with `;` between them or in a list."""
        urls = ";".join(hostname) if isinstance(hostname, (list, tuple)) else hostname
        super().__init__(in_random_order(urls) if urls else urls, *words, **options)  # type: ignore[arg-type] # as given


class _UndeclaringSpreadConnection(SpreadConnection, UndeclaringConnection):
    """One that does both."""


class _ConnectionClass:
    """The class of an app's connections: it spreads over several URLs, and declares nothing where the app says so."""

    def __get__(self, amqp: ConfirmingAMQP | None, _owner: type) -> type[kombu.Connection]:
        declares = amqp is None or setting(amqp.app, "proj_declare")
        return SpreadConnection if declares else _UndeclaringSpreadConnection


class ConfirmingAMQP(_AMQP):
    """Celery's own class, with confirms."""

    #: Celery makes every connection of the app with it.
    Connection: Any = _ConnectionClass()

    def Producer(  # type: ignore[override] # a class in Celery, which only calls it # noqa: N802 Celery's own name
        self,
        channel: kombu.Connection | StdChannel,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        *,
        serializer: str | None = None,
        auto_declare: bool | None = None,
        compression: str | None = None,
        on_return: Callable[[Exception, Exchange | str, str, Message], None] | None = None,
    ) -> ConfirmingProducer:
        """A confirming producer with the settings of this app."""
        conf = self.app.conf
        producer = ConfirmingProducer(
            channel,
            exchange,
            routing_key,
            serializer=serializer,
            auto_declare=auto_declare,
            compression=compression,
            on_return=on_return,
        )
        producer.timeout_s = setting(self.app, "proj_publish_timeout_s")
        producer.full_timeout_s = setting(self.app, "proj_queue_full_timeout_s")
        producer.beside = self._beside
        producer.unconfirmed_exchanges = frozenset(
            {conf.event_exchange, f"{conf.control_exchange}.pidbox", f"reply.{conf.control_exchange}.pidbox"}
        )
        return producer

    @cached_property
    def policy_of_app(self) -> RetryPolicy | None:
        """The retry policy that the app has chosen, read once as Celery does it."""
        return chosen_policy(self.app, None)

    @cached_property
    def retries(self) -> bool:
        """Whether a publish is tried again where its caller says nothing, read once as Celery does it."""
        return bool(self.app.conf.task_publish_retry)

    @property
    def producer_pool(self) -> ConfirmingProducerPool:
        """The pool with which `delay`, Celery's results over AMQP and this package publish."""
        # One for each process, because a forked process must not use the connections of its parent.
        found: ConfirmingProducerPool | None = self.__dict__.get(_pool_of_process())
        if found is None:
            # `app.pool` does this too, and has this limit. But `app.pool` cannot be made by several threads at once:
            # kombu goes through all pools of the process meanwhile (kombu.pools.set_limit).
            self.app._ensure_after_fork()  # type: ignore[attr-defined] # a contract test checks it # noqa: SLF001 Celery has no public name for it
            connection = self.app.connection_for_write()
            if connection.transport.driver_type == "amqp":
                connection = self.app.connection_for_write(transport_options=self._transport_options)
            found = self._add_pool(_pool_of_process(), connection)
        return found

    publisher_pool = producer_pool

    def close(self) -> None:
        """Close the pool; another is made when it is needed."""
        for name in [name for name in self.__dict__ if name.startswith(_pool_of_process())]:
            pool: ConfirmingProducerPool = self.__dict__.pop(name)
            pool.force_close_all()
            pool.connections.force_close_all()

    @property
    def _transport_options(self) -> dict[str, Any]:
        # Our channels confirm by themselves. Without confirms of the connection, events on it do not wait.
        options = self.app.conf.broker_transport_options or {}
        return {**TRANSPORT_OPTIONS, **options, "confirm_publish": False}

    def _add_pool(self, name: str, connection: kombu.Connection) -> ConfirmingProducerPool:
        limit = self.app.conf.broker_pool_limit or 0
        connections = DeadlineConnectionPool(connection, limit=limit)
        pool = ConfirmingProducerPool(connections, limit=limit, Producer=self.Producer)
        # Several threads may come here at once; the pool of one of them serves all. There is no lock, because a
        # forked process might inherit it locked by a thread that it does not have.
        found: ConfirmingProducerPool = self.__dict__.setdefault(name, pool)
        return found

    def _beside(self, connection: kombu.Connection) -> AbstractContextManager[ConfirmingProducer]:
        """A producer on another connection to the broker of this one."""
        pool, address = self.producer_pool, connection.as_uri(include_password=True)
        if pool.connections.connection.as_uri(include_password=True) != address:
            name = f"{_pool_of_process()} {address}"
            found: ConfirmingProducerPool | None = self.__dict__.get(name)
            pool = found or self._add_pool(
                name, self.Connection(**{**connection.info(), "transport_options": self._transport_options})
            )
        return pool.acquire(block=True)

    def _create_task_sender(self) -> Callable[..., object]:
        send = super()._create_task_sender()

        def send_task_message(producer: kombu.Producer, name: str, message: task_message, **options: object) -> object:
            confirming = self._confirming(producer)
            if confirming is None:
                return send(producer, name, message, **options)
            task_id = str(message.properties.get("correlation_id") or "")
            self._refuse_deep(task_id, message)
            operation = current_operation() or task_operation(self.app, task_id, options)
            options.setdefault("event_dispatcher", self.sent_events)
            with publishing(operation), _celerys_retry(is_wanted=operation.policy is not None):
                if is_delayed(options.get("exchange")):
                    self._ensure_route(confirming, str(options["routing_key"]), operation)
                return send(confirming, name, message, **options)

        return send_task_message

    def _refuse_deep(self, task_id: str, message: task_message) -> None:
        """Refuse a canvas that a worker would not run.

        Raises:
            PublishRefused: it has more levels than `proj_deepest` allows.
        """
        deepest = setting(self.app, "proj_deepest")
        if is_canvas_deeper(message.body, deepest):
            raise PublishRefused(
                f"Task {task_id} cannot be published: its canvas is nested deeper than the {deepest} levels that "
                "proj_deepest allows. Nothing of it was sent. Make its chain of groups shorter.",
                (task_id,),
            )

    @property
    def sent_events(self) -> SentEvents:
        """Publishes the events that tasks were sent."""
        return SentEvents(self._event_dispatcher)

    def _confirming(self, producer: kombu.Producer) -> ConfirmingProducer | None:
        """The producer, or a confirming one on its connection; None when its broker has no confirms."""
        if isinstance(producer, ConfirmingProducer):
            return producer
        connection = producer.connection
        if connection is None or connection.transport.driver_type != "amqp":
            return None
        return self.Producer(connection, serializer=producer.serializer, auto_declare=False)

    def _ensure_route(self, producer: ConfirmingProducer, routing_key: str, operation: PublishOperation) -> None:
        connection = producer.connection
        operation.until_done(
            lambda: ensure_route(self.app, connection, routing_key),
            connection,
            recover=lambda: producer.reset(connection),
        )


@contextmanager
def _celerys_retry(*, is_wanted: bool) -> Iterator[None]:
    """Keep Celery's own retry of what follows a finished task (links, the next of a chain), or switch it off.

    It tries as often as the retry policy says, by default three times within a second. Where no policy was chosen, a
    confirming producer tries until the deadline.
    """
    token = _callback_publish_retry.set(_callback_publish_retry.get() and is_wanted)
    try:
        yield
    finally:
        _callback_publish_retry.reset(token)


class SentEvents:
    """Dispatches the event that a task was sent: once, because no publish may wait for a monitor.

    Where a retry policy was chosen, the event is tried as often as it says.
    """

    def __init__(self, dispatcher: _EventDispatcher) -> None:
        """Publish with Celery's dispatcher."""
        self._dispatcher = dispatcher

    def publish(
        self,
        kind: str,
        fields: dict[str, object],
        producer: ConfirmingProducer,
        *,
        retry: bool = False,
        retry_policy: Mapping[str, object] | None = None,
    ) -> None:
        """Publish the event over `producer`, without confirm."""
        if fields.get("queue") is None and (exchange := exchange_of(str(fields.get("routing_key")))):
            # A delayed task for one of our exchanges: only its key names the exchange.
            fields = {**fields, "queue": exchange}
        producer.note_event(fields)
        # Otherwise Celery's dispatcher keeps for ever what it could not send, and does not raise.
        self._dispatcher.buffer_while_offline = False
        try:
            if (operation := current_operation()) is not None and operation.policy is not None:
                self._dispatcher.publish(kind, fields, producer, retry=retry, retry_policy=retry_policy)
            else:
                self._dispatcher.publish(kind, fields, producer)
        except failures(producer.connection):
            logger.debug("The event %s was not sent.", kind, exc_info=True, extra={"action": "event_not_sent"})

    @property
    def is_stock(self) -> bool:
        """Whether an event is published as Celery does it, so that `keep` may take its place."""
        return type(self._dispatcher).publish is EventDispatcher.publish

    def keep(self, kind: str, fields: dict[str, object], producer: InFlightProducer) -> None:
        """Add the event to those that are sent together; an earlier one was published over this producer."""
        producer.keep_event(self._dispatcher._prepare_event(kind, fields))  # noqa: SLF001 Celery has no public name for it


def _pool_of_process() -> str:
    return f"proj_producer_pool_{os.getpid()}"
