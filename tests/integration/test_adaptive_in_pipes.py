"""Tasks that were written in advance to the pipe of a busy pool process, on a real broker."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from tests.integration.adaptive import BEHIND, TIMEOUT_S, Client, began, holding, ran, worker_of

if TYPE_CHECKING:
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

SHORT = [f"before {number}" for number in range(200)]


def has_ended(pid: int) -> bool:
    """Whether the process is gone; nobody may have asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.timeout(180)
def test_tasks_in_the_pipe_of_a_killed_process_are_run_once(
    guard: Guard, broker: Broker, vhost: str, client: Client, tmp_path: Path
) -> None:
    """Only the task that it ran is run again; the others were never begun, so none of them is a suspect."""
    end = tmp_path / "end"
    with holding(guard, broker.url(vhost), client, "quorum", end) as (worker, _ids):
        assert client.in_pipes() > 0
        (process,) = client.stats()["pool"]["processes"]
        os.kill(process, signal.SIGKILL)
        end.touch()
        wait_until(lambda: len(ran(worker)) == 221, what="all tasks", timeout_s=TIMEOUT_S)

        assert ran(worker) == Counter([*SHORT, *BEHIND, "long"])
        assert began(worker)["long"] == 2
        wait_until(lambda: client.unacknowledged(broker, vhost) == 0, what="all settled", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(180)
def test_processes_of_a_killed_worker_begin_no_task_that_is_in_their_pipes(
    guard: Guard, broker: Broker, vhost: str, client: Client, tmp_path: Path
) -> None:
    """The broker has given these tasks to other workers. Each process holds the other's pipes open."""
    end = tmp_path / "end"
    url = broker.url(vhost)
    with holding(guard, url, client, "quorum", end, slots=2) as (worker, _ids):
        assert client.in_pipes() > 0
        processes = client.stats()["pool"]["processes"]
        # Some were run while the second long task was on its way.
        begun = began(worker)
        os.kill(worker.pid, signal.SIGKILL)
        # The kernel ends it somewhat later; until then it is still their parent.
        wait_until(lambda: has_ended(worker.pid), what="the end of the worker", timeout_s=TIMEOUT_S)
        end.touch()
        for process in processes:
            wait_until(lambda process=process: has_ended(process), what="the end of a process", timeout_s=TIMEOUT_S)
        with worker_of(guard, url, "quorum", "next", "--concurrency", "1") as other:
            rest = set(BEHIND) - set(begun)
            wait_until(lambda: rest <= set(ran(other)), what="all other tasks", timeout_s=TIMEOUT_S)

            assert rest
            assert began(worker) == begun
            assert all(ran(other)[text] == 1 for text in rest)


@pytest.mark.timeout(180)
def test_free_process_takes_the_tasks_in_the_pipe_of_a_busy_one(
    guard: Guard, broker: Broker, vhost: str, client: Client, tmp_path: Path
) -> None:
    """A task never waits for one process while another process of the same worker is free."""
    end = tmp_path / "end"
    with worker_of(guard, broker.url(vhost), "quorum", "two", "--concurrency", "2", budget_s=600) as worker:
        texts = list(SHORT)
        for text in SHORT:
            client.send("run", text)
        client.send("wait", "long", str(end))
        for number in range(300):
            texts.append(f"after {number}")
            client.send("run", texts[-1])
        wait_until(lambda: len(ran(worker)) == len(texts), what="all but the long task", timeout_s=TIMEOUT_S)

        assert client.dispatch("given_back") == 0
        end.touch()
        wait_until(lambda: ran(worker) == Counter([*texts, "long"]), what="all tasks", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(180)
def test_tasks_in_the_pipe_of_a_process_that_is_replaced_are_run_once(
    guard: Guard, broker: Broker, vhost: str, client: Client
) -> None:
    """`--max-tasks-per-child` ends a process whatever waits for it."""
    with worker_of(
        guard, broker.url(vhost), "quorum", "replaced", "--concurrency", "1", "--max-tasks-per-child", "60"
    ) as worker:
        for text in SHORT:
            client.send("run", text)
        wait_until(lambda: len(ran(worker)) == len(SHORT), what="all tasks", timeout_s=TIMEOUT_S)

        assert ran(worker) == Counter(SHORT)
        wait_until(lambda: client.unacknowledged(broker, vhost) == 0, what="all settled", timeout_s=TIMEOUT_S)


@pytest.mark.timeout(180)
def test_large_tasks_among_small_ones_are_run_once(guard: Guard, broker: Broker, vhost: str, client: Client) -> None:
    """A task that takes several packets is never written in advance, nor is one behind it."""
    with worker_of(guard, broker.url(vhost), "quorum", "large", "--concurrency", "1") as worker:
        texts = []
        for number in range(300):
            texts.append(f"{number} " + ("x" * 20_000 if number % 10 == 9 else ""))
            client.send("run", texts[-1], 0.1 if number % 60 == 59 else 0.0)
        wait_until(lambda: len(ran(worker)) == len(texts), what="all tasks", timeout_s=TIMEOUT_S)

        assert ran(worker) == Counter(texts)
