"""Workers of the app in `kept.py`, a client that publishes any message to them, and the end of each message."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message
from kombu import Connection

from proj.delivery.header_names import REASON
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

QUEUE = "kept"
DEAD_LETTERS = "dead_letters"


class SystemUnderTest:
    """Workers of the app on one virtual host, with a connection that publishes and reads queues."""

    def __init__(self, guard: Guard, url: str) -> None:
        """Publish to and read from the virtual host at `url`."""
        self.url = url
        self.evidence = guard.folder / f"evidence-{secrets.token_hex(4)}"
        self.evidence.touch()
        self.workers: list[Process] = []
        self.letters: list[dict[str, Any]] = []
        self._guard = guard
        self._connection = Connection(url, transport_options={"confirm_publish": True})
        self.channel = self._connection.channel()
        self.channel.auto_decode = False

    def worker(self, *options: str, slots: int = 2, **settings: str) -> Process:
        """Start a worker, and return when it consumes."""
        process = self.begin_worker(*options, slots=slots, **settings)
        wait_until_ready(process)
        return process

    def begin_worker(self, *options: str, slots: int = 2, **settings: str) -> Process:
        process = worker_process(
            f"kept-{secrets.token_hex(4)}@kept",
            *("--concurrency", str(slots), *options),
            guard=self._guard,
            broker_url=self.url,
            app="kept",
            PYTHONPATH=os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])]),
            KEPT_EVIDENCE=str(self.evidence),
            **settings,
        )
        process.start()
        self.workers.append(process)
        return process

    def publish(self, message: Message, queue: str = QUEUE) -> None:
        self.channel.basic_publish_confirm(message, exchange="", routing_key=queue, mandatory=True)

    def send(self, task: str, *args: Any, **headers: Any) -> str:
        """Publish a valid message of Celery's protocol 2, and return its id."""
        message = task_message(task, *args, **headers)
        self.publish(message)
        return str(message.headers["id"])

    def lines(self) -> list[str]:
        return self.evidence.read_text().splitlines()

    def begun(self) -> set[str]:
        """The ids of the tasks `good` that began."""
        return {line.split()[-1] for line in self.lines() if line.startswith("begin ")}

    def times_begun(self, task: str) -> int:
        return self.lines().count(f"begin {task}")

    def ends(self) -> list[str]:
        """The ids of the tasks that ended, once for each time."""
        return [line.split()[-1] for line in self.lines() if line.startswith("end ")]

    def ended(self) -> set[str]:
        """The ids of the tasks that ended."""
        return set(self.ends())

    def dead(self) -> list[dict[str, Any]]:
        """The headers of all dead letters so far, with the body under the empty name."""
        while (raw := self.channel.basic_get(DEAD_LETTERS, no_ack=True)) is not None:
            self.letters.append({**raw.headers, "": bytes(raw.body or b""), "properties": raw.properties})
        return self.letters

    def reasons(self) -> list[str]:
        return [letter[REASON] for letter in self.dead()]

    def depth(self, queue: str = QUEUE) -> int:
        return int(self.channel.queue_declare(queue, passive=True).message_count)

    def await_(self, condition: Callable[[], Any], what: str, timeout_s: float = 90) -> Any:
        return wait_until(condition, what=what, timeout_s=timeout_s)

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self._connection.release()


def task_message(task: Any, *args: Any, body: Any = None, **headers: Any) -> Message:
    identity = headers.get("id", secrets.token_hex(8))
    parts = [list(args), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return Message(
        json.dumps(parts if body is None else body),
        content_type="application/json",
        content_encoding="utf-8",
        delivery_mode=2,
        application_headers={"task": task, "id": identity, "lang": "py", "retries": 0, **headers},
    )


@pytest.fixture
def system(guard: Guard, broker: Broker, vhost: str) -> Iterator[SystemUnderTest]:
    system = SystemUnderTest(guard, broker.url(vhost))
    yield system
    system.close()
