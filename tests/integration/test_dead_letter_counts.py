"""The counts of a message that comes to its queue by a dead-letter exchange, on a real broker."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from amqp import Message
from celery import Celery
from kombu import Queue

from proj.broker.connection import connected, open_channel
from proj.broker.queue_depths import depths_by_declare
from proj.delivery.consuming.redeliveries import Decision, decide, history
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS, QUEUE_TYPES, WORK_QUEUE, quarantine_queue
from proj.tasks import work
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import amqp
    from kombu import Connection

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 60
EARLIER = "earlier"
LATER = "later"


@pytest.fixture
def connection(broker: Broker, vhost: str) -> Iterator[Connection]:
    """A connection to the virtual host of the test, of an app that is not ours."""
    with Celery("sender", broker=broker.url(vhost), set_as_current=False) as sender:  # noqa: SIM117 the app's pools end last
        with connected(sender.connection_for_write()) as connection:
            yield connection


@contextmanager
def received(connection: Connection, queue: str) -> Iterator[tuple[amqp.Channel, Any]]:
    """The next message of a queue, which the end of its channel returns: a failed delivery."""
    channel = open_channel(connection)
    yield channel, wait_until(lambda: channel.basic_get(queue), what=f"a message of {queue}", timeout_s=TIMEOUT_S)
    channel.close()


def fail(connection: Connection, queue: str, times: int) -> None:
    for _ in range(times):
        with received(connection, queue):
            pass


def declare(connection: Connection, name: str, queue_type: str, *, to: str) -> None:
    """A queue whose rejected messages go `to` another one."""
    arguments = {"x-queue-type": queue_type, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": to}
    open_channel(connection).queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def publish(connection: Connection) -> None:
    channel = open_channel(connection)
    channel.confirm_select()
    channel.basic_publish_confirm(Message("x"), routing_key=EARLIER)


def reject(connection: Connection, queue: str) -> None:
    with received(connection, queue) as (channel, message):
        channel.basic_reject(message.delivery_tag, requeue=False)


def counts(connection: Connection, queue: str) -> tuple[bool, int | None, int | None]:
    """Whether the next message is redelivered, its delivery count and its acquired count; it fails once more."""
    with received(connection, queue) as (_channel, message):
        headers = message.properties["application_headers"]
        assert headers["x-death"]
        return message.delivery_info["redelivered"], headers.get("x-delivery-count"), headers.get("x-acquired-count")


#: By version and the types of the two queues: what a later queue says of a message that failed twice in the earlier one
#: and was rejected there, at its first delivery, and after it failed once in the later one.
SAID = {
    ("3.10", "quorum", "quorum"): ((False, 0, None), (True, 1, None)),
    ("3.10", "quorum", "classic"): ((False, None, None), (True, None, None)),
    ("3.10", "classic", "quorum"): ((False, 0, None), (True, 1, None)),
    ("3.10", "classic", "classic"): ((False, None, None), (True, None, None)),
    ("4.0", "quorum", "quorum"): ((True, 3, None), (True, 1, None)),
    ("4.0", "quorum", "classic"): ((False, None, None), (True, None, None)),
    ("4.0", "classic", "quorum"): ((False, None, None), (True, 1, None)),
    ("4.0", "classic", "classic"): ((False, None, None), (True, None, None)),
    ("4.3", "quorum", "quorum"): ((True, 3, 3), (True, 4, 1)),
    ("4.3", "quorum", "classic"): ((True, None, None), (True, None, None)),
    ("4.3", "classic", "quorum"): ((True, 3, 3), (True, 4, 1)),
    ("4.3", "classic", "classic"): ((True, None, None), (True, None, None)),
}


@pytest.mark.parametrize("later", QUEUE_TYPES)
@pytest.mark.parametrize("earlier", QUEUE_TYPES)
def test_later_queue_says_what_the_version_keeps_of_an_earlier_one(
    connection: Connection, version: BrokerVersion, earlier: str, later: str
) -> None:
    """This is what `redeliveries.history` is built on."""
    declare(connection, EARLIER, earlier, to=LATER)
    declare(connection, LATER, later, to=DEAD_LETTERS)
    publish(connection)
    fail(connection, EARLIER, times=2)
    reject(connection, EARLIER)

    assert (counts(connection, LATER), counts(connection, LATER)) == SAID[str(version), earlier, later]


def test_count_of_a_dead_letter_is_doubted_as_long_as_it_may_be_of_the_earlier_queue(
    connection: Connection, version: BrokerVersion
) -> None:
    """Since 4.0 nothing in the headers tells the counts apart, so no count makes the message a suspect."""
    told = []
    declare(connection, EARLIER, "quorum", to=LATER)
    declare(connection, LATER, "quorum", to=DEAD_LETTERS)
    publish(connection)
    fail(connection, EARLIER, times=2)
    reject(connection, EARLIER)
    for _ in range(3):
        with received(connection, LATER) as (_channel, message):
            headers = message.properties["application_headers"]
            told.append(history(headers, redelivered=message.delivery_info["redelivered"], version=version))

    decisions = [decide(each, alone=False, limit=3) for each in told]
    assert Decision.QUARANTINE not in decisions[:2]
    assert decisions[2] is (Decision.RECOUNT if version.keeps_counts_of_dead_letters else Decision.QUARANTINE)


@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_message_that_failed_in_an_earlier_queue_is_run_in_the_later_one(
    broker: Broker, vhost: str, connection: Connection, guard: Guard, tmp_path: Path, queue_type: str
) -> None:
    """No worker of this queue was lost with it, so it is no suspect, and it is done once."""
    declare(connection, EARLIER, "quorum", to=WORK_QUEUE)
    with Celery("sender", broker=broker.url(vhost), set_as_current=False) as sender:
        queue = Queue(EARLIER, no_declare=True)
        sender.send_task(work.name, ("one.",), queue=queue, ignore_result=True)
    worker = worker_process(
        "later@host",
        *("--concurrency", "1"),
        guard=guard,
        broker_url=broker.url(vhost),
        folder=tmp_path,
        PROJ_QUEUE_TYPE=queue_type,
        PROJ_DOT_SECONDS="0.1",
    )
    with worker:
        wait_until_ready(worker)
        fail(connection, EARLIER, times=3)
        reject(connection, EARLIER)
        wait_until(lambda: "[x] Done" in worker.log_text(), what="the task", timeout_s=TIMEOUT_S)
        worker.terminate()
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
    depths = depths_by_declare(connection, [WORK_QUEUE, quarantine_queue(WORK_QUEUE), DEAD_LETTERS])

    assert {depth.ready for depth in depths} == {0}
    assert worker.log_text().count("[x] Received") == 1
    assert "after its worker died" not in worker.log_text()
