"""Adaptive dispatch and the size of the pool: `pool_grow`, `pool_shrink` and `--autoscale`, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES
from tests.integration.adaptive import Client, began, ran, worker_of

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

TIMEOUT_S = 90


def shrank(client: Client) -> bool:
    """Whether the worker's pool has taken the command to end one process."""
    (reply,) = client.app.control.pool_shrink(1, reply=True, timeout=10, limit=1) or [{}]
    return any("ok" in said for said in reply.values())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_worker_has_as_many_tasks_as_its_pool_has_slots_when_it_is_grown_and_shrunk(
    guard: Guard, broker: Broker, vhost: str, client: Client, queue_type: str, tmp_path: Path
) -> None:
    """`pool_grow` lets two more run, and after `pool_shrink` all others stay in the queue again."""
    with worker_of(guard, broker.url(vhost), queue_type, "pool", "--concurrency", "1") as worker:
        grown, shrunk = tmp_path / "grown", tmp_path / "shrunk"
        for number in range(9):
            client.send("wait", f"grown {number}", str(grown))
        wait_until(lambda: client.ready() == 8, what="one message in hand", timeout_s=TIMEOUT_S)

        client.app.control.pool_grow(2)
        wait_until(lambda: sum(began(worker).values()) == 3, what="three tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: client.ready() == 6, what="three messages in hand", timeout_s=60)

        grown.touch()
        wait_until(lambda: sum(ran(worker).values()) == 9, what="all tasks", timeout_s=TIMEOUT_S)
        for left in (2, 1):
            # The pool only ends a process that it knows to be free, and else refuses.
            wait_until(lambda: shrank(client), what="a smaller pool", timeout_s=TIMEOUT_S)
            wait_until(lambda left=left: client.processes() == left, what="its processes", timeout_s=TIMEOUT_S)
        for number in range(4):
            client.send("wait", f"shrunk {number}", str(shrunk))
        # What came in advance goes back.
        wait_until(
            lambda: sum(began(worker).values()) == 10 and client.ready() == 3 and client.dispatch("held") == 0,
            what="one task, and the others in the queue",
            timeout_s=TIMEOUT_S,
        )


@pytest.mark.timeout(180)
def test_worker_under_autoscale_runs_as_many_tasks_as_its_pool_may_have_processes(
    guard: Guard, broker: Broker, vhost: str, client: Client, tmp_path: Path
) -> None:
    """The pool grows for tasks that it was given, so it is given one for each process that it may have."""
    with worker_of(guard, broker.url(vhost), "quorum", "scaled", "--autoscale", "3,1") as worker:
        ended = tmp_path / "ended"
        for number in range(100):
            client.send("run", f"short {number}")
        for number in range(5):
            client.send("wait", str(number), str(ended))
        # A short task that was given back may be behind the long ones in the queue.
        wait_until(
            lambda: sum(text.isdigit() for text in began(worker)) == 3,
            what="three tasks at once",
            timeout_s=TIMEOUT_S,
        )
        begun = sum(began(worker).values())
        wait_until(lambda: client.ready() == 105 - begun, what="the others in the queue", timeout_s=TIMEOUT_S)

        ended.touch()
        wait_until(lambda: sum(ran(worker).values()) == 105, what="all tasks", timeout_s=TIMEOUT_S)
        assert set(ran(worker).values()) == {1}
