"""`celery -A anyapp queues halt`."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from celery import Celery as CeleryApp

from proj.broker.queue_depths import depths_by_declare
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from tests.processes.worker import wait_until_ready, worker_process

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
    theirs.send(times=9)
    theirs.wait_until_begun(3)

    with ThreadPoolExecutor() as pool:
        halting = pool.submit(celery, "-A", "theirs", "queues", "halt", "--yes", "--json", **variables, IS_WORKER="1")
        wait_until(lambda: theirs.are_halted() or halting.done(), what="the workers to halt", timeout_s=60)
        theirs.end_naps()
        halted = halting.result()

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
    assert ready(celery, variables) == 9 - done


def test_halt_says_which_worker_did_not_answer(celery: Celery, variables: dict[str, str], theirs: Theirs) -> None:
    """Exit code 1. The suspended worker halts when it is resumed."""
    (frozen,) = theirs.start("frozen@x")
    os.kill(frozen.pid, signal.SIGSTOP)

    halted = celery("-A", "theirs", "queues", "halt", "--worker", "frozen@x", "--timeout", "0", **variables)

    assert halted.returncode == 1, halted.stderr
    assert ["frozen@x", "none", "?", "?", "still", "there"] in map(str.split, halted.stdout.splitlines())
    os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: frozen.returncode == 0, what="the frozen worker's end", timeout_s=60)


def test_halt_drain_waits_until_the_queue_is_empty(
    celery: Celery, variables: dict[str, str], theirs: Theirs, guard: Guard, tmp_path: Path
) -> None:
    """Also of messages that tasks publish meanwhile. Only the workers of that queue are halted."""
    theirs.start("one@x", "two@x")
    theirs.send(then=4)
    words = ("-A", "theirs", "queues", "halt", "--drain", "--queue", "theirs")
    halt = Process(
        "halt",
        [sys.executable, "-m", "celery", *words],
        guard=guard,
        environment=child_environment(**variables, PYTHONPATH=str(tmp_path)),
        log=tmp_path / "halt.log",
    )

    with halt:
        halt.wait_until_ready(lambda: "theirs: 0 ready, 1 in work" in halt.log_text(), timeout_s=60)
        theirs.end_naps()
        wait_until(lambda: not halt.running, what="the end of the command", timeout_s=60)

    assert halt.returncode == 0, halt.log_text()
    assert sorted(re.findall(r"\[x\] (\S+) stopped after", halt.log_text())) == ["one@x", "two@x"]
    assert sum(worker.log_text().count("succeeded in") for worker in theirs.workers) == 5
    assert "theirs: 0 ready, 0 in work, 0 unacknowledged" in halt.log_text()
    nobody = celery("-A", "theirs", "queues", "halt", "--queue", "dead_letters", **variables)
    assert (nobody.returncode, nobody.stdout) == (0, "")
    assert "No worker consumes from dead_letters." in nobody.stderr


def test_halt_stops_no_worker_when_the_queue_does_not_run_empty(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """In the given time. The worker goes on."""
    (worker,) = theirs.start("one@x")
    theirs.send()
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


#: An app of somebody else on the same virtual host.
OTHERS = """
from celery import Celery

app = Celery("others")
app.conf.task_default_queue = "others"

@app.task(name="add")
def add(x, y):
    return x + y
"""


@pytest.fixture
def stranger(tmp_path: Path, guard: Guard, variables: dict[str, str], theirs: Theirs) -> Process:
    """A worker of the other app."""
    (tmp_path / "others.py").write_text(OTHERS)
    url = variables["CELERY_BROKER_URL"]
    worker = worker_process(
        "other@x", guard=guard, broker_url=url, app="others", folder=tmp_path, PYTHONPATH=str(tmp_path)
    )
    theirs.workers.append(worker)
    worker.start()
    wait_until_ready(worker)
    return worker


def test_halt_leaves_the_workers_of_another_app_alone(
    celery: Celery, variables: dict[str, str], theirs: Theirs, stranger: Process
) -> None:
    """On the same virtual host. It names them, and halts a silent worker of the app's queue."""
    (frozen,) = theirs.start("frozen@x")
    (one,) = theirs.start("one@x")
    theirs.wait_until_listed()
    os.kill(frozen.pid, signal.SIGSTOP)

    halted = celery(
        *("-A", "theirs", "queues", "halt", "--yes", "--json", "--timeout", "5"), **variables, IS_WORKER="1"
    )
    os.kill(frozen.pid, signal.SIGCONT)

    assert {row["worker"]: row["stopped"] for row in json.loads(halted.stdout)} == {"frozen@x": False, "one@x": True}
    assert "not workers of this app: other@x." in halted.stderr
    assert not one.running
    wait_until(lambda: frozen.returncode == 0, what="the frozen worker's end", timeout_s=60)
    assert stranger.running
    answer = celery("-A", "others", "inspect", "ping", "-d", "other@x", **variables)
    assert answer.returncode == 0, answer.stderr


def test_halt_without_a_terminal_says_whom_it_would_stop_and_stops_nobody(
    celery: Celery, variables: dict[str, str], stranger: Process
) -> None:
    """Exit code 2, until it is told --yes."""
    refused = celery("-A", "others", "queues", "halt", **variables)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "This halts 1 worker: other@x. Say --yes." in refused.stderr
    assert stranger.running
    told = celery("-A", "others", "queues", "halt", "--yes", **variables)
    assert told.returncode == 0, told.stderr
    wait_until(lambda: not stranger.running, what="the worker's end", timeout_s=60)


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_halt_asks_in_a_terminal(
    variables: dict[str, str], stranger: Process, tmp_path: Path, answer: str, code: int
) -> None:
    """And halts when the answer is yes."""
    terminal, side = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "others", "queues", "halt"],
            env=child_environment(**variables),
            cwd=tmp_path,
            stdin=side,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            os.write(terminal, f"{answer}\n".encode())
            _out, err = command.communicate(timeout=100)
    finally:
        os.close(terminal)
        os.close(side)

    assert command.returncode == code, err
    assert "This halts 1 worker: other@x. Go on? [y/N]" in err
    if answer == "n":
        assert stranger.running
    else:
        wait_until(lambda: not stranger.running, what="the worker's end", timeout_s=60)


def test_halt_does_not_guess_whose_workers_are_meant(
    celery: Celery, variables: dict[str, str], stranger: Process, theirs: Theirs
) -> None:
    """Where the app's tasks cannot be imported, and for an app without tasks."""
    theirs.start("one@x")

    failed = celery("-A", "theirs", "queues", "halt", "--yes", **variables)
    empty = celery("queues", "halt", "--yes", **variables)

    assert (failed.returncode, empty.returncode) == (2, 2)
    assert "tasks are for workers" in failed.stderr
    assert "The app has no tasks" in empty.stderr
    assert all("--queue or --worker" in each.stderr for each in (failed, empty))
    assert stranger.running
    assert theirs.workers[-1].running


def test_halt_refuses_a_queue_that_does_not_exist(celery: Celery, variables: dict[str, str], stranger: Process) -> None:
    """With the name that was probably meant."""
    refused = celery("-A", "others", "queues", "halt", "--queue", "dead_leters", **variables)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no queue 'dead_leters'. Did you mean 'dead_letters'?" in refused.stderr
    assert stranger.running


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
        wait_until(lambda: not any(worker.running for worker in workers), what="the workers' end", timeout_s=60)
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
