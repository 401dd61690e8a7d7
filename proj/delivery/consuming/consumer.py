"""The worker's consumer: it keeps every message, and a message that cannot be run becomes a dead letter.

Celery would acknowledge some of these messages and drop them, reject others into nothing, and die of a few. Here each
is published to the dead-letter queue with the reason, and acknowledged when the copy is confirmed.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from celery.utils.log import get_logger

from proj.broker.frame_reader import read_ahead
from proj.broker.version import BrokerVersion
from proj.delivery import stock
from proj.delivery.checked_settings import check_settings
from proj.delivery.consuming import redeliveries
from proj.delivery.consuming.disposition import Disposition
from proj.delivery.consuming.forwarder import Forwarder, own_connection
from proj.delivery.consuming.held_messages import HeldMessages
from proj.delivery.consuming.inspection import Inspection
from proj.delivery.consuming.prefetch import Prefetch
from proj.delivery.consuming.quarantine import Quarantine
from proj.delivery.consuming.receiving import KeptMessage, receive_kept_messages
from proj.delivery.consuming.redeliveries import Decision
from proj.delivery.dead_letters.keeper import DeadLetterKeeper
from proj.delivery.dispatch.acknowledgements import Acknowledgements
from proj.delivery.dispatch.mode import check_dispatch
from proj.delivery.pausing.pauses import Pauses
from proj.delivery.recovery.cancelled_consumers import consume_again_when_cancelled
from proj.delivery.recovery.consumer_tags import active_tags
from proj.delivery.recovery.final_errors import end_when_final, end_when_login_refused, wait_when_refused
from proj.delivery.recovery.monitoring_events import tell_queue
from proj.delivery.recovery.refusals import Refusals
from proj.delivery.recovery.rounds import Rounds
from proj.delivery.recovery.running import RUN
from proj.delivery.recovery.steps.tolerant_steps import TolerantConsumer
from proj.delivery.results.worker_results import WorkerResults
from proj.delivery.unreadable_properties import tolerate
from proj.delivery.validation.message import Kind, Refusal
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    import amqp
    import kombu
    from celery.worker.request import Request
    from kombu.asynchronous import Hub
    from kombu.message import Message
    from kombu.transport.pyamqp import Channel
    from vine import promise

    from proj.delivery.consuming.receiving import Delivery
    from proj.delivery.dispatch.dispatcher import Dispatcher

STOCK_REQUEST = "celery.worker.request:Request"
REQUEST = "proj.delivery.consuming.request:Request"

logger = get_logger(__name__)


class Consumer(TolerantConsumer):
    """Celery's consumer, which inspects each message first and loses none; over any broker but RabbitMQ, Celery's."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Read the settings.

        Raises:
            InvalidConfiguration, InvalidSetting: one of them cannot be used.
        """
        #: The queues of this connection, by their consumers' tags.
        self.queue_names: dict[str, str] = {}
        #: Holds messages until a slot is free, in adaptive dispatch; set by its bootstep.
        self.dispatcher: Dispatcher | None = None
        #: The version of RabbitMQ that the worker consumes from; 0.0 before the first connection.
        self.broker_version = BrokerVersion(0, 0)
        self.prefetch = Prefetch(self)
        self.rounds = Rounds(self)
        super().__init__(*args, **kwargs)
        self.refusals = Refusals(self.app.conf.broker_connection_max_retries)
        check_settings(self.app)
        check_dispatch(self.app)
        self._strikes: int = self.app.conf.proj_strikes
        self.inspection = Inspection(self.app, worker=self.hostname)
        self.disposition = Disposition(self)
        self.held = HeldMessages(self)
        self.acknowledgements = Acknowledgements(self)
        self.forwarder = Forwarder(partial(own_connection, self.app), self.disposition.on_confirmed)
        self.quarantine = Quarantine(self)
        self.pauses = Pauses(self)
        self.dead_letters = DeadLetterKeeper(self)
        # The stock request is replaced later than pool processes start.
        self.results = WorkerResults(
            self.app,
            self.hub,
            self.conninfo,
            requests={STOCK_REQUEST, REQUEST},
            may_wait=lambda: self.dispatcher is not None and self.dispatcher.waiting > 0,
        )
        self._run: Callable[[KeptMessage], None]

    # --- Hooks of Celery's consumer ------------------------------------------------------------------

    def start(self) -> None:
        """Run until the worker ends; what another connection would not mend ends it with one sentence."""
        try:
            super().start()
        except self.channel_errors as error:
            end_when_final(self, error)
            raise

    def connect(self) -> kombu.Connection:
        """Connect for consuming; a message whose properties cannot be read does not end the connection."""
        with end_when_login_refused(self):
            connection = super().connect()
        if _is_amqp(connection):
            tolerate(connection.connection)
            if self.hub is not None:
                read_ahead(connection, self.hub)
        return connection

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Connect again, unless it would not help (`WorkerShutdown`); the connection for events is dead too."""
        end_when_final(self, exc)
        wait_when_refused(self, exc)
        beneath = getattr(self.event_dispatcher, "connection", None)
        if beneath is not None:
            beneath.collect(socket_timeout=1.0)
        super().on_connection_error_after_connected(exc)

    def update_strategies(self) -> None:
        """Make Celery's strategies, with our requests for tasks that have the stock ones; over RabbitMQ only."""
        other, ours = (STOCK_REQUEST, REQUEST) if self.is_amqp else (REQUEST, STOCK_REQUEST)
        for task in self.app.tasks.values():
            if task.Request == other:
                task.Request = ours
        super().update_strategies()
        self.results.trace()

    def register_with_event_loop(self, hub: Hub) -> None:
        """Let the loop call Celery's steps, and acknowledge tasks when their results are confirmed."""
        super().register_with_event_loop(hub)
        self.results.register(hub)

    def create_task_handler(self, *args: type[promise], **kwargs: type[promise]) -> Callable[..., None]:
        """The handler of a message, which calls Celery's after the inspection; the loop asks for it once a connection.

        It does so before it consumes, so every message of the channel is a `KeptMessage`.
        """
        run: Callable[..., None] = super().create_task_handler(*args, **kwargs)
        if not self.is_amqp:
            return run
        self.broker_version = BrokerVersion.read(cast("Any", self.channel.connection).server_properties.get("version"))
        self._run = run
        self.refusals.forget_lock()
        self.queue_names = {}
        self.held.begin()
        self.acknowledgements.begin()
        self.pauses.begin()
        if self.dispatcher is not None:
            self.dispatcher.begin()
        receive_kept_messages(
            self.channel,
            disposition=self.disposition,
            unsettled=self.held.unsettled,
            largest_bytes=self.inspection.limits.largest_bytes,
        )
        consume_again_when_cancelled(self)
        self.results.start()
        self.forwarder.start()
        self.dead_letters.begin()
        self.quarantine.begin()
        self.rounds.begin()
        return self.on_kept_message

    def call_soon_ack(self, p: Callable[..., object], *args: object, **kwargs: object) -> object:
        """Write the acknowledgement of a kept message together with others; Celery's does the rest."""
        message = getattr(p, "__self__", None)
        if isinstance(message, KeptMessage) and p == message.ack_log_error and self.hub is not None and self.is_running:
            self.acknowledgements.add(message)
            return p
        return super().call_soon_ack(p, *args, **kwargs)

    def on_decode_error(self, message: Message, exc: Exception) -> None:
        """Keep a message that Celery would acknowledge."""
        if isinstance(message, KeptMessage):
            refusal = Refusal(f"It cannot be decoded: {shown(exc)}.", Kind.UNDECODABLE)
            self.disposition.refuse(message, refusal, exc)
        else:
            super().on_decode_error(message, exc)

    def on_unknown_message(self, body: object, message: Message) -> None:
        """Keep a message that Celery would reject."""
        if isinstance(message, KeptMessage):
            self.disposition.refuse(message, Refusal("It is no message of Celery.", Kind.FOREIGN))
        else:
            super().on_unknown_message(body, message)

    def on_unknown_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep a message that Celery would reject."""
        if isinstance(message, KeptMessage):
            refusal = Refusal(f"No task is registered as {shown(exc)}.", Kind.UNREGISTERED)
            self.disposition.refuse(message, refusal, exc)
        else:
            super().on_unknown_task(body, message, exc)

    def on_invalid_task(self, body: object, message: Message, exc: Exception) -> None:
        """Keep a message that Celery would reject."""
        if isinstance(message, KeptMessage):
            self.disposition.refuse(message, Refusal(f"It is no valid task message: {shown(exc)}."), exc)
        else:
            super().on_invalid_task(body, message, exc)

    def on_close(self) -> None:
        """Note the messages in hand when the connection is lost: they are redelivered, and did not kill this worker."""
        self.inspection.survivals.note(tuple(self.held.unsettled.values()))
        self.rounds.end()
        super().on_close()
        if self.dispatcher is not None:
            self.dispatcher.forget()

    def stop(self) -> None:
        """Stop consuming, and give back what waits for a slot."""
        # After a lost connection the broker has the messages already, and py-amqp may have no channel any more.
        if self.dispatcher is not None:
            with suppress(*self.connection_errors, *self.channel_errors, AttributeError):
                self.dispatcher.stop()
        if self.is_amqp:
            self.acknowledgements.write()
        super().stop()

    def shutdown(self) -> None:
        """Publish the last copies, acknowledge their originals and give the rest back, while there is a connection."""
        # Acknowledgements of tasks that have just ended.
        self.perform_pending_operations()
        self.results.stop()
        self.acknowledgements.write()
        are_ours = self.held.are_ours()
        if are_ours:
            self.held.copy_back()
        self.forwarder.stop()
        self.disposition.settle()
        if are_ours:
            self.held.give_back()
        super().shutdown()

    def apply_eta_task(self, task: Request) -> None:
        """Give the pool a task that is due."""
        if self.dispatcher is not None:
            self.dispatcher.apply(task)
        super().apply_eta_task(task)

    def _limit_move_to_pool(self, request: Request) -> None:
        """Give the pool a task that its rate limit lets through."""
        if self.dispatcher is not None:
            self.dispatcher.apply(request)
        super()._limit_move_to_pool(request)

    def add_task_queue(
        self,
        queue: str | kombu.Queue,
        exchange: str | kombu.Exchange | None = None,
        exchange_type: str | None = None,
        routing_key: str | None = None,
        **options: object,
    ) -> kombu.Queue:
        """Consume from one more queue, unless it is paused."""
        name = stock.queue_name(self.app.amqp.queues, queue)
        self.pauses.look(name)
        added = super().add_task_queue(queue, exchange, exchange_type, routing_key, **options)
        if self.dispatcher is not None:
            self.dispatcher.renew()
        self.pauses.look(name)
        return added

    def cancel_task_queue(self, queue: str | kombu.Queue) -> None:
        """Consume from that queue no more."""
        self.pauses.forget(stock.queue_name(self.app.amqp.queues, queue))
        if self.dispatcher is not None:
            self.dispatcher.leave(stock.queue_name(self.app.amqp.queues, queue))
        super().cancel_task_queue(queue)

    @property
    def max_prefetch_count(self) -> int:
        """The prefetch count for all slots that the worker has, or may have under `--autoscale`."""
        return self.prefetch.slots * self.prefetch_multiplier

    def _update_prefetch_count(self, _change: int = 0) -> None:
        """Celery calls this when a person changes the pool or its limits, before the autoscaler knows of it."""
        self.call_soon(self.prefetch.follow_pool)

    # --- What the parts of this consumer ask for -------------------------------------------------------

    @property
    def is_amqp(self) -> bool:
        """Whether the broker of this connection is RabbitMQ."""
        return self.connection is not None and _is_amqp(self.connection)

    @property
    def is_running(self) -> bool:
        """Whether the worker is neither starting nor stopping."""
        return bool(self.blueprint.state == RUN)

    @property
    def has_full_prefetch(self) -> bool:
        """Whether Celery has restored the whole prefetch count after a lost connection."""
        return self._maximum_prefetch_restored

    @property
    def channel(self) -> Channel:
        """The channel that the worker consumes from."""
        # kombu's consumer may have been made with a connection; then it takes the channel of that.
        return cast("Channel", cast("kombu.Consumer", self.task_consumer).channel)

    def receive(self, raw: amqp.Message) -> None:
        """Handle a message that was taken from the channel by `basic_get`, as if it had been consumed."""
        message = cast("KeptMessage", self.channel.message_to_python(raw))
        message.accept = self.task_consumer.accept if self.task_consumer else None
        self.on_kept_message(message)

    # --- What becomes of a message ---------------------------------------------------------------------

    def on_kept_message(self, message: KeptMessage) -> None:
        """Inspect the message, and then run, move or dead-letter it."""
        try:
            message.delivery = self.inspection.inspect(
                message, queue=self._queue_of(message), version=self.broker_version
            )
            self.held.add(message)
            if message.delivery.home in self.pauses:
                self.pauses.give_back(message)
            else:
                self._handle(message)
        except self.connection_errors + self.channel_errors:
            # The broker redelivers the message over the next connection.
            raise
        except Exception as error:  # noqa: BLE001 the message is kept, whatever it makes of us
            self._handler_failed(message, error)

    def run(self, message: KeptMessage) -> None:
        """Give a message to Celery, which gives it to the pool; one that Celery fails at becomes a dead letter."""
        try:
            tell_queue(self.event_dispatcher, message.delivery.home)
            self._run(message)
        except self.connection_errors + self.channel_errors:
            raise
        except Exception as error:  # noqa: BLE001 the message is kept, whatever it makes of Celery
            self._handler_failed(message, error)

    def _handler_failed(self, message: KeptMessage, error: Exception) -> None:
        logger.error("Celery failed at message %s.", message.label, exc_info=error, extra={"action": "handler_failed"})
        self.disposition.fail(message, error)

    def _handle(self, message: KeptMessage) -> None:
        delivery = message.delivery
        if delivery.refusal is not None:
            self.disposition.refuse(message, delivery.refusal)
            return
        decision = self._decide(delivery)
        if decision is Decision.RUN:
            if self.dispatcher is None:
                tell_queue(self.event_dispatcher, delivery.home)
                self._run(message)
            else:
                self.dispatcher.receive(message)
        else:
            self.disposition.follow(message, decision)

    def acks_late(self, delivery: Delivery) -> bool:
        """Whether the message is acknowledged after its task, and not before."""
        # A message that was not refused has contents, and its task is registered.
        return delivery.contents is not None and bool(self.app.tasks[delivery.contents.headers["task"]].acks_late)

    def _decide(self, delivery: Delivery) -> Decision:
        if delivery.history is redeliveries.FIRST:
            return Decision.RUN
        decision = redeliveries.decide(
            delivery.history,
            alone=delivery.queue != delivery.home,
            limit=self._strikes,
            own=self.quarantine.is_own(delivery.queue),
        )
        # A redelivered message that is acknowledged early was never run.
        return decision if decision is Decision.RUN or self.acks_late(delivery) else Decision.RUN

    def _queue_of(self, message: KeptMessage) -> str:
        info = message.delivery_info
        if "queue" in info:
            return str(info["queue"])
        tag = str(info.get("consumer_tag"))
        if tag not in self.queue_names and self.task_consumer:
            self.queue_names.update({value: name for name, value in active_tags(self.task_consumer).items()})
        return self.queue_names.get(tag) or str(self.app.conf.task_default_queue)


def _is_amqp(connection: kombu.Connection) -> bool:
    return connection.transport.driver_type == "amqp"
