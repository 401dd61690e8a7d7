"""Is a dead letter lost, or done twice without being named, when a requeue of the Dispatch page is killed?

    python bench/requeue.py [LETTERS]
    PROJ_RABBITMQ=4.3 python bench/requeue.py

A private broker, a dashboard for an app that is not ours, and 10,000 dead letters of 1 kB in a quorum queue. All are
requeued by the dashboard's button, over HTTP. When half of them are done, the dashboard is killed with SIGKILL,
started again, and requeues the others. It prints how many letters were lost, how many are in their queue twice, how
many the second requeue named, and its letters a second. The exit code is 1 if a letter is lost, or is there twice and
was not named.

Caveats: broker, dashboard and this client share the machine. Where the kill strikes is chance.
"""

from __future__ import annotations

import json
import sys
import time
from base64 import b64encode
from collections import Counter
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import amqp

from proj.broker.declaration import declare
from proj.delivery.dead_letters.headers import dead_letter_headers
from proj.lab.broker import Broker
from proj.lab.definitions import USER
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

LETTERS, BODY_BYTES = 10_000, 1000
WORK, DEAD = "work", "dead_letters"
#: Seconds for a job, and for whatever takes seconds on a quiet machine.
JOB_S, TIMEOUT_S = 1800.0, 120.0
PASSWORD = "ann:secret"  # noqa: S105 of a dashboard that listens on loopback for a minute


class Dashboard(Process):
    """A dashboard with buttons."""

    def __init__(self, guard: Guard, broker: Broker) -> None:
        """Choose a free port; `start` starts the process, also after it was killed."""
        self.port = free_port()
        (guard.folder / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")
        options = [f"--port={self.port}", "--read_only=false", f"--basic_auth={PASSWORD}"]
        super().__init__(
            "dashboard",
            [sys.executable, "-m", "celery", "-A", "theirs", "dashboard", *options],
            guard=guard,
            environment=child_environment(
                CELERY_BROKER_URL=broker.url(), FLOWER_BROKER_API=broker.management_url, PYTHONPATH=str(guard.folder)
            ),
            log=guard.folder / "dashboard.log",
        )

    def start(self) -> None:
        """Start it, and return when it serves pages."""
        super().start()
        self.wait_until_ready(self._answers, timeout_s=TIMEOUT_S)

    def ask(self, path: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON at a path; `fields` are those of a button."""
        origin = f"http://{LOOPBACK}:{self.port}"
        headers = {"Authorization": f"Basic {b64encode(PASSWORD.encode()).decode()}", "Origin": origin}
        body = urlencode(fields or {}, doseq=True)
        if fields is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with closing(HTTPConnection(LOOPBACK, self.port, timeout=TIMEOUT_S)) as connection:
            connection.request("GET" if fields is None else "POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"{path} was answered with {answer.status}: {text.decode()}")
        found: dict[str, Any] = json.loads(text)
        return found

    def requeue_all(self) -> int:
        """Press the button of the only group, and say yes; the number of its letters."""
        look = self.ask("/dispatch/letters?again=1")["look"]
        (group,) = look["groups"]
        fields = {"look": look["key"], "group": group["key"]}
        token = self.ask("/dispatch/letters/requeue", fields)["token"]
        self.ask("/dispatch/letters/requeue", {**fields, "token": token})
        return int(group["count"])

    def job(self) -> dict[str, Any]:
        """How far the requeue is."""
        job: dict[str, Any] = self.ask("/dispatch/letters/job")["job"]
        return job

    def _answers(self) -> bool:
        with suppress(OSError, HTTPException), closing(HTTPConnection(LOOPBACK, self.port, timeout=2)) as connection:
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status == HTTPStatus.OK
        return False


def put_letters(channel: amqp.Channel, names: Iterable[str]) -> None:
    """Put letters into the queue, as a worker does."""
    body = json.dumps([["x" * BODY_BYTES], {}, {}]).encode()
    for name in names:
        headers = dead_letter_headers(
            {"id": name, "task": "t.t"}, reason="No.", queue=WORK, worker="w@x", time=1.5, attempts=1
        )
        message = amqp.Message(body, application_headers=headers, content_type="application/json", delivery_mode=2)
        channel.basic_publish(message, routing_key=DEAD)


def depth(channel: amqp.Channel, queue: str) -> int:
    """The messages that are ready."""
    # A named tuple, unlike in celery-types.
    declared: Any = channel.queue_declare(queue, passive=True)
    return int(declared.message_count)


def measured(dashboard: Dashboard, channel: amqp.Channel, letters: int) -> bool:
    """Requeue the letters, with the kill in the middle, and print what became of them; whether all is well."""
    names = [f"letter-{number}" for number in range(letters)]
    put_letters(channel, names)
    wait_until(lambda: depth(channel, DEAD) == letters, what="the letters", timeout_s=TIMEOUT_S)
    with dashboard:
        dashboard.requeue_all()
        while (done := dashboard.job()["done"]) < letters / 2:
            time.sleep(0.05)
        dashboard.kill()
    wait_until(
        lambda: depth(channel, DEAD) + depth(channel, WORK) >= letters,
        what="the letters to return",
        timeout_s=TIMEOUT_S,
    )
    left = depth(channel, DEAD)
    with dashboard:
        chosen = dashboard.requeue_all()
        wait_until(lambda: dashboard.job()["state"] not in {"running", "stopping"}, what="its end", timeout_s=JOB_S)
        job = dashboard.job()
    found = Counter[str]()
    while (message := channel.basic_get(WORK, no_ack=True)) is not None:
        found[message.headers["id"]] += 1
    doubles = {name for name, times in found.items() if times > 1}
    lost, named = set(names) - set(found), set(job["twice"])
    print(f"killed when at least {done:,} of {letters:,} were done; {left:,} were left, and {chosen:,} chosen")
    print(
        f"{len(lost)} lost, {len(doubles)} twice, {job['doubles']} named, {len(doubles & named)} of the doubles among "
        f"them; {depth(channel, DEAD)} left; {job['done'] / job['seconds']:.0f} letters a second"
    )
    print(job["said"])
    return not lost and doubles <= named and job["state"] == "done" and not depth(channel, DEAD)


def main() -> None:
    """Measure it once."""
    letters = int(sys.argv[1]) if len(sys.argv) > 1 else LETTERS
    with Guard() as guard, Broker(guard) as broker:
        print(f"RabbitMQ {broker.version}")
        with amqp.Connection(f"{LOOPBACK}:{broker.port}", userid=USER, password=broker.password) as connection:
            channel = connection.channel()
            declare(connection, DEAD)
            channel.queue_declare(WORK, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
            is_well = measured(Dashboard(guard, broker), channel, letters)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
