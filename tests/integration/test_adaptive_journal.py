"""What a journal and an audit tell of a worker in adaptive dispatch, with an app that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from celery import Celery

from proj.broker.queue_depths import QueueDepths
from proj.delivery.health.held_tasks import held_tasks
from proj.journal.ledger import ledger
from proj.journal.reader import open_journal
from proj.journal.recording.recorder import Recorder
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from pathlib import Path

    from proj.journal.records import Worker
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

#: The worker holds its messages for as long as the test needs.
THEIRS = """
from pathlib import Path

from celery import Celery
from proj.delivery.install import install
from proj.lab.processes.waiting import wait_until

app = Celery("theirs")
app.conf.update(
    task_ignore_result=True, task_acks_late=True, task_send_sent_event=True, proj_dispatch_budget_s=600
)
install(app, dispatch="adaptive")


@app.task
def nothing():
    pass


@app.task
def until(path):
    wait_until(Path(path).exists, what=path, timeout_s=240)
"""
SHORT = 200
#: Fewer than a worker asks for in advance after so many short ones.
BEHIND = 4
TIMEOUT_S = 60


@pytest.mark.timeout(240)
def test_held_messages_are_in_the_journal_and_neither_missing_nor_lost(
    guard: Guard, broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """The broker's unacknowledged messages are not known here, and no event tells of them. They go back at the end."""
    url, path, file = broker.url(vhost), tmp_path / "journal.sqlite", tmp_path / "file"
    (tmp_path / "theirs.py").write_text(THEIRS)
    client = Celery(broker=url, set_as_current=False, task_send_sent_event=True)
    no_api = QueueDepths(client, broker_api="http://127.0.0.1:1")
    worker = worker_process(
        *("ahead@host", "--task-events", "--pool", "threads", "--concurrency", "1", "--heartbeat-interval", "1"),
        guard=guard,
        broker_url=url,
        app="theirs",
        folder=tmp_path,
        PYTHONPATH=str(tmp_path),
    )

    def told() -> Worker | None:
        with open_journal(path) as journal:
            return next(iter(journal.workers()), None)

    def ended() -> int:
        with open_journal(path) as journal:
            return sum(attempt.finished is not None for attempt in journal.attempts())

    def send(name: str, *arguments: str) -> None:
        client.send_task(f"theirs.{name}", arguments, ignore_result=True)

    with client, Recorder(client, path, broker_api=broker.management_url), worker:
        wait_until_ready(worker)
        for _ in range(SHORT):
            send("nothing")
        send("until", str(file))
        for _ in range(BEHIND):
            send("nothing")
        wait_until(lambda: ended() == SHORT, what="the end of the short tasks", timeout_s=TIMEOUT_S)
        # Before that it may have held short tasks too.
        wait_until(
            lambda: (one := told()) is not None and (one.held or 0) >= BEHIND,
            what="a heartbeat with all that it holds",
            timeout_s=TIMEOUT_S,
        )
        held = held_tasks(client, no_api, queues=["celery"], dead_letters="dead_letters").holdings
        with open_journal(path) as journal:
            fates = ledger(journal.attempts(), held)

        worker.terminate()
        wait_until(
            lambda: (one := told()) is not None and bool(one.given_back), what="the last counts", timeout_s=TIMEOUT_S
        )
        file.touch()
        wait_until(lambda: not worker.running, what="its end", timeout_s=TIMEOUT_S)

    assert (held.unacknowledged, held.in_advance, fates.missing) == (None, BEHIND, 0)
    assert fates.counts == {"finished": SHORT, "running": 1, "waiting in the broker": BEHIND}
    one = told()
    assert one is not None
    assert (one.dispatch, one.given_back, one.missing_events) == ("adaptive", BEHIND, 0)
    # The most that a heartbeat told.
    assert BEHIND <= (one.held or 0) <= (one.window or 0)
    with open_journal(path) as journal:
        assert journal.gaps() == []
