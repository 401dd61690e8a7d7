"""Workers of `adaptive_app`, a client of their virtual host, and what their logs say."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

NAME = "adaptive_app"
TIMEOUT_S = 90
#: Seconds for which `holding` workers hold messages: longer than the tests look.
HOLDING_S = 600.0
#: Tasks behind the one that has their slot.
BEHIND = [f"behind {number}" for number in range(20)]


@contextmanager
def worker_of(
    guard: Guard, url: str, queue_type: str, name: str, *options: str, budget_s: float = 0.05
) -> Iterator[Process]:
    """A worker that consumes; with a long budget it holds messages for as long as a test looks."""
    worker = worker_process(
        f"{name}-{url.rpartition('/')[2]}@host",
        *options,
        guard=guard,
        broker_url=url,
        app=NAME,
        PROJ_QUEUE_TYPE=queue_type,
        ADAPTIVE_APP_BUDGET_S=str(budget_s),
        PYTHONPATH=str(Path(__file__).parent),
    )
    with worker:
        wait_until_ready(worker)
        yield worker
        worker.kill()


class Client:
    """Sends tasks and commands to one virtual host, and counts what is in its queues."""

    def __init__(self, url: str) -> None:
        self.app = Celery(broker=url, set_as_current=False)
        self._connected = connected(self.app.connection_for_write(url))
        self.connection = self._connected.__enter__()

    def send(self, task: str, text: str, *arguments: Any, queue: str = "first", **options: Any) -> str:
        sent = self.app.send_task(
            f"{NAME}.{task}",
            (text, *arguments),
            exchange=queue,
            routing_key=queue,
            connection=self.connection,
            ignore_result=True,
            **options,
        )
        return str(sent.id)

    def ready(self, *queues: str) -> int:
        return sum(depth.ready for depth in depths_by_declare(self.connection, queues or ("first",)))

    def consumers(self, queue: str) -> int:
        return sum(depth.consumers for depth in depths_by_declare(self.connection, [queue]))

    def unacknowledged(self, broker: Broker, vhost: str) -> int:
        """Messages that workers have, by the management API; some seconds old."""
        queues = broker.management.request("GET", f"queues/{vhost}")
        return sum(int(queue.get("messages_unacknowledged", 0)) for queue in queues if queue["name"] == "first")

    def stats(self) -> dict[str, Any]:
        """What the only worker says of itself."""
        replies = self.app.control.inspect(timeout=10, limit=1).stats() or {}
        return next(iter(replies.values()), {})

    def processes(self) -> int:
        """How many processes its pool has; 0 when it does not answer in time."""
        return len(self.stats().get("pool", {}).get("processes", ()))

    def dispatch(self, figure: str) -> int:
        """A figure of its dispatch; 0 when it does not answer in time."""
        return int(self.stats().get("dispatch", {}).get(figure, 0))

    def in_pipes(self) -> int:
        """Tasks that the only worker has given to its pool and that no process has begun."""
        return sum(len(tasks) for tasks in (self.app.control.inspect(timeout=10, limit=1).reserved() or {}).values())

    def close(self) -> None:
        self._connected.__exit__(None, None, None)
        self.app.close()


@contextmanager
def holding(
    guard: Guard, url: str, client: Client, queue_type: str, end: Path, *, slots: int = 1
) -> Iterator[tuple[Process, dict[str, str]]]:
    """A worker that holds messages behind a task a slot that takes until `end` exists, and their tasks' ids."""
    with worker_of(guard, url, queue_type, "holding", "--concurrency", str(slots), budget_s=HOLDING_S) as worker:
        # Short ones first, so that it asks for messages in advance.
        for number in range(200):
            client.send("run", f"before {number}")
        for _ in range(slots):
            client.send("wait", "long", str(end))
        ids = {text: client.send("run", text) for text in BEHIND}
        wait_until(lambda: began(worker)["long"] == slots, what="the long tasks", timeout_s=TIMEOUT_S)
        wait_until(lambda: client.dispatch("held") + client.in_pipes(), what="held messages", timeout_s=TIMEOUT_S)
        yield worker, ids


def ran(*workers: Process) -> Counter[str]:
    """How often each text was run to its end."""
    return Counter(re.findall(r"\bran '(.*?)'", "".join(worker.log_text() for worker in workers)))


def began(worker: Process) -> Counter[str]:
    return Counter(re.findall(r"\bbegan '(.*?)'", worker.log_text()))
