"""The running task of a worker that is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery.exceptions import TimeoutError as ResultTimeout
from pytest_celery import CeleryTestSetup, CeleryTestWorker, CeleryWorkerCluster

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from celery import Task

#: Seconds until a result must be there.
RESULT_TIMEOUT_S = 45
#: Three seconds of work at a tenth of a second a dot: long enough to be interrupted on a busy machine.
LONG = "long" + 30 * "."


def test_task_of_a_killed_worker_is_run_again_after_a_restart(celery_setup: CeleryTestSetup, work: Task) -> None:
    """After a SIGKILL in the middle of a task the broker redelivers its message, with the redelivered flag."""
    worker = celery_setup.worker
    result = work.delay(LONG)
    worker.container.wait_for_log(f"[x] Received '{LONG}'")

    worker.kill()
    assert "[x] Done" not in worker.logs()
    worker.restart()

    outcome = result.get(timeout=RESULT_TIMEOUT_S)
    assert (outcome["message"], outcome["redelivered"]) == (LONG, True)
    celery_setup.broker.container.wait_for_depth(ready=0)


def test_task_of_a_killed_pool_process_is_run_again(celery_setup: CeleryTestSetup, work: Task) -> None:
    """A SIGKILL of the pool process only, as by the kernel when memory is short, requeues the message."""
    worker = celery_setup.worker
    result = work.delay(LONG)
    worker.container.wait_for_log(f"[x] Received '{LONG}'")

    active = celery_setup.app.control.inspect(destination=[worker.hostname()]).active()
    pool_process = active[worker.hostname()][0]["worker_pid"]
    killed = worker.container.exec_run(["sh", "-c", f"kill -KILL {pool_process}"])

    assert killed.exit_code == 0
    outcome = result.get(timeout=RESULT_TIMEOUT_S)
    assert (outcome["message"], outcome["redelivered"]) == (LONG, True)
    worker.assert_log_exists("WorkerLostError")
    assert worker.logs().count("[x] Done") == 1
    celery_setup.broker.container.wait_for_depth(ready=0)


class TestWithTwoWorkers:
    """Two workers of one slot each on the same queue."""

    @pytest.fixture
    def celery_worker_cluster(
        self, celery_setup_worker: CeleryTestWorker, celery_second_worker: CeleryTestWorker
    ) -> CeleryWorkerCluster:
        """Both workers."""
        return CeleryWorkerCluster(celery_setup_worker, celery_second_worker)

    def test_task_of_a_killed_worker_is_run_by_the_other_worker(
        self, celery_setup: CeleryTestSetup, work: Task
    ) -> None:
        """The broker redelivers the message to it, without any help."""
        first, second = celery_setup.worker_cluster
        result = work.delay(LONG)
        received = f"[x] Received '{LONG}'"
        (victim,) = wait_until(
            lambda: [worker for worker in (first, second) if received in worker.logs()],
            what="a worker to receive the task",
            timeout_s=RESULT_TIMEOUT_S,
        )
        other = second if victim is first else first

        victim.kill()

        outcome = result.get(timeout=RESULT_TIMEOUT_S)
        assert (other.hostname(), True) == (outcome["worker"], outcome["redelivered"])
        assert "[x] Done" not in victim.logs()
        celery_setup.broker.container.wait_for_depth(ready=0)


@pytest.mark.parametrize("dispatch", ["round-robin"])
def test_a_task_acknowledged_early_is_lost_with_its_worker(celery_setup: CeleryTestSetup, work: Task) -> None:
    """This is the control: early acknowledgement loses the task, and these tests see the loss."""
    worker = celery_setup.worker
    result = work.delay(LONG)
    worker.container.wait_for_log(f"[x] Received '{LONG}'")

    worker.kill()
    worker.restart()
    later = work.delay("later").get(timeout=RESULT_TIMEOUT_S)

    assert (later["message"], later["redelivered"]) == ("later", False)
    celery_setup.broker.container.wait_for_depth(ready=0)
    assert worker.logs().count(f"[x] Received '{LONG}'") == 1
    with pytest.raises(ResultTimeout):
        result.get(timeout=0.5)
