"""The journal that the dashboard writes, and from which it goes on after a restart."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.dashboard.live.journal_archive import JournalArchive
from proj.dashboard.live.monitor import Monitor, Settings
from proj.journal.reader import open_journal
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def watching(path: Path, **more: Any) -> Monitor:
    app = Celery("theirs", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    return Monitor(app, Settings(**{"journal": path, **more}))


def task(kind: str, task_id: str) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": task_id, "timestamp": time.time(), "hostname": "w@h", "args": "('kept',)"}


def marked(state: str) -> dict[str, Any]:
    return {"type": "dispatch-run", "run": "compared", "state": state, "queues": ["q"]}


def shown(monitor: Monitor) -> dict[str, Any]:
    return json.loads(monitor.snapshot())


def test_marked_run_goes_on_after_a_restart_and_is_in_the_journal(path: Path) -> None:
    """It goes on until its end is published. Tasks of other queues, and later ones, do not belong to it."""
    with watching(path) as monitor:
        monitor.hear(marked("began"))
        monitor.hear({**task("sent", "a"), "queue": "q"})
        wait_until(lambda: shown(monitor)["run"] == "compared", what="the run", timeout_s=60)
    with watching(path) as monitor:
        monitor.hear({**task("sent", "b"), "queue": "q"})
        monitor.hear({**task("sent", "c"), "queue": "elsewhere"})
        monitor.hear(marked("ended"))
        monitor.hear({**task("sent", "d"), "queue": "q"})
        wait_until(lambda: shown(monitor)["events"]["heard"] == 4, what="the events", timeout_s=60)
        runs = {run["name"]: run["attempts"] for run in shown(monitor)["runs"]}

    with open_journal(path) as journal:
        assert {one.task_id: one.run for one in journal.attempts()} == {
            "a": "compared", "b": "compared", "c": None, "d": None
        }  # fmt: skip
        assert [(run.name, run.ended is None) for run in journal.runs()] == [("compared", False)]
        assert {one.arguments for one in journal.attempts()} == {"('kept',)"}
    assert runs.pop("compared") == 2
    assert list(runs.values()) == [2]


def test_history_begins_with_the_latest_attempts_of_its_journal(path: Path) -> None:
    """No more than may be kept, because a journal may be very long."""
    with watching(path) as monitor:
        for number in range(20):
            monitor.hear(task("received", f"t{number}"))
    with watching(path, keep=5) as monitor:
        assert shown(monitor)["kept"] == {"attempts": 5, "of": 5}


def test_page_goes_on_when_its_journal_cannot_be_written_any_more(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note says so. A full disk must not end the page."""

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(JournalArchive, "write", full)
    with watching(path) as monitor:
        monitor.hear(task("received", "t"))
        wait_until(lambda: shown(monitor)["report"], what="the event", timeout_s=60)

        assert any("disk is full" in note for note in shown(monitor)["notes"])
