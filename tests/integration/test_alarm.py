"""A worker during a memory alarm: the broker reads nothing from connections that publish."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from celery import Celery
from celery.contrib.testing.worker import start_worker

from proj.delivery.consuming import lease
from proj.delivery.install import install
from proj.delivery.send_many import send_many
from proj.lab.drills.faults.broker import USUAL_WATERMARK
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker

#: Seconds of the alarm: longer than a lease, and than the kernel takes to end a connection that nobody reads.
ALARM_S = 6.0
LEASE_S = 4.0
TIMEOUT_S = 60
#: Many large events fill the buffers of a connection soon.
TASKS, TEXT = 1200, 1000 * "x"


@contextmanager
def alarm(broker: Broker) -> Iterator[None]:
    """The alarm for the time of the block."""
    broker.order("set_vm_memory_high_watermark", "0.000001")
    try:
        yield
    finally:
        broker.order("set_vm_memory_high_watermark", USUAL_WATERMARK)


def test_worker_with_events_and_a_leased_message_goes_on_during_an_alarm(
    broker: Broker,
    vhost: str,
    version: BrokerVersion,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It only consumes, and keeps its events and its lease; neither is a reason to lose a connection or run twice."""
    monkeypatch.setattr(lease, "SHORTEST_LEASE_S", LEASE_S)
    app = Celery("theirs", broker=broker.url(vhost), set_as_current=False)
    app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=1, proj_consumer_timeout_s=1.5)
    app.conf.worker_hijack_root_logger = False
    install(app)
    # Celery sets the level of the root logger.
    caplog.set_level("INFO", logger="proj")
    runs: Counter[int] = Counter()
    released = threading.Event()

    @app.task
    def long() -> None:
        runs[-1] += 1
        released.wait(TIMEOUT_S)

    @app.task
    def short(number: int, _text: str) -> None:
        runs[number] += 1
        time.sleep(0.005)

    def actions() -> set[str]:
        return {record.__dict__["action"] for record in caplog.records if "action" in record.__dict__}

    has_lease = not version.lets_consumers_set_timeout
    with start_worker(app, pool="threads", concurrency=2, task_events=True, perform_ping_check=False):
        long.delay()
        wait_until(lambda: not has_lease or "message_leased" in actions(), what="the lease", timeout_s=TIMEOUT_S)
        send_many(short.s(number, TEXT) for number in range(TASKS))
        with alarm(broker):
            began = time.monotonic()
            before = runs.total()
            wait_until(lambda: time.monotonic() - began > ALARM_S, what="the alarm", timeout_s=TIMEOUT_S)
            assert runs.total() > before
        wait_until(lambda: len(runs) == TASKS + 1, what="all tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: "events_unblocked" in actions(), what="the end of the alarm", timeout_s=TIMEOUT_S)
        released.set()

    assert set(runs.values()) == {1}
    assert [message for message in caplog.messages if "Connection to broker lost" in message] == []
    assert not has_lease or "lease_held" in actions()
