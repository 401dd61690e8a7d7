"""What is named once of Celery's own parts."""

from __future__ import annotations

import pytest
from celery.app.amqp import Queues
from kombu import Queue

from proj.delivery.stock import queue_name

WORK = Queue("work", alias="w")


@pytest.mark.parametrize(("given", "name"), [("work", "work"), ("w", "work"), (WORK, "work"), ("unknown", "unknown")])
def test_queue_is_named_by_its_name_its_alias_or_itself(given: str | Queue, name: str) -> None:
    """A worker in adaptive dispatch that is told by an alias to leave a queue finds it by its name."""
    queues = Queues({"work": WORK})

    assert queue_name(queues, given) == name
    assert set(queues) == {"work"}
