"""`celery -A anyapp queues halt`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from celery import Celery as CeleryApp

from proj.broker.queue_depths import depths_by_declare
from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.processes.guard import Guard

    from .conftest import Celery, Theirs


def test_halt_stops_every_worker_and_returns_held_messages(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """Running tasks are finished, held messages are ready again, and a worker without `answer_halt` stops too."""
    ours = theirs.start("one@x", "two@x")
    (stock,) = theirs.start("stock@x", answers=False)
    # More than they finish before the command, which takes seconds to start on a busy machine, tells them to halt.
    theirs.send(1.5, times=99)
    theirs.wait_until_begun(3)

    halted = celery("-A", "theirs", "queues", "halt", "--json", **variables)

    assert halted.returncode == 0, halted.stderr
    rows = {row["worker"]: row for row in json.loads(halted.stdout)}
    assert {name: row["answer"] for name, row in rows.items()} == {
        "one@x": "halts",
        "two@x": "halts",
        "stock@x": "none: told to shut down",
    }
    # A worker that answers counts as stopped when its process has ended.
    assert [worker.returncode for worker in ours] == [0, 0]
    assert [rows[name]["running"] for name in ("one@x", "two@x")] == [1, 1]
    wait_until(lambda: not stock.running, what="the stock worker's end", timeout_s=60)
    done = sum(worker.log_text().count("succeeded in") for worker in theirs.workers)
    assert ready(celery, variables) == 99 - done


def test_halt_says_which_worker_did_not_answer(celery: Celery, variables: dict[str, str], theirs: Theirs) -> None:
    """Exit code 1. The suspended worker halts when it is resumed."""
    (frozen,) = theirs.start("frozen@x")
    os.kill(frozen.pid, signal.SIGSTOP)

    halted = celery("-A", "theirs", "queues", "halt", "--worker", "frozen@x", "--timeout", "0", **variables)

    assert halted.returncode == 1, halted.stderr
    assert ["frozen@x", "none", "?", "?", "still", "there"] in map(str.split, halted.stdout.splitlines())
    os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: frozen.returncode == 0, what="the frozen worker's end", timeout_s=20)


def test_halt_drain_waits_until_the_queue_is_empty(celery: Celery, variables: dict[str, str], theirs: Theirs) -> None:
    """Also of messages that tasks publish meanwhile. Only the workers of that queue are halted."""
    theirs.start("one@x", "two@x")
    theirs.send(0.3, 4)

    halted = celery("-A", "theirs", "queues", "halt", "--drain", "--queue", "theirs", "--json", **variables)

    assert halted.returncode == 0, halted.stderr
    assert [row["stopped"] for row in json.loads(halted.stdout)] == [True, True]
    assert sum(worker.log_text().count("succeeded in") for worker in theirs.workers) == 5
    assert "theirs: 0 ready, 0 in work, 0 unacknowledged" in halted.stderr
    nobody = celery("-A", "theirs", "queues", "halt", "--queue", "other", **variables)
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert "No worker consumes from other." in nobody.stderr


def test_halt_stops_no_worker_when_the_queue_does_not_run_empty(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """In the given time. The worker goes on."""
    (worker,) = theirs.start("one@x")
    theirs.send(30)
    theirs.wait_until_begun(1)

    failed = celery(
        *("-A", "theirs", "queues", "halt", "--worker", "one@x", "--drain", "--drain-timeout", "0"), **variables
    )
    unknown = celery("-A", "theirs", "queues", "halt", "--worker", "nobody@x", **variables)

    assert failed.returncode == 1
    assert "theirs to run empty; there is still 0 ready, 1 in work" in failed.stderr
    assert worker.running
    assert unknown.returncode == 1
    assert "There is no worker 'nobody@x' on this broker. Running workers: one@x." in unknown.stderr


def test_halt_drain_ends_a_pipeline_stage_after_stage(celery: Celery, variables: dict[str, str], guard: Guard) -> None:
    """The workers of the first queue end before those of the second, and all messages are processed."""
    url = variables["CELERY_BROKER_URL"]
    workers = [
        Worker(
            f"{name}@{secrets.token_hex(2)}",
            guard=guard,
            broker_url=url,
            queue=queue,
            dispatch="adaptive",
            slots=1,
            dot_seconds=0.2,
        )
        for name, queue in (("T1", "my_queue"), ("P1", "upper"), ("P2", "upper"))
    ]
    client = CeleryApp(set_as_current=False)
    client.config_from_object("proj.settings")
    client.conf.update(broker_read_url=url, broker_write_url=url)
    with contextlib.ExitStack() as running:
        running.callback(client.close)
        for worker in workers:
            running.callback(worker.kill)
            worker.start()
        for worker in workers:
            wait_until_ready(worker)
        for number in range(6):
            client.send_task("proj.tasks.to_upper", (f"word {number}",), queue="my_queue", ignore_result=True)

        halted = celery(
            *("-A", "proj", "queues", "halt", "--queue", "my_queue", "--queue", "upper", "--drain", "--json"),
            **variables,
        )

        assert halted.returncode == 0, halted.stderr
        rows = json.loads(halted.stdout)
        assert [row["worker"] for row in rows] == [worker.node for worker in workers]
        assert [row["stopped"] for row in rows] == [True] * 3
        wait_until(lambda: not any(worker.running for worker in workers), what="the workers' end", timeout_s=15)
    printed = sorted(
        word for worker in workers[1:] for word in re.findall(r"P\d: (WORD \d)$", worker.log_text(), re.MULTILINE)
    )
    assert printed == [f"WORD {number}" for number in range(6)]
    # When the first worker was halted, the others had work left: the first stage did not wait for the last.
    assert halted.stderr.index(workers[0].node) < halted.stderr.index("upper: 0 ready, 0 in work, 0 unacknowledged")
    with client.connection_for_read() as connection:
        depths = depths_by_declare(connection, ["my_queue", "upper"])
    assert [(depth.ready, depth.consumers) for depth in depths] == [(0, 0), (0, 0)]


def test_halt_says_that_no_broker_answers(tmp_path: Path) -> None:
    """Exit code 3."""
    failed = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "proj", "queues", "halt"],
        env=child_environment(CELERY_BROKER_URL="amqp://127.0.0.1:1//"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert failed.returncode == 3
    assert "No broker answers" in failed.stderr


def ready(celery: Celery, variables: dict[str, str]) -> int:
    depths = json.loads(celery("-A", "theirs", "queues", "--json", **variables).stdout)
    return sum(depth["ready"] for depth in depths if depth["name"] == "theirs")
