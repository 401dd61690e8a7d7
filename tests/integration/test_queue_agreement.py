"""Our queue as other clients and the broker see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pika
import pytest

from proj.celery import app
from proj.lab.processes.waiting import wait_until
from proj.queues import PRINT_QUEUE, UPPERCASE_QUEUE, work_queue
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pika.adapters.blocking_connection import BlockingChannel

    from proj.lab.broker import Broker


@pytest.fixture
def channel(broker: Broker, vhost: str) -> Iterator[BlockingChannel]:
    """A channel of pika, the client of RabbitMQ's tutorials."""
    with pika.BlockingConnection(pika.URLParameters(broker.url(vhost))) as connection:
        yield connection.channel()


def declare_ours(url: str, queue_type: str) -> None:
    with app.connection_for_write(url) as connection:
        work_queue(queue_type)(connection.default_channel).declare()


def test_client_of_todays_tutorial_shares_the_quorum_queue(
    broker: Broker, vhost: str, channel: BlockingChannel
) -> None:
    """`queue_declare(queue="task_queue", durable=True, arguments={"x-queue-type": "quorum"})` succeeds."""
    declare_ours(broker.url(vhost), "quorum")

    channel.queue_declare(queue="task_queue", durable=True, arguments={"x-queue-type": "quorum"})


def test_client_of_the_old_tutorials_shares_the_classic_queue(
    broker: Broker, vhost: str, channel: BlockingChannel
) -> None:
    """`queue_declare(queue="task_queue", durable=True)` succeeds."""
    declare_ours(broker.url(vhost), "classic")

    channel.queue_declare(queue="task_queue", durable=True)


def test_client_with_another_queue_type_is_refused_by_the_broker(
    broker: Broker, vhost: str, channel: BlockingChannel
) -> None:
    """This shows that the two tests above can fail."""
    declare_ours(broker.url(vhost), "quorum")

    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        channel.queue_declare(queue="task_queue", durable=True)


def test_message_is_persistent_json_in_the_durable_queue(broker: Broker, vhost: str, channel: BlockingChannel) -> None:
    """It survives a restart of the broker, and any client can read it."""
    with app.connection_for_write(broker.url(vhost)) as connection, app.amqp.Producer(connection) as producer:
        work.apply_async(("hello...",), producer=producer, ignore_result=True)

    frame, properties, body = channel.basic_get("task_queue", auto_ack=True)

    assert frame is not None
    assert (properties.delivery_mode, properties.content_type) == (2, "application/json")
    assert json.loads(body)[0] == ["hello..."]


def test_task_queue_is_under_the_policy_with_dead_letters(broker: Broker, vhost: str) -> None:
    """So a message beyond its delivery limit is kept with the reason, on RabbitMQ 3.10 as on 4."""
    declare_ours(broker.url(vhost), "quorum")

    policy = wait_until(
        lambda: broker.management.request("GET", f"queues/{vhost}/task_queue").get("effective_policy_definition"),
        what="the statistics of the queue",
        timeout_s=60,
    )

    assert policy == {
        "dead-letter-exchange": "dead_letters",
        "dead-letter-strategy": "at-least-once",
        "delivery-limit": 20,
        "overflow": "reject-publish",
        "queue-leader-locator": "balanced",
        # A broker that does not know this key refuses the policy.
        **({"consumer-disconnected-timeout": 5000} if broker.version.waits_for_lost_nodes else {}),
    }


def test_queues_of_the_pipeline_are_under_policies_with_dead_letters_too(broker: Broker, vhost: str) -> None:
    """Both queue types: a policy with a key for quorum queues only is not effective for a classic queue."""
    types = {UPPERCASE_QUEUE: "quorum", f"{PRINT_QUEUE}.suspects": "quorum", PRINT_QUEUE: "classic"}
    with app.connection_for_write(broker.url(vhost)) as connection:
        for name, queue_type in types.items():
            work_queue(queue_type, name)(connection.default_channel).declare()

    def policies() -> dict[str, dict[str, object]]:
        there = {name: broker.management.request("GET", f"queues/{vhost}/{name}") for name in types}
        known = {name: queue.get("effective_policy_definition") for name, queue in there.items()}
        return known if all(known.values()) else {}

    for name, policy in wait_until(policies, what="the statistics of the queues", timeout_s=60).items():
        assert (policy["dead-letter-exchange"], policy["overflow"]) == ("dead_letters", "reject-publish")
        assert ("delivery-limit" in policy) == (types[name] == "quorum")
