"""Looks at dead letters that RabbitMQ counts: none of them loses a letter, and the audit says what it did not read."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.broker.queue_depths import QueueDepths
from proj.delivery.header_names import DELIVERY_COUNT
from proj.delivery.health.held_tasks import HeldTasks, held_tasks
from proj.errors import DeadLettersNotRead
from proj.lab.processes.waiting import wait_until
from tests.integration.dead_letters.letters import (
    WORK,
    Read,
    dead_letter,
    ids,
    take_all,
    waiting,
)

if TYPE_CHECKING:
    from celery import Celery

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker


def limit_deliveries(broker: Broker, vhost: str, limit: int) -> None:
    """As RabbitMQ 4 does without a policy."""
    policy = {"pattern": "^dead", "apply-to": "queues", "priority": 9, "definition": {"delivery-limit": limit}}
    broker.management.request("PUT", f"policies/{vhost}/low", policy)


@pytest.mark.parametrize("policy", ["ours", "none", "a limit of 20"])
def test_hundred_looks_leave_every_letter_in_its_place(
    read: Read, channel: Any, broker: Broker, vhost: str, version: BrokerVersion, policy: str
) -> None:
    """The reader refuses where the limit is low; else a look costs nothing on 4.3, and one delivery of many before."""
    limit = version.default_delivery_limit if policy == "none" else 20 if policy == "a limit of 20" else None
    if policy == "none":
        broker.management.request("DELETE", f"policies/{vhost}/dead_letters")
    elif limit:
        limit_deliveries(broker, vhost, limit)
    expected = [f"letter-{number}" for number in range(20)]
    for name in expected:
        dead_letter(channel, name)

    wrong: list[tuple[int, list[str]]] = []
    read_looks, refused = 0, 0
    for look in range(100):
        # Some looks end before all letters were read.
        most = 3 if look % 3 else 20
        try:
            with read() as letters:
                seen = [each.letter.id for each in itertools.islice(letters, most)]
        except DeadLettersNotRead:
            refused += 1
            continue
        read_looks += 1
        if seen != expected[:most]:
            wrong.append((look, seen))

    assert wrong == []
    assert (refused, read_looks) == ((100, 0) if limit else (0, 100))
    left = [message.properties["application_headers"] for message in take_all(channel, "dead_letters")]
    assert [headers["id"] for headers in left] == expected
    assert {headers.get(DELIVERY_COUNT) or 0 for headers in left} <= ({0, 100} if version.counts_nacks else {0})


def test_letter_that_was_delivered_too_often_survives_every_look(
    read: Read, channel: Any, broker: Broker, vhost: str
) -> None:
    """RabbitMQ 4.3 keeps its count of the earlier queue, and drops it when a lower limit holds and it is given back."""
    channel.queue_declare("task_queue", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    message = Message(b"[]", application_headers={"id": "a"})
    channel.basic_publish_confirm(message, exchange="", routing_key="task_queue")
    # The queue's policy lets it return 20 times.
    for _ in range(21):
        delivered = wait_until(lambda: channel.basic_get("task_queue"), what="the message", timeout_s=60)
        channel.basic_reject(delivered.delivery_tag, requeue=True)
    wait_until(lambda: waiting(channel) == 1, what="the letter", timeout_s=60)

    limit_deliveries(broker, vhost, 20)
    with pytest.raises(DeadLettersNotRead), read():
        pass
    broker.management.request("DELETE", f"policies/{vhost}/low")

    assert [ids(read) for _ in range(3)] == [["a"]] * 3


def test_held_tasks_count_dead_letters_that_are_not_read(app: Celery, channel: Any, broker: Broker, vhost: str) -> None:
    """As messages that the broker holds, so no task among them is called missing; a warning says so."""
    limit_deliveries(broker, vhost, 20)
    dead_letter(channel, "one")
    dead_letter(channel, "two")
    queue_depths = QueueDepths(app, broker_api=broker.management_url)

    held = held_tasks(app, queue_depths, queues=[WORK], dead_letters="dead_letters")

    assert (held.holdings.dead, held.holdings.ready) == (frozenset(), 2)
    assert held.warning is not None
    assert held.warning.startswith("The dead letters were not read, so tasks among them count as waiting")


def test_held_tasks_wait_for_another_reader_of_the_dead_letters(
    app: Celery, read: Read, channel: Any, broker: Broker
) -> None:
    """And then know the ids of all letters."""
    dead_letter(channel, "one")
    dead_letter(channel, "two")
    queue_depths = QueueDepths(app, broker_api=broker.management_url)
    found: list[HeldTasks] = []

    def look() -> None:
        found.append(held_tasks(app, queue_depths, queues=[WORK], dead_letters="dead_letters"))

    with read() as letters:
        assert len(list(letters)) == 2
        auditor = threading.Thread(target=look)
        auditor.start()
        auditor.join(timeout=0.5)
        assert auditor.is_alive()
    auditor.join(timeout=60)

    (held,) = found
    assert (held.holdings.dead, held.holdings.ready, held.warning) == (frozenset({"one", "two"}), 0, None)


def test_held_tasks_count_dead_letters_that_another_reader_keeps(
    app: Celery, read: Read, channel: Any, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The letters are unacknowledged then, and the broker tells how many there are."""
    monkeypatch.setattr("proj.delivery.dead_letters.queue.LOCK_TIMEOUT_S", 0)
    dead_letter(channel, "one")
    queue_depths = QueueDepths(app, broker_api=broker.management_url)

    def look() -> tuple[int, str]:
        held = held_tasks(app, queue_depths, queues=[WORK], dead_letters="dead_letters")
        return held.holdings.ready + (held.holdings.unacknowledged or 0), held.warning or ""

    with read() as letters:
        assert len(list(letters)) == 1
        # The management API tells of a quorum queue's unacknowledged messages seconds late.
        wait_until(lambda: look()[0] == 1, what="the count of the unacknowledged letter", timeout_s=60)
        assert "Another reader has had dead_letters" in look()[1]
