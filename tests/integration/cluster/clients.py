"""Clients of a cluster whose connections all begin with the same node, and what they do while it dies."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from click.testing import CliRunner

from proj.broker.connection import connected, count_queue, default_channel
from proj.delivery.install import install
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process
from proj.queues import DEAD_LETTERS
from tests.processes.worker import worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import click

    from proj.lab.cluster import Cluster
    from proj.lab.processes.guard import Guard
    from proj.messaging import MessageQueue

QUEUE = "many"
#: An app whose connections begin with the first URL.
APP = "pinned_app"


class Clients:
    """Clients of one virtual host, which know all nodes, and begin with the first."""

    def __init__(self, cluster: Cluster, vhost: str, guard: Guard, folder: Path) -> None:
        self.url, self.api = cluster.url(vhost), cluster.management_url
        #: With the settings of ours, and a task that nobody runs.
        self.app = Celery("clients", set_as_current=False)
        self.app.config_from_object("proj.settings")
        self.app.conf.broker_url = self.url
        install(self.app)
        self.app.task(name="clients.task")(_do_nothing)
        self._guard = guard
        self._folder = folder
        self._variables = {
            "PYTHONPATH": str(Path(__file__).parent),
            "FLOWER_BROKER_API": self.api,
            "PROJ_DOT_SECONDS": "0.1",
            "PROJ_CONSUMER_TIMEOUT_SECONDS": "3",
            "PROJ_DISPATCH": "fair",
        }

    def worker(self, *settings: str) -> Process:
        """A worker of our app with two slots; `settings` are Celery's, as `name=value`."""
        return worker_process(
            "clients@host",
            *("--concurrency", "2", "--heartbeat-interval", "1"),
            *(("--", *settings) if settings else ()),
            guard=self._guard,
            broker_url=self.url,
            app=APP,
            folder=self._folder,
            **self._variables,
        )

    def dashboard(self) -> Page:
        """The dashboard of our app."""
        port = free_port()
        process = Process(
            "dashboard",
            [*(sys.executable, "-m", "celery", "-A", APP, "dashboard"), f"--address={LOOPBACK}", f"--port={port}"],
            guard=self._guard,
            environment=child_environment(CELERY_BROKER_URL=self.url, **self._variables),
            log=self._folder / "dashboard.log",
        )
        return Page(process, port)

    def command(self, command: click.Command, *words: str) -> tuple[int, str]:
        """The exit code and the output of `celery -A pinned_app …`."""

        class Context:
            app = self.app

        ran = CliRunner().invoke(command, [*words, "--broker-api", self.api], obj=Context(), catch_exceptions=False)
        # A failed test shows it.
        print(ran.output)
        return ran.exit_code, ran.output

    @contextmanager
    def lost_results(self) -> Iterator[Callable[[], int]]:
        """What tells how many results were lost, as the latest heartbeat of a worker says."""
        counts = [-1]
        with self.app.connection_for_read() as connection:
            receiver = self.app.events.Receiver(
                connection, handlers={"worker-heartbeat": lambda event: counts.append(event["results_lost"])}
            )

            with receiver.consumer_context() as (own, _, _):

                def latest() -> int:
                    with suppress(TimeoutError):
                        while True:
                            own.drain_events(timeout=0.1)
                    return counts[-1]

                yield latest

    def letters(self) -> int:
        """How many dead letters wait."""
        with connected(Celery(broker=self.url, set_as_current=False).connection_for_read()) as connection:
            return int(count_queue(default_channel(connection), DEAD_LETTERS).message_count)

    def bodies_of_letters(self) -> str:
        """The bodies of all dead letters that wait, of any test; they stay."""
        found = []
        with connected(Celery(broker=self.url, set_as_current=False).connection_for_read()) as connection:
            channel = default_channel(connection)
            while (message := channel.basic_get(DEAD_LETTERS)) is not None:
                found.append(str(message.body))
        return "\n".join(found)

    def ids(self) -> set[str]:
        """The ids of all tasks that wait in the queue of `app`, which are taken out of it."""
        found = set()
        with connected(Celery(broker=self.url, set_as_current=False).connection_for_read()) as connection:
            channel = default_channel(connection)
            while (message := channel.basic_get(QUEUE, no_ack=True)) is not None:
                found.add(message.properties["correlation_id"])
        return found


class Page:
    """The page of a dashboard."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._port = port

    def ask(self, path: str) -> Any:
        """The answer as JSON; None without one."""
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}{path}", timeout=10) as answer:
                return json.load(answer)
        except OSError:
            return None

    def heard(self) -> int:
        """The events that it has received."""
        return int((self.ask("/dispatch/data") or {"events": {"heard": 0}})["events"]["heard"])

    def ready(self, queue: str) -> int:
        """The messages that are ready in the queue, as it shows them; -1 when it shows none."""
        rows = (self.ask("/dispatch/now?window=60") or {}).get("queues", ())
        return next((row["ready"] for row in rows if row["name"] == queue and row["ready"] is not None), -1)


@contextmanager
def consuming(queue: MessageQueue) -> Iterator[list[str]]:
    """The texts that a consumer of the queue has worked on, in a thread."""
    texts: list[str] = []
    queue.register(lambda message: texts.append(message.text))
    thread = threading.Thread(target=queue.start, daemon=True)
    thread.start()
    try:
        yield texts
    finally:
        queue.stop()
        thread.join(30)
        queue.close()


def _do_nothing(number: int) -> int:
    return number
