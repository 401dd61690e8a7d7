"""Paused queues, with workers of an app that is not ours on a real broker."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection

from proj.broker.connection import connected
from proj.broker.control_bus import ControlBus
from proj.broker.pauses import mark, paused
from proj.broker.queue_depths import QueueDepths, depths_by_declare
from proj.delivery.pausing.pause_workers import PauseOutcome, set_paused
from proj.errors import ProjError
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

TIMEOUT_S = 60
TASKS = 200


class Site:
    """Workers of `pausing_app` on one virtual host, a client, and what their tasks wrote down."""

    def __init__(self, broker: Broker, vhost: str, guard: Guard, folder: Path, **variables: str) -> None:
        self.url = broker.url(vhost)
        self.app = Celery(broker=self.url, set_as_current=False)
        self.depths = QueueDepths(self.app, broker_api=broker.management_url)
        self.notes = folder / "notes"
        self.notes.touch()
        self._guard = guard
        self._folder = folder
        self._variables = variables

    def worker(self, name: str, *options: str) -> Process:
        return worker_process(
            f"{name}@host",
            *options,
            guard=self._guard,
            broker_url=self.url,
            app="pausing_app",
            folder=self._folder,
            PYTHONPATH=str(Path(__file__).parent),
            **self._variables,
        )

    def send(self, task: str, *arguments: Any, queue: str = "first", **options: Any) -> None:
        number, *others = arguments
        self.app.send_task(
            f"pausing_app.{task}",
            (number, str(self.notes), *others),
            exchange=queue,
            routing_key=queue,
            **options,
        )

    def begun(self) -> list[tuple[int, float]]:
        """The number and the time of each task that has begun, as often as it did."""
        lines = (line.split() for line in self.notes.read_text().splitlines())
        return [(int(number), float(at)) for number, at in lines]

    def set(self, *nodes: str, paused: bool) -> list[PauseOutcome]:
        """Pause or resume the queue `first`, until these workers have answered: a busy machine may take longer."""
        last: list[PauseOutcome] = []

        def have_answered() -> bool:
            with ControlBus(self.app) as bus:
                last[:] = set_paused(self.app, bus, self.depths, "first", paused=paused, timeout_s=TIMEOUT_S).workers
            return {each.worker for each in last} == {f"{node}@host" for node in nodes}

        wait_until(have_answered, what="the answers of the workers", timeout_s=TIMEOUT_S)
        return last

    def in_work(self) -> int:
        """Tasks that workers have, by what they say."""
        inspect = self.app.control.inspect(timeout=2)
        replies = [reply for reply in (inspect.active(), inspect.reserved()) if reply]
        return sum(len(tasks) for reply in replies for tasks in reply.values())

    def ready(self, queue: str = "first") -> int:
        with connected(self.app.connection_for_read()) as connection:
            return sum(depth.ready for depth in depths_by_declare(connection, [queue]))


@contextmanager
def site_of(broker: Broker, vhost: str, guard: Guard, folder: Path, **variables: str) -> Iterator[Site]:
    site = Site(broker, vhost, guard, folder, **variables)
    with site.app:
        yield site


@pytest.mark.parametrize(
    ("queue_type", "variables"),
    [("quorum", {"PAUSING_APP_ADAPTIVE": "1"}), ("classic", {"PAUSING_APP_MULTIPLIER": "4"})],
    ids=["adaptive-quorum", "prefetch-classic"],
)
def test_paused_queue_starts_nothing_until_it_is_resumed_and_then_all_once(
    broker: Broker, vhost: str, guard: Guard, tmp_path: Path, queue_type: str, variables: dict[str, str]
) -> None:
    """Nor after a worker was started again, or was started later: the broker keeps the pause."""
    half, end = tmp_path / "half", tmp_path / "end"
    with site_of(broker, vhost, guard, tmp_path, PROJ_QUEUE_TYPE=queue_type, **variables) as site, ExitStack() as stack:
        workers = [stack.enter_context(site.worker(name, "--concurrency", "1")) for name in ("one", "two")]
        wait_until_ready(*workers)
        for number in range(TASKS):
            site.send("wait", number, str(half if number < TASKS / 2 else end))
        half.touch()
        # In adaptive dispatch a message that was given back may come behind the second half.
        wait_until(
            lambda: sum(number >= TASKS / 2 for number, _at in site.begun()) == 2,
            what="a task in each worker that waits for the end",
            timeout_s=TIMEOUT_S,
        )

        followed = site.set("one", "two", paused=True)
        paused_at = time.time()
        end.touch()
        wait_until(lambda: site.in_work() == 0, what="the end of the running tasks", timeout_s=TIMEOUT_S)
        workers[0].kill()
        later = stack.enter_context(site.worker("later", "--concurrency", "1"))
        wait_until_ready(later)
        wait_until(
            lambda: site.ready() == TASKS - len(site.begun()), what="all others in the queue", timeout_s=TIMEOUT_S
        )
        shown = {depth.name: depth.paused for depth in site.depths.read()}
        resumed_at = time.time()
        resumed = site.set("two", "later", paused=False)
        wait_until(lambda: len(site.begun()) >= TASKS, what="the other tasks", timeout_s=TIMEOUT_S)

    assert [each.answer for each in followed] == ["paused", "paused"]
    assert [each.answer for each in resumed] == ["consumes", "consumes"]
    assert [number for number, at in site.begun() if paused_at < at < resumed_at] == []
    assert shown == shown | {"first": True, "second": False}
    assert sorted(number for number, _at in site.begun()) == list(range(TASKS))


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.one_version)])
def test_paused_queue_gets_back_what_waits_for_slot_eta_or_rate_limit(
    broker: Broker, vhost: str, guard: Guard, tmp_path: Path, pool: str
) -> None:
    """The running task goes on, and other queues are consumed from."""
    end = tmp_path / "end"
    with (
        site_of(broker, vhost, guard, tmp_path, PAUSING_APP_MULTIPLIER="10") as site,
        site.worker("holds", "--concurrency", "1", "--pool", pool) as worker,
    ):
        wait_until_ready(worker)
        for number in range(2):
            site.send("limited", number)
        site.send("wait", 10, str(end))
        site.send("step", 11)
        site.send("step", 12, countdown=3600)
        wait_until(lambda: worker.log_text().count("] received") == 5, what="messages in hand", timeout_s=TIMEOUT_S)
        wait_until(lambda: len(site.begun()) == 2, what="the running task", timeout_s=TIMEOUT_S)

        (outcome,) = site.set("holds", paused=True)
        end.touch()
        site.send("step", 20, queue="second")
        wait_until(lambda: 20 in dict(site.begun()), what="a task of another queue", timeout_s=TIMEOUT_S)
        wait_until(lambda: site.ready() == 3, what="three messages that were given back", timeout_s=TIMEOUT_S)

    assert (outcome.running, outcome.given_back) == (1, 3)
    assert [number for number, _at in site.begun()] == [0, 10, 20]


def test_user_who_may_not_ask_for_pauses_goes_on_with_a_warning(
    broker: Broker, vhost: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RabbitMQ 4.3 tells of an exchange only those who have any right on it. A worker must start all the same."""
    broker.management.request("PUT", f"users/{vhost}", {"password": vhost, "tags": ""})
    broker.management.request("PUT", f"permissions/{vhost}/{vhost}", {"configure": "^$", "write": "^$", "read": "^$"})
    with Connection(broker.url(vhost)) as ours:
        mark(ours.connect(), "first")
    with Connection(f"amqp://{vhost}:{vhost}@127.0.0.1:{broker.port}/{vhost}") as theirs:
        found = paused(theirs.connect(), ["first", "second"])
        with pytest.raises(ProjError, match="permission to configure"):
            mark(theirs.connect(), "second")
    broker.management.request("DELETE", f"users/{vhost}")

    warned = [getattr(record, "action", None) for record in caplog.records] == ["pauses_not_read"]
    assert (found, warned) in {(frozenset({"first"}), False), (frozenset(), True)}
