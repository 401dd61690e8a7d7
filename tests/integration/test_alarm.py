"""A worker during a memory alarm: the broker reads nothing from connections that publish."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from celery.exceptions import Reject

from proj.broker.management_api import Management
from proj.broker.queue_depths import depths_by_declare
from proj.dashboard.live.broker_poll import has_alarm
from proj.delivery.consuming import forwarder
from proj.delivery.consuming.forwarder import own_connection
from proj.delivery.install import install
from proj.delivery.recovery.unblocked_publisher import PublishersBlocked, unblocked_publisher
from proj.delivery.send_many import send_many
from proj.lab.drills.faults.broker import USUAL_WATERMARK
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu import Connection

    from proj.lab.broker import Broker

#: Seconds of the alarm: longer than the kernel takes to end a connection that nobody reads.
ALARM_S = 5.0
#: Seconds after which a copy that is not confirmed would be published again.
ANSWER_TIMEOUT_S = 0.5
TIMEOUT_S = 60
#: Many large events fill the buffers of a connection soon.
TASKS, TEXT = 1200, 1000 * "x"
#: The first task that waits for the alarm, and the first that waits until the tasks before it were counted.
IN_ALARM, COUNTED = 100, 400


@contextmanager
def alarm(broker: Broker) -> Iterator[None]:
    """The alarm for the time of the block, and until the management API has told of it and of its end.

    That tells what was so some seconds ago, also to the next test.
    """
    management = Management(broker.management_url)

    def told() -> bool | None:
        return has_alarm(management.request("GET", "nodes"))

    broker.order("set_vm_memory_high_watermark", "0.000001")
    try:
        yield
        wait_until(told, what="the alarm to be told", timeout_s=TIMEOUT_S)
    finally:
        broker.order("set_vm_memory_high_watermark", USUAL_WATERMARK)
    wait_until(lambda: told() is False, what="the end of the alarm to be told", timeout_s=TIMEOUT_S)


def letters(connection: Connection) -> int:
    """The dead letters."""
    return sum(depth.ready for depth in depths_by_declare(connection, ["dead_letters"]))


def test_worker_with_events_goes_on_during_an_alarm(
    broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps its events, publishes a dead letter once, takes no lease, and loses no connection."""
    monkeypatch.setattr(forwarder, "ANSWER_TIMEOUT_S", ANSWER_TIMEOUT_S)
    app = Celery("theirs", broker=broker.url(vhost), set_as_current=False)
    app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, worker_hijack_root_logger=False)
    install(app)
    # Celery sets the level of the root logger.
    caplog.set_level("INFO", logger="proj")
    runs: Counter[int] = Counter()
    is_alarm, is_counted = threading.Event(), threading.Event()
    rejected: list[int] = []

    @app.task
    def short(number: int, _text: str) -> None:
        assert number < IN_ALARM or is_alarm.wait(TIMEOUT_S)
        assert number < COUNTED or is_counted.wait(TIMEOUT_S)
        runs[number] += 1
        if is_alarm.is_set() and not rejected:
            rejected.append(number)
            raise Reject(requeue=False)

    def actions() -> set[str]:
        return {record.__dict__["action"] for record in caplog.records if "action" in record.__dict__}

    # The window has the rejected message, until its copy is confirmed.
    with (
        start_worker(app, pool="threads", concurrency=2, task_events=True, perform_ping_check=False),
        app.connection_for_read() as connection,
    ):
        send_many(short.s(number, TEXT) for number in range(TASKS))
        with alarm(broker):
            is_alarm.set()
            # rabbitmqctl returns before the alarm is known to every connection.
            wait_until(lambda: "events_blocked" in actions(), what="the alarm to be known", timeout_s=TIMEOUT_S)
            end, before = time.monotonic() + ALARM_S, runs.total()
            is_counted.set()
            with pytest.raises(PublishersBlocked), unblocked_publisher(own_connection(app)):
                pass
            wait_until(lambda: time.monotonic() > end, what="the alarm", timeout_s=TIMEOUT_S)
            assert runs.total() > before
        wait_until(lambda: len(runs) == TASKS, what="all tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: "events_unblocked" in actions(), what="the end of the alarm", timeout_s=TIMEOUT_S)
        wait_until(lambda: letters(connection), what="the dead letter", timeout_s=TIMEOUT_S)
        assert letters(connection) == len(rejected) == 1

    assert {number: count for number, count in runs.items() if count > 1} == {}
    assert [message for message in caplog.messages if "Connection to broker lost" in message] == []
