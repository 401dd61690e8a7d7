"""What is left of a queue, as a real broker tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.broker.queue_depths import QueueDepths, depths_by_declare
from proj.delivery.shutdown.drain import remainder
from proj.lab.processes.waiting import wait_until
from proj.queues import UPPERCASE_QUEUE, work_queue

if TYPE_CHECKING:
    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version


class Idle:
    """A control bus on which every worker replies that it has no task, as between two tasks."""

    def ask(self, command: str, *, nodes: list[str], **_: object) -> dict[str, Any]:
        del command
        return {node: [] for node in nodes}


#: The process that leads a quorum queue, in Erlang.
LEADER = '{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<"{}">>, queue, <<"my_queue">>}}), amqqueue:get_pid(Q)'


def test_queue_that_does_not_answer_does_not_count_as_empty(broker: Broker, vhost: str) -> None:
    """RabbitMQ counts a busy quorum queue as one without messages and consumers; a drain would end too early."""
    app = Celery(broker=broker.url(vhost), set_as_current=False)
    queue_depths = QueueDepths(app, broker_api=broker.management_url)
    with app.connection_for_write() as connection:
        queue = work_queue("quorum", UPPERCASE_QUEUE)(connection.default_channel)
        queue.declare()
        producer = connection.Producer()
        for _ in range(3):
            producer.publish("hello", routing_key=UPPERCASE_QUEUE)
        wait_until(
            lambda: depths_by_declare(connection, [UPPERCASE_QUEUE])[0].ready == 3, what="the messages", timeout_s=10
        )
        found = remainder(Idle(), queue_depths, queues={UPPERCASE_QUEUE}, nodes=["w@x"])  # type: ignore[arg-type] # see Idle
        assert (found.ready, found.unanswered, found.is_none) == (3, 0, False)
        leader = LEADER.format(vhost)
        broker.order("eval", f"sys:suspend(begin {leader} end).")
        try:
            (depth,) = depths_by_declare(connection, [UPPERCASE_QUEUE])
            if depth.ready:
                pytest.skip("This RabbitMQ waits for its queues.")
            found = remainder(Idle(), queue_depths, queues={UPPERCASE_QUEUE}, nodes=["w@x"])  # type: ignore[arg-type] # as above
        finally:
            broker.order("eval", f"sys:resume(begin {leader} end).")
        assert (found.unanswered, found.is_sure) == (1, False)
