"""The queues of each worker, by the broker's list of consumers."""

from __future__ import annotations

from typing import Any

from proj.broker.worker_consumers import by_node


def test_queues_of_a_worker_are_those_consumed_over_the_connection_of_its_mailbox() -> None:
    """The queues of replies to clients and of events are left out."""

    def consumer(queue: str, connection: str) -> dict[str, Any]:
        return {"queue": {"name": queue}, "channel_details": {"connection_name": connection}}

    consumers = [
        *(consumer(name, "1") for name in ("a@x.celery.pidbox", "task_queue", "celeryev.123")),
        *(consumer(name, "2") for name in ("b@x.celery.pidbox",)),
        *(consumer(name, "3") for name in ("123.reply.celery.pidbox",)),
        {"queue": {"name": "task_queue"}, "channel_details": []},
    ]

    assert by_node(consumers, control_exchange="celery") == {"a@x": frozenset({"task_queue"}), "b@x": frozenset()}
