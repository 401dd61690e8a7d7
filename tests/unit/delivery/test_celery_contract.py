"""The names of Celery, kombu and py-amqp that we lean on and that they do not document."""

from __future__ import annotations

import inspect
from collections import defaultdict

import amqp
import amqp.serialization
import celery.app.amqp
import celery.app.task
import celery.worker.consumer
import celery.worker.control
import celery.worker.state
import kombu
import kombu.connection
import kombu.transport.native_delayed_delivery
import kombu.utils.objects
import pytest
from celery.exceptions import WorkerShutdown
from celery.worker.autoscale import Autoscaler
from kombu.pidbox import Mailbox

# --- Dead letters, halt, health: what is looked into and told ---------------------------------------


def test_returned_publish_is_given_to_who_listens_on_the_channel() -> None:
    """`proj.delivery.dead_letters.queue` hears so that a requeued letter has no queue."""
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


def test_sender_of_tasks_is_made_by_a_method_that_a_subclass_can_extend() -> None:
    """`proj.delivery.publishing.amqp` wraps what it returns, and gives it the dispatcher of `task-sent`."""
    source = inspect.getsource(celery.app.amqp.AMQP._create_task_sender)  # noqa: SLF001 this is the name

    assert "event_dispatcher or default_evd" in source
    assert "evd.publish('task-sent', sent_event," in source
    assert isinstance(celery.app.amqp.AMQP.__dict__["_event_dispatcher"], kombu.utils.objects.cached_property)


def test_callbacks_are_published_through_a_method_that_a_subclass_can_replace() -> None:
    """`proj.delivery.publishing.amqp` replaces its three attempts by our deadline."""
    assert list(inspect.signature(celery.app.amqp.AMQP._retry_publish).parameters)[:2] == ["self", "publish"]  # noqa: SLF001 this is the name


def test_task_is_sent_by_an_attribute_of_the_app() -> None:
    """`publishing.confirm_publishing` puts its own there; positions up to `task_id` are as it repeats them."""
    parameters = list(inspect.signature(celery.Celery.send_task).parameters)

    assert parameters[1:7] == ["name", "args", "kwargs", "countdown", "eta", "task_id"]
    assert "app.send_task(" in inspect.getsource(celery.app.task.Task.apply_async)


def test_app_that_has_published_is_told_of_a_fork_by_its_pool() -> None:
    """`proj.delivery.publishing.amqp` has that done without the pool."""
    assert "self._ensure_after_fork()" in inspect.getsource(celery.Celery.pool.fget)  # type: ignore[attr-defined] # a property


def test_channel_that_the_broker_closed_is_opened_again_by_a_method_of_its_own() -> None:
    """`proj.delivery.publishing.confirm_channel` replaces it, for its delivery tags would begin anew."""
    source = inspect.getsource(amqp.Channel._on_close)  # noqa: SLF001 this is the name

    assert source.index("self._do_revive()") < source.index("raise error_for_code")


def test_connection_in_confirm_mode_replaces_the_publish_of_a_channel_by_an_attribute() -> None:
    """`proj.delivery.publishing.confirm_channel` takes it away again."""
    assert "self.basic_publish = self.basic_publish_confirm" in inspect.getsource(amqp.Channel.__init__)
    assert callable(amqp.Connection._on_blocked)  # noqa: SLF001 calls `on_blocked`, which we set
    assert "self.on_blocked(reason)" in inspect.getsource(amqp.Connection._on_blocked)  # noqa: SLF001 this is the name


def test_producer_publishes_on_the_channel_that_it_keeps() -> None:
    """`proj.delivery.publishing.producer` puts a channel in confirm mode there while it publishes."""
    producer = kombu.Producer.__new__(kombu.Producer)
    producer._channel = "a channel"  # noqa: SLF001 this is the name

    assert producer._get_channel() == "a channel"  # noqa: SLF001 this is the name


def test_pool_makes_its_connections_from_the_details_of_one() -> None:
    """`proj.delivery.publishing.producer_pool` does so with a class of its own."""
    assert "**dict(self.connection._info(resolve=False))" in inspect.getsource(kombu.connection.ConnectionPool.new)


def test_delay_is_a_prefix_of_the_routing_key() -> None:
    """`proj.delivery.publishing.delayed_delivery` finds the queue behind it, to see to it that the way leads there."""
    native = kombu.transport.native_delayed_delivery
    delayed = native.calculate_routing_key(5, "a.key")

    assert native._delay_prefix_re.sub("", delayed, count=1) == "a.key"  # noqa: SLF001 this is the name
    assert native.level_name(native.MAX_LEVEL) == "celery_delayed_27"


# --- The window: what it is made of, and when Celery changes it -------------------------------------


def test_consumer_asks_by_these_names_how_large_its_window_may_be() -> None:
    """`proj.delivery.consuming.prefetch` wraps them, for a lost connection and for a changed pool."""
    stock = celery.worker.consumer.Consumer
    lost = inspect.getsource(stock.on_connection_error_after_connected)

    assert isinstance(inspect.getattr_static(stock, "max_prefetch_count"), property)
    assert "self.initial_prefetch_count = self.max_prefetch_count" in lost
    assert "self._maximum_prefetch_restored = " in lost
    for command in ("pool_grow", "pool_shrink"):
        assert "consumer._update_prefetch_count(" in inspect.getsource(getattr(celery.worker.control, command))
    assert "consumer._update_prefetch_count(" in inspect.getsource(Autoscaler._update_consumer_prefetch_count)  # noqa: SLF001 this is the name
    assert "self.max_concurrency = max" in inspect.getsource(Autoscaler.update)
