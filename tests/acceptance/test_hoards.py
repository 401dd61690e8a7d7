"""A worker of one slot that consumes three queues, of an app that is not ours: what the page and the audit say."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery as CeleryApp
from kombu import Queue

from proj.broker.queue_depths import depths_by_declare
from proj.journal.reader import open_journal
from proj.journal.recording.recorder import Recorder
from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.waiting import wait_until
from proj.metrics.hoards import SHORTEST_S
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

TIMEOUT_S = 60
QUEUES = ("one", "two", "three")
THEIRS = """
import os, pathlib
from celery import Celery
from kombu import Queue
from proj.lab.processes.waiting import wait_until

app = Celery("theirs")
app.conf.update(
    task_queues=[Queue(name, queue_arguments={"x-queue-type": os.environ["QUEUE_TYPE"]}) for name in QUEUES],
    task_default_queue=QUEUES[0],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_detect_quorum_queues=True,
)

@app.task(name="nap")
def nap(end):
    wait_until(pathlib.Path(end).exists, what=end, timeout_s=120)
"""


def notes(flower: FlowerProcess) -> list[str]:
    """What the Dispatch page says above its figures."""
    with urllib.request.urlopen(f"{flower.url}/dispatch/data", timeout=TIMEOUT_S) as answer:
        return [note for note in json.load(answer)["notes"] if "no free slot" in note]


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_page_and_audit_name_a_worker_that_holds_more_messages_than_slots(
    guard: Guard,
    broker: Broker,
    vhost: str,
    tmp_path: Path,
    celery: Celery,
    variables: dict[str, str],
    queue_type: str,
) -> None:
    """They do where the broker counts the prefetch of each queue: always on quorum queues, and on RabbitMQ 4."""
    (tmp_path / "theirs.py").write_text(f"QUEUES = {QUEUES}\n{THEIRS}")
    theirs = {"QUEUE_TYPE": queue_type, "PYTHONPATH": str(tmp_path)}
    node, journal, end = f"w@{vhost}", tmp_path / "run.sqlite", tmp_path / "end"
    options = ("--concurrency", "1", "--task-events")
    worker = worker_process(
        node, *options, guard=guard, broker_url=broker.url(vhost), app="theirs", folder=tmp_path, **theirs
    )
    flower = FlowerProcess(guard, broker_url=broker.url(vhost), management_url=broker.management_url)
    app = CeleryApp(broker=broker.url(vhost), set_as_current=False)
    app.conf.task_queues = [Queue(name, queue_arguments={"x-queue-type": queue_type}) for name in QUEUES]
    with closing(app), worker, flower, Recorder(app, journal, broker_api=broker.management_url):
        wait_until_ready(worker)
        flower.wait_until_ready(flower.hears, timeout_s=TIMEOUT_S)
        wait_until(lambda: queues_of(journal, node) == set(QUEUES), what="the worker's reply", timeout_s=TIMEOUT_S)
        for queue in QUEUES:
            app.send_task("nap", (str(end),), queue=queue)
        shown: list[str] = []

        def page_has_all() -> bool:
            shown.extend(notes(flower))
            if shown:
                return "holds 2 messages" in shown[-1]
            received = worker.log_text().count(" received")
            return (received, ready(app)) == (1, len(QUEUES) - 1) and runs_long_enough(journal)

        wait_until(page_has_all, what="a note, or two messages that stay in their queues", timeout_s=TIMEOUT_S)
        end.touch()
        wait_until(lambda: finished(journal) == len(QUEUES), what="the last event", timeout_s=TIMEOUT_S)
    audit = celery("-A", "theirs", "journal", "audit", str(journal), "--json", **variables, **theirs)

    # All that it was given before its first nap ended.
    held = worker.log_text().partition(" succeeded in ")[0].count(" received")
    document: dict[str, Any] = json.loads(audit.stdout)
    assert (audit.returncode, document["counts"]) == (0, {"finished": len(QUEUES)})
    if queue_type == "quorum":
        assert held == len(QUEUES)
    hoarded = [] if held == 1 else [{"worker": node, "slots": 1, "queues": sorted(QUEUES), "held": held - 1}]
    assert document["hoards"] == hoarded
    assert (f"Worker {node} (1 slot) held up to 2 messages for which" in audit.stderr) == bool(hoarded)
    assert any(f"Worker {node} (1 slot) holds 2 messages for which" in note for note in shown) == bool(hoarded)
    assert bool(shown) == bool(hoarded)


def queues_of(journal: Path, node: str) -> set[str]:
    """The queues that the journal has of a worker, and nothing until it has its slots and mode, too."""
    with open_journal(journal) as reader:
        return {
            queue for one in reader.workers() if one.name == node and one.slots and one.dispatch for queue in one.queues
        }


def ready(app: CeleryApp) -> int:
    """How many messages wait in the queues."""
    with app.connection_for_read() as connection:
        return sum(depth.ready for depth in depths_by_declare(connection, QUEUES))


def runs_long_enough(journal: Path) -> bool:
    """Whether a nap has run for so long that a message held beside it would be noted."""
    with open_journal(journal) as reader:
        return any(one.running and one.started and time.time() - one.started > SHORTEST_S for one in reader.attempts())


def finished(journal: Path) -> int:
    """How many attempts have ended by the journal."""
    with open_journal(journal) as reader:
        return reader.states().get("succeeded", 0)
