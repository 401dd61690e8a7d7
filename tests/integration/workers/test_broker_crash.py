"""What becomes of waiting tasks when the broker dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.result import ResultSet

if TYPE_CHECKING:
    from celery import Task
    from pytest_celery import CeleryTestSetup

#: Seconds until all results must be there.
RESULT_TIMEOUT_S = 60
MESSAGES = [f"message {number}" for number in range(100)]


def test_a_hundred_waiting_tasks_outlive_a_killed_broker(celery_setup: CeleryTestSetup, work: Task) -> None:
    """SIGKILL of the broker loses no task whose publish was confirmed: all are there again, and then done."""
    broker, worker = celery_setup.broker, celery_setup.worker
    worker.kill()
    results = ResultSet([work.delay(message) for message in MESSAGES], app=celery_setup.app)
    broker.container.wait_for_depth(ready=len(MESSAGES))

    broker.kill()
    assert broker.container.status == "exited"
    broker.restart()

    broker.container.wait_for_depth(ready=len(MESSAGES))
    worker.restart()
    assert [outcome["message"] for outcome in results.get(timeout=RESULT_TIMEOUT_S)] == MESSAGES
    broker.container.wait_for_depth(ready=0)
    assert len(MESSAGES) == worker.logs().count("[x] Done")
