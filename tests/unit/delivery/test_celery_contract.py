"""Undocumented behaviour of Celery, kombu and py-amqp on which this package depends."""

from __future__ import annotations

import inspect
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import amqp
import celery.app.amqp
import celery.app.base
import celery.worker.consumer
import celery.worker.control
import celery.worker.state
import kombu
import kombu.serialization
import kombu.transport.native_delayed_delivery
import kombu.utils.json
import pytest
from amqp.exceptions import PreconditionFailed
from celery import Celery
from celery.exceptions import CPendingDeprecationWarning, WorkerShutdown
from celery.worker.autoscale import Autoscaler
from kombu.connection import ConnectionPool
from kombu.pidbox import Mailbox

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.producer_pool import DeadlineConnection, DeadlineConnectionPool
from proj.delivery.publishing.routes.delayed_delivery import without_delay

# --- Dead letters, halt, health ---------------------------------------------------------------------


def test_returned_publish_is_given_to_the_listeners_of_the_channel() -> None:
    """`proj.delivery.dead_letters.queue` notices by it that a requeued letter reaches no queue."""
    channel = amqp.Channel.__new__(amqp.Channel)
    channel.events = defaultdict(set)
    heard: list[object] = []
    channel.events["basic_return"].add(lambda *details: heard.append(details))

    channel._on_basic_return(312, "NO_ROUTE", "", "gone", None)  # noqa: SLF001 this is the name

    assert len(heard) == 1


def test_mailbox_publishes_over_its_own_connection_when_it_has_no_pool() -> None:
    """`proj.broker.control_bus` may be idle: the pool's connection has a heartbeat that nobody would send."""
    mailbox = Mailbox("celery", type="fanout", producer_pool="the pool")
    ours = mailbox("a connection")

    ours.producer_pool = None

    assert (ours.producer_pool, mailbox.producer_pool) == (None, "the pool")
    assert ours.namespace == "celery"
    assert ours.get_queue("a@x").name == "a@x.celery.pidbox"


def test_worker_leaves_warmly_when_its_state_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """`shutdown.halt_reply` sets what SIGTERM's handler sets, because Celery's `shutdown` never replies."""
    monkeypatch.setattr(celery.worker.state, "should_stop", 0)

    with pytest.raises(WorkerShutdown):
        celery.worker.state.maybe_shutdown()
    with pytest.raises(WorkerShutdown):
        celery.worker.control.Panel.data["shutdown"](None)


def test_worker_replies_to_an_unknown_command_with_an_error() -> None:
    """So `proj.delivery.shutdown.halt_workers` recognises workers that cannot answer `proj_halt`."""
    node = Mailbox("celery").Node("a@x", handlers={})
    said: list[dict[str, object]] = []
    node.reply = lambda data, **_: said.append(data)

    node.dispatch("proj_halt", reply_to={"exchange": "", "routing_key": ""}, ticket="1")

    assert "error" in said[0]["a@x"]


def test_commands_that_health_and_drain_ask_exist() -> None:
    """`proj.delivery.health.check` and `proj.delivery.shutdown.drain`."""
    assert {"stats", "active", "reserved", "scheduled", "active_queues"} <= celery.worker.control.Panel.data.keys()


# --- Confirmed publishing ---------------------------------------------------------------------------


class Recorder:
    """A producer or an event dispatcher that records what it is to publish."""

    connection = None

    def __init__(self) -> None:
        self.published: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def publish(self, *args: Any, **options: Any) -> None:
        self.published.append((args, options))


def test_sender_of_tasks_is_made_by_a_method_that_a_subclass_can_extend() -> None:
    """`proj.delivery.publishing.amqp` wraps the sender, and passes it a dispatcher for the event `task-sent`."""
    made: list[object] = []

    class Extended(celery.app.amqp.AMQP):
        def _create_task_sender(self) -> Any:
            made.append(self)
            return super()._create_task_sender()

    app = Celery("theirs", amqp=Extended, set_as_current=False)
    usual, given, producer = Recorder(), Recorder(), Recorder()
    app.amqp.__dict__["_event_dispatcher"] = usual
    send = app.amqp.send_task_message

    for options in ({}, {"event_dispatcher": given}):
        message = app.amqp.create_task_message("the-id", "note", create_sent_event=True)
        send(producer, "note", message, **options)

    assert made == [app.amqp]
    for dispatcher in (usual, given):
        (((kind, fields, by), _options),) = dispatcher.published
        assert (kind, fields["uuid"], fields["queue"], by) == ("task-sent", "the-id", "celery", producer)


def test_callbacks_are_retried_by_celery_as_a_variable_says() -> None:
    """`proj.delivery.publishing.amqp` resets it, so that our deadline replaces the three attempts."""
    app = Celery("theirs", set_as_current=False)
    variable = celery.app.amqp._callback_publish_retry  # type: ignore[attr-defined] # noqa: SLF001 this is the name

    assert (variable.get(), app.amqp._retry_publish(variable.get)) == (False, True)  # type: ignore[attr-defined] # noqa: SLF001 this is the name


def test_event_is_prepared_and_json_encoded_by_names_that_templates_use() -> None:
    """`proj.delivery.publishing.building` does both itself, where they are Celery's and kombu's own."""
    dispatcher: Any = celery.app.amqp.AMQP(Celery("theirs", set_as_current=False))._event_dispatcher  # type: ignore[attr-defined] # noqa: SLF001 this is the name
    given, producer = {"uuid": "the-id"}, Recorder()

    dispatcher.publish("task-sent", given, producer)

    (((event,), options),) = producer.published
    prepared = dispatcher._prepare_event("task-sent", given)  # noqa: SLF001 this is the name
    assert {**event, "clock": 0, "timestamp": 0} == {**prepared, "clock": 0, "timestamp": 0}
    assert options["routing_key"] == "task.sent"
    assert kombu.serialization.registry._encoders["json"][2] is kombu.utils.json.dumps  # type: ignore[attr-defined] # noqa: SLF001 this is the name


def test_default_settings_are_in_the_last_map_of_the_configuration() -> None:
    """`proj.delivery.publishing.retry_policy` tells by it whether the app has chosen one, even an equal one."""
    unset, chosen = Celery("theirs", set_as_current=False), Celery("theirs", set_as_current=False)
    chosen.conf.task_publish_retry_policy = dict(unset.conf.task_publish_retry_policy)

    for app, is_default in ((unset, True), (chosen, False)):
        policy = app.conf.get("task_publish_retry_policy")
        assert app.conf.maps is not None
        assert (policy is app.conf.maps[-1]["task_publish_retry_policy"]) == is_default
        assert policy == {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2}


def test_task_is_sent_by_an_attribute_of_the_app() -> None:
    """`publishing.confirm_publishing` replaces it; its positions up to `task_id` are as Celery's."""
    app = Celery("theirs", set_as_current=False)
    sent: list[tuple[Any, ...]] = []

    @app.task(name="note", shared=False)
    def note(*_: object, **__: object) -> None:
        """Never run here."""

    app.send_task = lambda *args, **_: sent.append(args)
    note.delay("x", key=1)

    assert sent == [("note", ("x",), {"key": 1})]
    positions = list(inspect.signature(celery.Celery.send_task).parameters)
    assert positions[1:7] == ["name", "args", "kwargs", "countdown", "eta", "task_id"]


def test_app_that_has_published_is_told_of_a_fork_by_its_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a method that registers the app; `proj.delivery.publishing.amqp` calls it without the pool."""
    registered: list[object] = []
    monkeypatch.setattr(celery.app.base, "register_after_fork", lambda app, _cleanup: registered.append(app))
    with_pool, without_pool = (Celery(name, broker="memory://", set_as_current=False) for name in ("with", "without"))

    assert with_pool.pool
    without_pool._ensure_after_fork()  # noqa: SLF001 this is the name

    assert registered == [with_pool, without_pool]


def test_app_has_its_result_backend_in_a_field_that_is_none_before_it_is_needed() -> None:
    """`proj.delivery.publishing.confirm_publishing` closes its connection, and must not make one for that."""
    app = Celery(broker="memory://", backend="rpc://", set_as_current=False)
    before = app._backend  # noqa: SLF001 this is the name
    made = app.backend

    assert before is None
    assert app._backend is made  # noqa: SLF001 this is the name
    assert isinstance(made.result_consumer, made.ResultConsumer)


def test_channel_that_the_broker_closed_is_opened_again_by_a_method_of_its_own() -> None:
    """`proj.delivery.publishing.confirm_channel` replaces it, because delivery tags would start again."""
    calls: list[str] = []

    class Closed(amqp.Channel):
        def __init__(self) -> None:
            self.channel_id = 1
            self.connection = amqp.Connection()
            self.is_closing = False

        def send_method(self, *_: Any, **__: Any) -> None:
            calls.append("close-ok")

        def _do_revive(self) -> None:
            calls.append("revive")

    with pytest.raises(PreconditionFailed):
        Closed()._on_close(406, "PRECONDITION_FAILED", 60, 40)  # noqa: SLF001 this is the name

    assert calls == ["close-ok", "revive"]


def test_channel_of_a_connection_in_confirm_mode_confirms_in_our_way() -> None:
    """py-amqp replaces `basic_publish` by an attribute of the channel; `ConfirmChannel` removes the attribute."""
    connection = amqp.Connection(confirm_publish=True)

    assert "basic_publish" in vars(amqp.Channel(connection))
    assert "basic_publish" not in vars(ConfirmChannel(connection))


def test_channel_is_told_when_the_broker_blocks_the_connection() -> None:
    """By two attributes of the connection, which `ConfirmChannel` sets."""
    connection = amqp.Connection()
    channel = ConfirmChannel(connection)

    connection._on_blocked()  # noqa: SLF001 py-amqp calls it
    was_blocked = channel.blocked
    connection._on_unblocked()  # noqa: SLF001 py-amqp calls it

    assert (was_blocked, channel.blocked) == (True, False)


def test_producer_publishes_on_the_channel_that_it_keeps() -> None:
    """`proj.delivery.publishing.producer` puts a channel in confirm mode there while it publishes."""
    producer = kombu.Producer.__new__(kombu.Producer)
    producer._channel = "a channel"  # noqa: SLF001 this is the name

    assert producer._get_channel() == "a channel"  # noqa: SLF001 this is the name


def test_pool_makes_its_connections_from_the_details_of_one() -> None:
    """`proj.delivery.publishing.producer_pool` makes the same connections of a class of its own."""
    first = kombu.Connection("amqp://user:word@host:1234/v", heartbeat=7, transport_options={"confirm_publish": False})

    stock, ours = ConnectionPool(first, limit=1).new(), DeadlineConnectionPool(first, limit=1).new()

    assert isinstance(ours, DeadlineConnection)
    assert ours.info() == stock.info()
    assert ours.as_uri(include_password=True) == first.as_uri(include_password=True)


def test_delay_is_a_prefix_of_the_routing_key() -> None:
    """`proj.delivery.publishing.routes.delayed_delivery` removes it, to find the queue of a delayed message."""
    native = kombu.transport.native_delayed_delivery

    assert without_delay(native.calculate_routing_key(5, "a.key")) == "a.key"
    assert without_delay("0.1.a.key") == "0.1.a.key"
    assert native.level_name(native.MAX_LEVEL) == "celery_delayed_27"


# --- Prefetch: the attributes that Celery reads and changes -----------------------------------------


@pytest.mark.parametrize(("qos_global", "count", "is_full"), [(False, 4, True), (True, 1, False)])
def test_consumer_sets_its_prefetch_count_after_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, *, qos_global: bool, count: int, is_full: bool
) -> None:
    """From the property `max_prefetch_count`, which our consumer replaces."""
    monkeypatch.setattr("celery.worker.consumer.consumer.active_requests", {object() for _ in range(3)})

    class Four(celery.worker.consumer.Consumer):
        max_prefetch_count = property(lambda _: 4)

        def __init__(self) -> None:
            self.app = SimpleNamespace(
                conf=SimpleNamespace(
                    worker_cancel_long_running_tasks_on_connection_loss=False,
                    worker_enable_prefetch_count_reduction=True,
                )
            )
            self.connection = None
            self.prefetch_multiplier = 1
            self.qos_global = qos_global

    consumer = Four()
    with pytest.warns(CPendingDeprecationWarning):
        consumer.on_connection_error_after_connected(ConnectionResetError("lost"))

    assert isinstance(inspect.getattr_static(celery.worker.consumer.Consumer, "max_prefetch_count"), property)
    assert (consumer.initial_prefetch_count, consumer._maximum_prefetch_restored) == (count, is_full)  # noqa: SLF001 this is the name


def test_consumer_is_told_of_a_pool_that_a_person_changes() -> None:
    """By `_update_prefetch_count`, which our consumer replaces."""
    changes: list[int] = []
    pool = SimpleNamespace(grow=lambda _: None, shrink=lambda _: None, num_processes=2)
    consumer = SimpleNamespace(
        pool=pool, controller=SimpleNamespace(autoscaler=None), _update_prefetch_count=changes.append
    )
    state = SimpleNamespace(consumer=consumer)

    celery.worker.control.pool_grow(state, 3)
    celery.worker.control.pool_shrink(state, 1)
    autoscaler = Autoscaler(pool, 2, worker=SimpleNamespace(consumer=consumer))
    autoscaler.update(max=7)

    assert changes == [3, -1, 5]
    assert autoscaler.max_concurrency == 7
