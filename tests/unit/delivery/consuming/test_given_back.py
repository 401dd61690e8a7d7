"""What a worker remembers of the messages that it gives back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Queue

from proj.broker.version import BrokerVersion
from proj.delivery.consuming.held_messages import HeldMessages, Survivals, name_of_copy


@pytest.mark.parametrize(("version", "times"), [(BrokerVersion(3, 10), 1), (BrokerVersion(4, 3), 0)])
def test_worker_remembers_that_it_gave_a_message_back_where_the_broker_counts_it(
    version: BrokerVersion, times: int
) -> None:
    """Else its own return and one of the broker make two lost workers, though none died: 175 of 20,000 tasks once."""
    queue = Queue("work", queue_arguments={"x-queue-type": "quorum"})
    consumer: Any = SimpleNamespace(
        broker_version=version,
        inspection=SimpleNamespace(survivals=Survivals()),
        disposition=SimpleNamespace(give_back=lambda *_args, **_options: None),
        app=SimpleNamespace(amqp=SimpleNamespace(queues={"work": queue})),
        acks_late=lambda _delivery: True,
    )
    given_back: list[str] = []
    message: Any = SimpleNamespace(
        headers={"id": "a"},
        delivery=SimpleNamespace(queue="work"),
        is_moving=False,
        requeue=lambda: given_back.append("a"),
    )

    HeldMessages(consumer).give_back_one(message)

    assert given_back == ["a"]
    assert consumer.inspection.survivals.times(name_of_copy(message.headers)) == times
