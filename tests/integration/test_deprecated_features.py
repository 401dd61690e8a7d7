"""Our app on a RabbitMQ 4 that refuses everything which a later version may no longer have."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pika
import pytest

from proj.errors import NoJournal, ProcessEnded
from proj.journal.reader import open_journal
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60
NODES = ("one@denied", "two@denied")
TEXTS = ("first.", "second.", "third.")


def features(broker: Broker) -> list[str]:
    """The deprecated features that the broker knows; none before RabbitMQ 3.13, which has no list of them."""
    try:
        listed = broker.order("list_deprecated_features", "name", "deprecation_phase", "--formatter", "csv")
    except ProcessEnded:
        return []
    return [row["name"] for row in csv.DictReader(listed.splitlines()) if row["deprecation_phase"] != "removed"]


class Denied:
    """A broker that denies all of them, and processes of our app on it."""

    def __init__(self, broker: Broker, guard: Guard) -> None:
        self.broker = broker
        self.guard = guard
        self.environment = child_environment(
            CELERY_BROKER_URL=broker.url(),
            CELERY_RESULT_BACKEND="rpc://",
            FLOWER_BROKER_API=broker.management_url,
            PROJ_DOT_SECONDS="0.1",
        )

    def started(self, name: str, *words: str) -> Process:
        process = Process(
            name,
            [sys.executable, "-m", "celery", "-A", "proj", *words],
            guard=self.guard,
            environment=self.environment,
            log=self.guard.folder / f"{name}.log",
        )
        process.start()
        return process

    def done(self, *words: str) -> str:
        """What a `celery` command prints that must succeed."""
        return self.ran("-m", "celery", "-A", "proj", *words).stdout

    def ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A Python program that has ended, and must succeed."""
        ended = subprocess.run(
            [sys.executable, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def read(self, *words: str) -> Any:
        return json.loads(self.done(*words, "--json"))


@pytest.fixture(scope="module")
def denied(broker: Broker) -> Iterator[Denied]:
    known = features(broker)
    if not known:
        pytest.skip("This RabbitMQ has no list of deprecated features: scripts/brokers 4.0, then --rabbitmq=4.0")
    settings = {f"deprecated_features.permit.{name}": "false" for name in known}
    with Guard() as guard, Broker(guard, settings=settings) as denying:
        assert features(denying) == known
        yield Denied(denying, guard)


@pytest.fixture(scope="module")
def workers(denied: Denied) -> Iterator[list[Process]]:
    """Two workers with Celery's own defaults: they look for each other when they start, and exchange events."""
    started = [
        denied.started(f"worker {node}", "worker", "--hostname", node, "--concurrency", "1", "--loglevel", "INFO")
        for node in NODES
    ]
    wait_until_ready(*started)
    yield started
    for worker in started:
        worker.kill()


@pytest.fixture(scope="module")
def journal(denied: Denied, workers: list[Process], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a recorder keeps of these workers."""
    path = tmp_path_factory.mktemp("denied") / "journal.sqlite"
    recorder = denied.started("recorder", "journal", "record", "-o", str(path), "--run", "r")
    recorder.wait_until_ready(lambda: "Recording into" in recorder.log_text(), timeout_s=TIMEOUT_S)

    def knows_all() -> bool:
        with open_journal(path) as journal:
            return {worker.name for worker in journal.workers()} == set(NODES)

    wait_until(knows_all, what="the workers' answers", timeout_s=TIMEOUT_S)
    assert len(workers) == len(NODES)
    yield path
    recorder.kill()


def succeeded(path: Path) -> int:
    try:
        with open_journal(path) as journal:
            return sum(attempt.succeeded for attempt in journal.attempts())
    except NoJournal:
        return 0


def test_broker_denies_what_may_be_removed(denied: Denied) -> None:
    """Otherwise the tests below would show nothing."""
    with (
        pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="transient_nonexcl_queues"),
        pika.BlockingConnection(pika.URLParameters(denied.broker.url())) as connection,
    ):
        connection.channel().queue_declare("transient")


def test_tasks_are_run_and_recorded(denied: Denied, journal: Path) -> None:
    """Also delayed ones; events of tasks reach the recorder through its queue."""
    denied.done("send", *TEXTS)
    denied.done("call", "proj.tasks.work", '--args=["later."]', "--countdown=1")

    wait_until(lambda: succeeded(journal) >= len(TEXTS) + 1, what="all tasks", timeout_s=TIMEOUT_S)


@pytest.mark.usefixtures("workers")
def test_result_comes_back_to_the_caller(denied: Denied) -> None:
    """Through a reply queue of the caller's own."""
    program = "from proj.tasks import work; print(work.delay('asked for.').get(timeout=30)['message'])"

    assert denied.ran("-c", program).stdout.strip() == "asked for."


@pytest.mark.usefixtures("workers")
def test_workers_answer_over_the_control_bus_and_are_healthy(denied: Denied) -> None:
    """As the broker's management API sees them too."""
    assert set(denied.read("inspect", "ping")) == set(NODES)

    def is_healthy() -> bool:
        rows = denied.read("health")
        return {row["worker"] for row in rows} == set(NODES) and all(
            row[part]["answer"] == "yes" for row in rows for part in ("alive", "consuming", "progressing")
        )

    wait_until(is_healthy, what="the health of both", timeout_s=TIMEOUT_S)


@pytest.mark.usefixtures("workers")
def test_queues_are_shown_with_their_consumers(denied: Denied) -> None:
    """Without statistics the management API lists no consumers. `queues` then counts over AMQP, and says so once."""

    def shown() -> subprocess.CompletedProcess[str] | None:
        ended = denied.ran("-m", "celery", "-A", "proj", "queues", "--json")
        (row,) = (row for row in json.loads(ended.stdout) if row["name"] == "task_queue")
        return ended if (row["consumers"], row["unacknowledged"]) == (len(NODES), None) else None

    ended = wait_until(shown, what="the consumers of both", timeout_s=TIMEOUT_S)

    (line,) = ended.stderr.splitlines()
    assert "refuses GET consumers" in line
    assert "So only the app's own queues are shown, without unacknowledged messages." in line


@pytest.mark.usefixtures("workers")
def test_page_hears_the_workers(denied: Denied) -> None:
    """The dashboard gets their events and heartbeats."""
    broker = denied.broker
    flower = FlowerProcess(denied.guard, broker_url=broker.url(), management_url=broker.management_url)
    with flower:
        flower.wait_until_ready(flower.hears, timeout_s=TIMEOUT_S)


def test_workers_are_halted(denied: Denied, workers: list[Process]) -> None:
    """Last, because the tests above need them: each replies, and its process ends."""
    rows = denied.read("queues", "halt", "--yes")

    assert {row["worker"]: row["answer"] for row in rows} == dict.fromkeys(NODES, "halts")
    assert [worker.returncode for worker in workers] == [0, 0]
