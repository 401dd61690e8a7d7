"""`celery -A anyapp journal record`."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from kombu import Connection

from proj.errors import NoJournal
from proj.journal.reader import open_journal
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from proj.journal.attempt import Attempt
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

#: An app that does not use proj.
THEIRS = """
from celery import Celery

app = Celery("theirs")
app.conf.task_send_sent_event = True


@app.task
def add(x, y):
    return x + y
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def their_environment(tmp_path: Path, variables: dict[str, str]) -> dict[str, str]:
    (tmp_path / "theirs.py").write_text(THEIRS)
    return child_environment(PYTHONPATH=str(tmp_path), **variables)


@pytest.fixture
def process(guard: Guard, tmp_path: Path, their_environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Start `celery …` processes, which end with the test."""
    started: list[Process] = []

    def start(name: str, *words: str) -> Process:
        process = Process(
            name,
            [sys.executable, "-m", "celery", *words],
            guard=guard,
            environment=their_environment,
            log=tmp_path / f"{name}.log",
        )
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def record(process: Callable[..., Process], path: Path) -> Callable[[str], Process]:
    """Start a recorder, and return when it records."""

    def start(name: str) -> Process:
        recorder = process(name, "-A", "theirs", "journal", "record", "-o", str(path), "--run", "r")
        recorder.wait_until_ready(lambda: "Recording into" in recorder.log_text(), timeout_s=60)
        return recorder

    return start


def attempts(path: Path) -> list[Attempt]:
    try:
        with open_journal(path) as journal:
            return journal.attempts()
    except NoJournal:
        return []


def test_other_app_is_recorded_audited_and_reported_although_the_recorder_is_killed(
    celery: Celery,
    process: Callable[..., Process],
    record: Callable[[str], Process],
    variables: dict[str, str],
    path: Path,
) -> None:
    """The recorder is killed, a task runs meanwhile, and the restarted recorder has all its events."""
    # Without -E: only the recorder can have enabled its events.
    worker = process("worker", "-A", "theirs", "worker", "--hostname", "w@h", "--concurrency", "2")

    def call(times: int) -> None:
        for number in range(times):
            called = celery("-A", "theirs", "call", "theirs.add", f"--args=[{number}, 1]", **variables)
            assert called.returncode == 0, called.stderr

    def succeeded(count: int) -> bool:
        return sum(attempt.succeeded for attempt in attempts(path)) == count

    def known_slots() -> bool:
        with open_journal(path) as journal:
            return [worker.slots for worker in journal.workers()] == [2]

    recorder = record("first")
    wait_until(known_slots, what="the worker's answer", timeout_s=60)
    call(1)
    wait_until(lambda: succeeded(1), what="the first task", timeout_s=60)
    recorder.kill()
    call(1)
    recorder = record("second")
    call(1)
    wait_until(lambda: succeeded(3), what="all three tasks", timeout_s=60)
    worker.stop()
    recorder.terminate()
    wait_until(lambda: not recorder.running, what="the recorder's end", timeout_s=60)

    assert recorder.returncode == 0, recorder.log_text()
    with open_journal(path) as journal:
        (worker_record,) = journal.workers()
        run, *others = journal.runs()
        assert (worker_record.name, worker_record.queues, worker_record.dispatch) == ("w@h", ("celery",), "other")
        assert (worker_record.started_seen, worker_record.missing_events) == (3, 0)
        assert abs(worker_record.skew_s or 9) < 1
        assert journal.gaps() == []
        assert {sample.queue for sample in journal.samples()} >= {"celery"}
        assert (run.name, run.ended is not None, others) == ("r", True, [])
    for attempt in attempts(path):
        assert (attempt.name, attempt.queue, attempt.worker, attempt.run) == ("theirs.add", "celery", "w@h", "r")
        assert None not in (attempt.received, attempt.started, attempt.finished, attempt.runtime_s)
    audited = celery("-A", "theirs", "journal", "audit", str(path), **variables)
    assert (audited.returncode, ["finished", "3"] in [line.split() for line in audited.stdout.splitlines()]) == (
        0,
        True,
    )
    reported = celery("-A", "theirs", "journal", "report", str(path), "--format", "markdown")
    assert (reported.returncode, "w@h" in reported.stdout) == (0, True), reported.stderr


def test_record_ends_cleanly_at_ctrl_c(record: Callable[[str], Process], path: Path) -> None:
    """It prints the number of events, and leaves one file."""
    recorder = record("recorder")

    os.kill(recorder.pid, signal.SIGINT)
    wait_until(lambda: not recorder.running, what="the recorder's end", timeout_s=60)

    assert recorder.returncode == 0, recorder.log_text()
    assert f"written to {path}" in recorder.log_text()
    assert sorted(file.name for file in path.parent.glob(f"{path.name}*")) == [path.name]


def test_forget_deletes_the_event_queue_that_queues_named(
    celery: Celery, record: Callable[[str], Process], variables: dict[str, str], path: Path
) -> None:
    """The broker then keeps no events for the journal."""
    record("recorder").stop()
    with open_journal(path) as journal:
        queue = journal.note("queue")
    assert queue is not None

    def shown() -> str:
        return celery("-A", "theirs", "queues", **variables).stderr

    # The broker's list of consumers is some seconds late.
    wait_until(lambda: queue in shown(), what="the note on the event queue", timeout_s=60)
    assert f"celery -A theirs journal record -o {path} --forget" in shown()
    deleted = celery("-A", "theirs", "journal", "record", "-o", str(path), "--forget", **variables)

    assert (deleted.returncode, deleted.stdout) == (0, "")
    assert f"Deleted the queue {queue}" in deleted.stderr
    with Connection(variables["CELERY_BROKER_URL"]) as connection, pytest.raises(connection.channel_errors):
        connection.default_channel.queue_declare(queue=queue, passive=True)
    assert queue not in shown()


def test_record_without_a_broker_fails_at_once(celery: Celery, tmp_path: Path) -> None:
    """It prints one sentence and exits with 3."""
    (tmp_path / "theirs.py").write_text(THEIRS)

    refused = celery("-A", "theirs", "journal", "record", "-o", "x.sqlite", CELERY_BROKER_URL="amqp://127.0.0.1:1//")

    assert refused.returncode == 3
    assert "No broker answers" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_record_refuses_a_file_that_is_not_a_journal(celery: Celery, variables: dict[str, str], tmp_path: Path) -> None:
    """The file stays unchanged."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    (tmp_path / "notes").write_text("mine" * 1000)

    refused = celery("-A", "theirs", "journal", "record", "-o", "notes", **variables)

    assert refused.returncode == 2
    assert "cannot be used as a journal" in refused.stderr
    assert (tmp_path / "notes").read_text() == "mine" * 1000
