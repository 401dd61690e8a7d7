"""An app that moves: stock publishers and workers beside those with `install(app)`, on one classic queue."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

KINDS = ("stock", "installed", "adaptive")
PUBLISHED = """
import os
from mixed_app import note, note_at_second_try
who = os.environ["MIXED"]
for number in range(60):
    note.delay(f"{who}-{number}")
(note.si(f"{who}-first") | note.si(f"{who}-then")).delay()
note.apply_async((f"{who}-later",), countdown=0.5)
note_at_second_try.delay(f"{who}-again")
"""
#: Lines of each publisher.
LINES = 64
TIMEOUT_S = 60


def test_processes_with_and_without_it_run_each_others_tasks_once(
    guard: Guard, broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """So publishers and workers may be changed in any order: chains, countdowns and retries cross over."""
    notes = tmp_path / "notes"
    notes.touch()
    folder = str(Path(__file__).parent)

    def environment(kind: str) -> dict[str, str]:
        return child_environment(CELERY_BROKER_URL=broker.url(vhost), NOTES=str(notes), MIXED=kind, PYTHONPATH=folder)

    with ExitStack() as stack:
        workers = []
        for kind in KINDS:
            command = [sys.executable, "-m", "celery", "-A", "mixed_app", "worker", "--hostname", f"{kind}@host"]
            worker = Process(
                kind,
                [*command, "--concurrency", "1", "--loglevel", "INFO"],
                guard=guard,
                environment=environment(kind),
                log=tmp_path / f"{kind}.log",
            )
            workers.append(stack.enter_context(worker))
        for worker in workers:
            worker.wait_until_ready(lambda one=worker: " ready." in one.log_text(), timeout_s=TIMEOUT_S)
        for published, kind in enumerate(KINDS[:2], 1):
            subprocess.run(
                [sys.executable, "-c", PUBLISHED], env=environment(kind), check=True, timeout=TIMEOUT_S, cwd=os.sep
            )
            # All workers are free then, so that RabbitMQ gives each of them some of the next ones.
            wait_until(
                lambda count=published * LINES: len(notes.read_text().splitlines()) >= count,
                what="all tasks",
                timeout_s=TIMEOUT_S,
            )

    lines = [line.split() for line in notes.read_text().splitlines()]
    assert {text: count for text, count in Counter(text for text, _ in lines).items() if count > 1} == {}
    assert len(lines) == 2 * LINES
    # Each worker has tasks of each publisher.
    assert {(text.split("-")[0], kind) for text, kind in lines} == {(who, kind) for who in KINDS[:2] for kind in KINDS}
