"""`celery -A proj lab run`."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from proj import metrics, settings
from proj.commands.lab.run import run
from proj.commands.terminal.options import DISPATCH_MODES
from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until
from proj.report.document import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Celery

#: A broker that is not there: the lab must use its own, whatever the user has set.
ELSEWHERE = "amqp://nobody:nothing@127.0.0.1:1//"


@pytest.mark.timeout(240)
def test_run_keeps_what_each_mode_did_with_the_workload(celery: Celery, tmp_path: Path) -> None:
    """Round-robin gives each worker as many tasks as the other, but not as much busy time; the journal shows both."""
    file = tmp_path / "run.sqlite"

    done = celery(
        *("-A", "proj", "lab", "run", *(word for mode in DISPATCH_MODES for word in ("--dispatch", mode))),
        *("--messages", "12", "--dot-seconds", "0.02", "--seed", "7", "-o", str(file)),
        CELERY_BROKER_URL=ELSEWHERE,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "12 of 12 messages done" in done.stderr
    with open_journal(file) as journal:
        runs, workers = journal.runs(), journal.workers()
        round_robin, *fair = (
            metrics.figures(attempts, workers_of(run, attempts, workers))
            for run in runs
            for attempts in [journal.attempts(run.name)]
        )
        assert all(journal.samples(run.name) for run in runs)
    assert (round_robin.jain_counts, round_robin.succeeded) == (1.0, 12)
    assert round_robin.jain_busy < 0.65
    assert round_robin.avoidable_wait_total_s > 0.5 * round_robin.held_wait_total_s
    for figures in fair:
        # 0.9 where a worker that had to wait for a processor left a long message of its half to the other one.
        assert (figures.jain_busy > 0.85, figures.succeeded) == (True, 12)
        assert figures.avoidable_wait_total_s < 0.1 * round_robin.avoidable_wait_total_s
    assert [run.dispatch for run in runs] == list(DISPATCH_MODES)
    assert all(run.ended is not None for run in runs)
    settings = {"workload": "odd-heavy", "messages": 12, "seed": 7, "workers": 2, "slots": 1, "dot_seconds": 0.02}
    assert settings.items() <= runs[0].settings.items()
    assert {"host", "platform", "processors", "memory_bytes", "python", "celery", "kombu", "rabbitmq"} <= set(
        runs[0].machine
    )
    assert {(worker.slots, worker.dispatch, worker.missing_events) for worker in workers} == {
        (1, mode, 0) for mode in DISPATCH_MODES
    }
    told = {worker.dispatch: (worker.window, worker.held, worker.given_back) for worker in workers}
    assert None not in told.pop("adaptive")
    assert set(told.values()) == {(None, None, None)}


@pytest.mark.timeout(240)
def test_run_with_a_killed_worker_records_what_became_of_its_task(celery: Celery, tmp_path: Path) -> None:
    """With late acknowledgement nothing is lost, and the journal has a second attempt. Round-robin loses the task."""
    file = tmp_path / "run.sqlite"

    # One message at one worker: nothing but the broker's own count says whether the rest is still to come. It takes
    # 4 s, so that a busy machine has begun and not ended it at the kill.
    done = celery(
        *("-A", "proj", "lab", "run", *(word for mode in DISPATCH_MODES for word in ("--dispatch", mode))),
        *("--messages", "1", "--workers", "1", "--dot-seconds", "0.2", "--kill-worker-at", "2", "-o", str(file)),
    )

    assert done.returncode == 0, done.stderr
    assert "1 of 1 messages done" in done.stderr
    assert "1 redelivered" in done.stderr
    assert "0 of 1 messages done" in done.stderr
    assert "1 lost with the killed worker" in done.stderr
    with open_journal(file) as journal:
        round_robin, *late = (journal.attempts(run.name) for run in journal.runs())
    assert len(late) == len(DISPATCH_MODES) - 1
    for attempts in late:
        assert [(attempt.number, attempt.state, attempt.redelivered) for attempt in attempts] == [
            (0, "lost", False),
            (1, "succeeded", True),
        ]
        assert attempts[0].worker != attempts[1].worker
    assert [(attempt.number, attempt.state) for attempt in round_robin] == [(0, "started")]


class LabRun:
    """A run that lasts longer than the test, and every process that it started."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.talk_file, self.journal_file = folder / "stderr", folder / "run.sqlite"
        with self.talk_file.open("w") as talk:
            self.popen = subprocess.Popen(
                [*(sys.executable, "-m", "celery", "-A", "proj", "lab", "run"), "-o", str(self.journal_file)],
                env=environment,
                cwd=folder,
                stderr=talk,
            )
        self.family: set[psutil.Process] = set()

    def has_attempts(self) -> bool:
        self.family.update(psutil.Process(self.popen.pid).children(recursive=True))
        if not self.journal_file.exists() or not self.journal_file.stat().st_size:
            return False
        with open_journal(self.journal_file) as journal:
            return any(attempt.succeeded for attempt in journal.attempts())

    def remaining(self) -> list[str]:
        return [
            process.name()
            for process in self.family
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]


@pytest.fixture
def lab_run(terminal_environment: dict[str, str], tmp_path: Path) -> Iterator[LabRun]:
    """A run whose tasks run."""
    lab_run = LabRun(terminal_environment, tmp_path)
    wait_until(lab_run.has_attempts, what="the first attempts in the file", timeout_s=60)
    yield lab_run
    if lab_run.popen.poll() is None:
        lab_run.popen.kill()
        lab_run.popen.wait()


def test_run_that_is_interrupted_leaves_a_readable_journal_and_no_process(lab_run: LabRun) -> None:
    """The journal has what happened until Ctrl-C, and the run has no end."""
    lab_run.popen.send_signal(signal.SIGINT)
    status = lab_run.popen.wait(30)

    assert status == 130
    wait_until(lambda: not lab_run.remaining(), what=f"the end of {lab_run.remaining()}", timeout_s=60)
    with open_journal(lab_run.journal_file) as journal:
        (run,) = journal.runs()
        assert run.ended is None
        assert any(attempt.succeeded for attempt in journal.attempts(run.name))


@pytest.mark.parametrize(
    ("option", "name"),
    [
        (("--workload", "even-heavy"), "--workload"),
        (("--workload", "file:/nowhere.txt"), "/nowhere.txt"),
        (("--dispatch", "unfair"), "--dispatch"),
        (("--slots", "0"), "--slots"),
        (("--kill-worker-at", "-1"), "--kill-worker-at"),
    ],
)
def test_run_refuses_a_wrong_option_before_it_starts_anything(
    celery: Celery, tmp_path: Path, option: tuple[str, str], name: str
) -> None:
    """The exit code is 2, the error names the option, and no file is made."""
    refused = celery("-A", "proj", "lab", "run", "-o", str(tmp_path / "run.sqlite"), *option)

    assert refused.returncode == 2
    assert name in refused.stderr
    assert "Starting" not in refused.stderr
    assert not (tmp_path / "run.sqlite").exists()


def test_run_offers_all_dispatch_modes() -> None:
    """The command's literal list is the one of PROJ_DISPATCH; it is a literal because every worker start loads it."""
    (dispatch,) = (option for option in run.params if option.name == "modes")

    assert tuple(dispatch.type.choices) == tuple(vars(settings)["_MODES"])
    assert dispatch.default == ("adaptive",)


def test_run_does_not_change_a_file_that_is_not_a_journal(celery: Celery, tmp_path: Path) -> None:
    """The user's file stays as it is."""
    file = tmp_path / "letter.txt"
    file.write_text("Dear Sir or Madam, this is no database, however long it may be." * 20)
    before = file.read_text()

    refused = celery("-A", "proj", "lab", "run", "-o", str(file))

    assert refused.returncode == 2
    assert "letter.txt" in refused.stderr
    assert file.read_text() == before
