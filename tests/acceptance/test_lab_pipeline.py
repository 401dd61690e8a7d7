"""`celery -A proj lab pipeline`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Celery

#: A broker that is not there: the lab must use its own, whatever the user has set.
ELSEWHERE = "amqp://nobody:nothing@127.0.0.1:1//"


def test_pipeline_prints_every_word_once_and_its_printers_take_turns(celery: Celery, tmp_path: Path) -> None:
    """As in the tutorial on scaling: one to_upper feeds two printers, and the journal has all attempts."""
    file = tmp_path / "run.sqlite"

    done = celery(
        *("-A", "proj", "lab", "pipeline", "goodbye cruel world I", "am leaving you today", "--stage", "printer=2"),
        *("--dot-seconds", "0.3", "-o", str(file), "--json"),
        CELERY_BROKER_URL=ELSEWHERE,
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    printers, words = zip(*(line.split(": ") for line in result["printed"]), strict=True)
    assert list(words) == ["GOODBYE", "CRUEL", "WORLD", "I", "AM", "LEAVING", "YOU", "TODAY"]
    assert {*printers[::2], *printers[1::2]} == {"P1", "P2"}
    assert len(set(printers[::2])) == len(set(printers[1::2])) == 1
    assert (result["lost"], result["doubled"]) == ([], [])
    assert [(stage["name"], stage["slots"], stage["done"]) for stage in result["stages"]] == [
        ("to_upper", 1, 8),
        ("printer", 2, 8),
    ]
    assert result["ideal_s"] <= result["makespan_s"]
    # The stages ran at the same time: one after the other would take as long as both.
    assert result["makespan_s"] < sum(stage["busy_s"] / stage["slots"] for stage in result["stages"])
    with open_journal(file) as journal:
        (run,) = journal.runs()
        attempts = journal.attempts(run.name)
        assert {sample.queue for sample in journal.samples(run.name)} == {"my_queue", "upper"}
    assert run.ended is not None
    assert {attempt.queue for attempt in attempts} == {"my_queue", "upper"}
    assert [attempt.state for attempt in attempts] == ["succeeded"] * 16


class LabPipeline:
    """A pipeline that runs for longer than the test, and every process that it started."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.talk_file = folder / "talk"
        with self.talk_file.open("w") as talk:
            self.popen = subprocess.Popen(
                [*(sys.executable, "-m", "celery", "-A", "proj", "lab", "pipeline"), "a b", "--dot-seconds", "600"],
                env=environment,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=talk,
            )
        self.family: set[psutil.Process] = set()

    def has_workers(self) -> bool:
        assert self.popen.poll() is None, self.talk_file.read_text()
        self.family.update(psutil.Process(self.popen.pid).children(recursive=True))
        return sum(is_worker(process) for process in self.family) >= 2

    def remaining(self) -> list[psutil.Process]:
        return [process for process in self.family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "worker" in process.cmdline()
    except psutil.Error:
        return False


@pytest.fixture
def lab_pipeline(terminal_environment: dict[str, str], tmp_path: Path) -> Iterator[LabPipeline]:
    """A pipeline whose workers run."""
    lab_pipeline = LabPipeline(terminal_environment, tmp_path)
    yield lab_pipeline
    if lab_pipeline.popen.poll() is None:
        lab_pipeline.popen.kill()
        lab_pipeline.popen.wait()


def test_pipeline_that_is_interrupted_leaves_nothing(lab_pipeline: LabPipeline) -> None:
    """No broker and no worker is left."""
    wait_until(lab_pipeline.has_workers, what="workers", timeout_s=60)

    lab_pipeline.popen.send_signal(signal.SIGINT)
    status = lab_pipeline.popen.wait(30)

    assert status == 130, lab_pipeline.talk_file.read_text()
    wait_until(lambda: not lab_pipeline.remaining(), what=f"the end of {lab_pipeline.remaining()}", timeout_s=60)


@pytest.mark.parametrize(
    ("words", "said"), [(("a", "--stage", "reader=1"), "to_upper, printer"), (("  ",), "There is no word")]
)
def test_pipeline_refuses_wrong_use_before_it_starts_anything(
    celery: Celery, words: tuple[str, ...], said: str
) -> None:
    """The exit code is 2, and the error is one sentence."""
    refused = celery("-A", "proj", "lab", "pipeline", *words)

    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Starting" not in refused.stderr
