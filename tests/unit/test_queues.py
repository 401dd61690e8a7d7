"""The queues of the exchanges, what leads to them, and where a task goes that names an exchange."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery
from click import UsageError
from kombu.common import Broadcast

from proj import queues
from proj.commands.send import _check_address
from proj.delivery.health.held_tasks import _may_hold
from proj.delivery.publishing.amqp import SentEvents
from proj.delivery.publishing.routes.routing import routing_options
from proj.environment import MOST_HASHES
from proj.queues import BROADCAST, DIRECT, TASKS, TOPIC, bound_queue, broadcast_queue, delayed_key, exchange_of


def keys(queue: Any, exchange: str) -> set[str]:
    """The keys with which the queue is bound to the exchange."""
    return {one.routing_key for one in queue.bindings if one.exchange.name == exchange}


@pytest.fixture
def app() -> Celery:
    app = Celery("someone", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    app.conf.task_queues = [queues.work_queue("quorum"), queues.work_queue("quorum", "other")]
    app.conf.task_default_queue = "task_queue"
    return app


def test_pattern_without_a_wildcard_is_a_key_of_the_direct_exchange_too() -> None:
    """A pattern with a wildcard is not, because `direct` compares it literally."""
    assert keys(bound_queue(["image.heavy"], "quorum"), "direct") == {"image.heavy"}
    assert keys(bound_queue(["image.*"], "quorum"), "direct") == set()
    assert keys(bound_queue(["image.*"], "quorum"), "topic") == {"image.*"}


def test_patterns_of_a_worker_are_one_queue_in_any_order() -> None:
    """With one queue a pattern, a worker of one slot would hold several messages, and run some messages twice."""
    queue = bound_queue(["image.#", "*.heavy", "image.#"], "quorum")

    assert queue.name == bound_queue(["*.heavy", "image.#"], "quorum").name == "task_queue.topic.*.heavy,image.#"
    assert keys(queue, "topic") == {"*.heavy", "image.#"}


def test_queue_has_a_unique_key_of_one_word() -> None:
    """A retry with this key reaches only this queue, although the queue's name contains wildcards."""
    made = [bound_queue(["#"], "quorum"), bound_queue(["*.heavy"], "quorum"), bound_queue(["a.heavy"], "quorum")]
    made.append(broadcast_queue("w1@host"))

    own = [queue.routing_key for queue in made]

    assert len(set(own)) == len(made)
    assert all(key.isalnum() and keys(queue, TASKS.name) == {key} for key, queue in zip(own, made, strict=True))
    # Celery publishes to the exchange, and does not bind a Broadcast to its delays.
    assert all(queue.exchange == TASKS and isinstance(queue, Broadcast) for queue in made)


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_policy_of_the_work_queue_applies_to_the_queue_of_a_pattern(queue_type: str) -> None:
    """Its name starts with `task_queue`, so its dead letters are kept; it is durable and has the chosen type."""
    queue = bound_queue(["*.heavy"], queue_type)

    assert queue.name.startswith("task_queue")
    assert (queue.durable, queue.auto_delete, queue.exclusive) == (True, False, False)
    assert queue.queue_arguments == ({"x-queue-type": "quorum"} if queue_type == "quorum" else None)


@pytest.mark.parametrize("last", ["x", "é"])
def test_longest_pattern_fits_into_every_name_made_of_it(last: str) -> None:
    """AMQP allows 255 bytes for names and keys."""
    pattern = "#.#." + "x" * (queues.LONGEST_PATTERNS - 4 - len(last.encode())) + last

    queue = bound_queue([pattern], "quorum")

    made = [queue.name, *(one.routing_key for one in queue.bindings)]
    assert max(len(name.encode()) for name in made) == 255


@pytest.mark.parametrize("pattern", ["#", "a.#", "#.a.#", "#.#", "a"])
def test_no_binding_has_more_wildcards_than_rabbitmq_allows(pattern: str) -> None:
    """Also that of delayed tasks, whose key begins with the bits of the delay."""
    queue = bound_queue([pattern], "quorum")

    assert all(one.routing_key.split(".").count("#") <= MOST_HASHES for one in queue.bindings)


@pytest.mark.parametrize("key", ["", "image.heavy", "a.@topic", "@topic.a"])
@pytest.mark.parametrize("exchange", ["broadcast", "direct", "topic"])
def test_delayed_key_names_its_exchange(exchange: str, key: str) -> None:
    """With Celery's prefix and without; other keys name none."""
    assert exchange_of(delayed_key(exchange, key)) == exchange
    assert exchange_of("0.1." + delayed_key(exchange, key)) == exchange
    assert exchange_of(key) is None
    assert exchange_of("task_queue") is None


def test_broadcast_queue_of_a_worker_is_recognised_by_its_name() -> None:
    """A queue of the user with a similar name is not."""
    assert queues.is_broadcast_queue(broadcast_queue("w1@host").name)
    assert not queues.is_broadcast_queue("broadcast.news")
    assert queues.is_fed_by(broadcast_queue("w1@host").name, "broadcast")
    assert not queues.is_fed_by(broadcast_queue("w1@host").name, "topic")
    assert queues.is_fed_by(bound_queue(["#"], "quorum").name, "topic")


@pytest.mark.parametrize("exchange", ["topic", TOPIC])
def test_task_for_an_exchange_goes_there_and_declares_it_alone(app: Celery, exchange: object) -> None:
    """Celery alone would declare the default queue and report it as the queue of the task."""
    options = routing_options(app, {"exchange": exchange, "routing_key": "a.b", "priority": 1}, delayed=False)

    assert (options["exchange"], options["routing_key"], options["priority"]) == ("topic", "a.b", 1)
    assert (options["declare"], options["queue"].name) == ([TOPIC], "topic")


def test_delayed_task_for_an_exchange_names_it_in_its_key(app: Celery) -> None:
    """Celery alone would send it to the default queue."""
    options = routing_options(app, {"exchange": "direct", "routing_key": "a"}, delayed=True)

    # Celery computes the key of the delay from these, when the exchange is not a direct one.
    assert options["queue"].routing_key == delayed_key("direct", "a")
    assert options["queue"].exchange.type == "topic"
    assert not {"exchange", "routing_key"} & options.keys()


@pytest.mark.parametrize(
    ("exchange", "key"),
    [("tasks", "other"), ("tasks", "0." * 28 + "other"), ("celery_delayed_delivery", "0." * 28 + "other")],
)
def test_delayed_retry_returns_to_its_queue(app: Celery, exchange: str, key: str) -> None:
    """Celery alone would send a retry from any queue to the default queue."""
    options = routing_options(app, {"exchange": exchange, "routing_key": key}, delayed=True)

    assert options["queue"].name == "other"


@pytest.mark.parametrize(
    "options",
    [{}, {"queue": "other"}, {"exchange": "elsewhere", "routing_key": "a"}, {"exchange": "topic", "queue": "other"}],
)
@pytest.mark.parametrize("delayed", [False, True])
def test_task_that_names_no_exchange_of_ours_is_unchanged(
    app: Celery, options: dict[str, str], *, delayed: bool
) -> None:
    """Celery routes it as usual."""
    assert routing_options(app, options, delayed=delayed) == options


def test_every_worker_is_bound_to_the_broadcast() -> None:
    """Its queue survives a restart of the broker, and is deleted when its worker is away for a minute."""
    queue = broadcast_queue("w1@host", dead_letters="graves")

    assert keys(queue, BROADCAST.name) == {""}
    assert keys(queue, DIRECT.name) == set()
    assert (queue.durable, queue.exclusive, queue.auto_delete) == (True, False, False)
    assert queue.queue_arguments == {
        "x-queue-type": "classic",
        "x-expires": 60_000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "graves",
    }


@pytest.mark.parametrize(
    ("queue", "exchange", "key", "complaint"),
    [
        (None, "topic", None, "needs a --key"),
        (None, "direct", "", "needs a --key"),
        (None, "broadcast", "a", "takes no --key"),
        (None, None, "a", "--key is for --exchange"),
        (None, "topic", "é" * 128, "255 bytes"),
        ("other", "topic", "a", "not both"),
    ],
)
def test_incomplete_or_contradictory_address_is_refused(
    queue: str | None, exchange: str | None, key: str | None, complaint: str
) -> None:
    """Before any message is sent."""
    with pytest.raises(UsageError, match=complaint):
        _check_address(queue, exchange, key)


@pytest.mark.parametrize(
    ("queue", "routing_key", "told"),
    [(None, "0.1." + delayed_key("topic", "a"), "topic"), (None, "0.1.task_queue", None), ("q", "a", "q")],
)
def test_event_of_a_delayed_task_names_its_exchange(queue: str | None, routing_key: str, told: str | None) -> None:
    """As the event of a task that is sent at once, so its copies are recognised."""
    dispatcher = Mock()

    SentEvents(dispatcher).publish("task-sent", {"queue": queue, "routing_key": routing_key}, producer=Mock())

    assert dispatcher.publish.call_args.args[1]["queue"] == told


def test_messages_in_the_queues_of_an_exchange_count_for_its_tasks() -> None:
    """The events of the tasks name the exchange, and their messages wait in the queues bound to it."""
    assert _may_hold("task_queue.topic.*.heavy", {"topic"})
    assert _may_hold("broadcast.w1@host", {"broadcast"})
    assert not _may_hold("task_queue.topic.*.heavy", {"task_queue", "broadcast"})
    assert not _may_hold("broadcast.w1@host", {"topic"})
