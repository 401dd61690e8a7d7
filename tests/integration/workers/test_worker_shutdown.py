"""Running and waiting tasks when a worker gets SIGTERM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.result import ResultSet

if TYPE_CHECKING:
    from celery import Task
    from pytest_celery import CeleryTestSetup

pytestmark = pytest.mark.one_version

#: Seconds until results must be there.
RESULT_TIMEOUT_S = 45
LONG = "long" + 20 * "."
WAITING = ["second", "third", "fourth"]


def test_a_terminated_worker_finishes_its_task_and_leaves_the_others_waiting(
    celery_setup: CeleryTestSetup, work: Task
) -> None:
    """The running task is finished and acknowledged; the others stay in the queue for the next worker."""
    worker = celery_setup.worker
    running = work.delay(LONG)
    worker.container.wait_for_log(f"[x] Received '{LONG}'")
    waiting = ResultSet([work.delay(message) for message in WAITING], app=celery_setup.app)

    worker.kill("SIGTERM")

    assert worker.container.wait_for_exit() == 0
    finished = running.get(timeout=RESULT_TIMEOUT_S)
    assert (finished["message"], finished["redelivered"]) == (LONG, False)
    assert worker.logs().count("[x] Received") == 1
    celery_setup.broker.container.wait_for_depth(ready=len(WAITING))

    worker.restart()

    assert [outcome["message"] for outcome in waiting.get(timeout=RESULT_TIMEOUT_S)] == WAITING
    assert 1 + len(WAITING) == worker.logs().count("[x] Received")
    celery_setup.broker.container.wait_for_depth(ready=0)
