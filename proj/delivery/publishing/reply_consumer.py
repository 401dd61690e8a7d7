"""Reply consumer: waits for results over AMQP, and goes on over another connection where its own is lost.

Celery's own connects again only while it waits for a result, and only once. With a connection that was lost before, it
raises for each further result.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celery.backends.rpc import RPCBackend

from proj.broker.connection import TRANSPORT_OPTIONS, ensure_connected, losses

if TYPE_CHECKING:
    import kombu

    class _ResultConsumer:
        """Celery's class, which celery-types leaves out; the contract tests check the names."""

        app: Any
        accept: Any
        _connection: kombu.Connection | None
        _consumer: kombu.Consumer | None
        _connection_errors: tuple[type[Exception], ...]
        _no_ack: bool

        def _create_binding(self, task_id: str | None) -> kombu.Queue: ...
        def on_state_change(self, meta: object, message: object) -> None: ...
        def consume_from(self, task_id: str) -> None: ...
        def drain_events(self, timeout: float | None = None) -> None: ...
        def on_after_fork(self) -> None: ...

else:
    _ResultConsumer = RPCBackend.ResultConsumer

logger = logging.getLogger(__name__)


class ReplyConsumer(_ResultConsumer):
    """Celery's result consumer, over as many connections as it takes."""

    #: What was consumed from over a connection that was lost; None while it is connected.
    _lost: list[kombu.Queue] | None = None
    #: Of the other reply queues that this process had, whose results may still come.
    _others: tuple[kombu.Consumer, ...] = ()

    def consume_from(self, task_id: str) -> None:
        """Wait for the result of this task too.

        Raises:
            ConnectionError: no broker answers.
        """
        try:
            if self._lost is None:
                super().consume_from(task_id)
        except self._connection_errors as error:
            self._lose(error)
        if self._lost is not None:
            self._connect_again()

    def drain_events(self, timeout: float | None = None) -> None:
        """Read what has come, for at most `timeout` seconds.

        Raises:
            TimeoutError: nothing came.
            ConnectionError: no broker answers; Celery's drainer tries again.
        """
        if self._lost is not None:
            self._connect_again()
        if self._connection is None:
            super().drain_events(timeout)
            return
        try:
            self._connection.drain_events(timeout=timeout)
        except TimeoutError:
            raise
        except self._connection_errors as error:
            self._lose(error)
            self._connect_again()

    def close(self) -> None:
        """Close the connection; the next result, also one that was awaited before, is awaited over another.

        The broker is not told, because a node that hangs would not answer.
        """
        if self._connection is not None:
            self._drop()

    def on_after_fork(self) -> None:
        """Forget the connection of the parent process."""
        self._lost, self._others = None, ()
        super().on_after_fork()

    def _lose(self, error: BaseException) -> None:
        logger.warning(
            "The connection on which results come was lost (%s); connecting again.",
            error,
            extra={"action": "result_connection_lost"},
        )
        self._drop()

    def _drop(self) -> None:
        """Close the connection, and remember its queues for the next one."""
        consumers = (*self._others, *(() if self._consumer is None else (self._consumer,)))
        self._lost = [queue for consumer in consumers for queue in consumer.queues]
        if self._connection is not None:
            self._connection.collect()
        self._connection, self._consumer, self._others = None, None, ()

    def _connect_again(self) -> None:
        connection = self.app.connection_for_read(transport_options=TRANSPORT_OPTIONS)
        self._connection_errors = losses(connection)
        try:
            ensure_connected(connection)
            queue = self._create_binding(None)
            self._consumer = self._consuming(connection, queue)
        except self._connection_errors as error:
            connection.collect()
            raise ConnectionError(f"results cannot be awaited now: {error}") from error
        self._connection = connection
        others = {each.name: each for each in self._lost or ()}
        others.pop(queue.name, None)
        self._lost = None
        for other in others.values():
            self._consume_other(connection, other)

    def _consume_other(self, connection: kombu.Connection, queue: kombu.Queue) -> None:
        """Consume from a reply queue that this process had before, if its node is not down."""
        try:
            self._others += (self._consuming(connection, queue),)
        except self._connection_errors as error:
            logger.warning(
                "Results in the reply queue %s cannot be received now (%s). Its node is probably down.",
                queue.name,
                error,
                extra={"action": "reply_queue_away"},
            )

    def _consuming(self, connection: kombu.Connection, queue: kombu.Queue) -> kombu.Consumer:
        # On a channel of its own, because the broker closes that on which it refuses a queue.
        consumer = connection.Consumer(
            [queue],
            channel=connection.channel(),
            callbacks=[self.on_state_change],
            no_ack=self._no_ack,
            accept=self.accept,
        )
        consumer.consume()
        return consumer
