"""Waiting tasks when the broker is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.result import ResultSet

if TYPE_CHECKING:
    from celery import Task
    from pytest_celery import CeleryTestSetup

#: Seconds until all results must be there.
RESULT_TIMEOUT_S = 60
MESSAGES = [f"message {number}" for number in range(100)]


def test_a_hundred_waiting_tasks_survive_a_killed_broker(celery_setup: CeleryTestSetup, work: Task) -> None:
    """After a SIGKILL of the broker all tasks whose publish was confirmed are in the queue again, and are run."""
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
