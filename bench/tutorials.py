"""Runs the programs of RabbitMQ's second tutorial together with our workers: was a message lost, and who did which?

    git clone https://github.com/rabbitmq/rabbitmq-tutorials
    python bench/tutorials.py rabbitmq-tutorials [MESSAGES]

REPO is a checkout or a git directory of it. Its `python/new_task.py` and `python/worker.py` run unchanged. They connect
as guest to localhost:5672, so a private broker is started there, as `lab broker --guest` does. If another program
listens on that port, run it in a network namespace:

    unshare -rn sh -c 'ip link set lo up; python bench/tutorials.py rabbitmq-tutorials'

Every message has a different text, and the output of the consumers tells who did it. It prints a Markdown table; the
exit code is 1 if a message was lost or done twice.

Caveats: all processes share one machine. `new_task.py` is one process for each message, and a few run at a time, so the
first row measures how fast Python starts. Messages without dots take no time, so the faster consumer gets more of them;
only the last row, with messages of one second, shows fairness.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kombu import Connection

from proj.errors import ProjError
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import demanded_port
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import Worker
from proj.queues import QUORUM, WORK_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAMS = ("new_task.py", "worker.py")
#: Processes of `new_task.py` that run at a time.
PUBLISHERS = 4
#: Messages of one dot each, in the last row.
DOTTED = 24
TIMEOUT_S = 300.0
#: What `worker.py` (with quotes) and our task (without) print for a message.
RECEIVED = re.compile(r" \[x\] Received (['\"]?)(?P<text>.*)\1$", re.MULTILINE)
DONE = " [x] Done"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The result of one measurement."""

    what: str
    sent: list[str]
    #: The texts that each consumer received.
    received: dict[str, list[str]]
    seconds: float

    @property
    def lost(self) -> int:
        """Messages that no consumer received."""
        return len(set(self.sent) - set(self._all))

    @property
    def twice(self) -> int:
        """Deliveries of a message after its first."""
        return len(self._all) - len(set(self._all))

    @property
    def _all(self) -> list[str]:
        return [text for texts in self.received.values() for text in texts]

    def __str__(self) -> str:
        """A row of the table."""
        shares = ", ".join(f"{name} {len(texts)}" for name, texts in self.received.items())
        return f"| {self.what} | {len(self.sent)} | {self.lost} | {self.twice} | {self.seconds:.1f} s | {shares} |"


class Measurement:
    """Runs the tutorial's programs and our workers on one broker."""

    def __init__(self, guard: Guard, broker: Broker, programs: dict[str, bytes]) -> None:
        """Write the programs, given by their names, into a folder."""
        self._guard = guard
        self._url = broker.url()
        self._folder = guard.folder / "tutorial"
        self._folder.mkdir()
        for name, text in programs.items():
            (self._folder / name).write_bytes(text)
        self._environment = child_environment(CELERY_BROKER_URL=self._url, PROJ_QUEUE_TYPE=QUORUM)

    def run(self, what: str, messages: list[str], *, send: str, theirs: int, ours: int, number: int) -> Row:
        """Start `theirs` and `ours` consumers, send all messages, and return when they are done."""
        consumers: list[Process] = [self._worker_py(f"worker.py-{number}-{one}") for one in range(theirs)]
        consumers += [self._worker(f"celery-{number}-{one}") for one in range(ours)]
        try:
            for consumer in consumers:
                consumer.start()
            wait_until(lambda: self._consumers() == len(consumers), what="all consumers", timeout_s=60)
            begun = time.monotonic()
            getattr(self, send)(messages)
            wait_until(
                lambda: sum(consumer.log_text().count(DONE) for consumer in consumers) >= len(messages),
                what=f"{len(messages)} messages to be done",
                timeout_s=TIMEOUT_S,
            )
            seconds = time.monotonic() - begun
        finally:
            for consumer in consumers:
                consumer.stop()
        received = {
            re.sub(r"^(worker )?(.*?)-\d+-(\d+)$", r"\2 \3", consumer.name): [
                found["text"] for found in RECEIVED.finditer(consumer.log_text())
            ]
            for consumer in consumers
        }
        return Row(what=what, sent=messages, received=received, seconds=seconds)

    def new_task_py(self, messages: Iterable[str]) -> None:
        """Send each message with its own process of `new_task.py`."""
        with ThreadPoolExecutor(PUBLISHERS) as pool:
            list(pool.map(lambda text: self._run([sys.executable, str(self._folder / "new_task.py"), text]), messages))

    def send_plain(self, messages: Iterable[str]) -> None:
        """Send all messages with one `celery -A proj send --plain`."""
        self._run([sys.executable, "-m", "celery", "-A", "proj", "send", "--plain", *messages])

    def _run(self, command: list[str]) -> None:
        subprocess.run(
            command, env={**self._environment, **self._guard.environment}, check=True, stdout=subprocess.DEVNULL
        )

    def _worker_py(self, name: str) -> Process:
        return Process(
            name,
            [sys.executable, str(self._folder / "worker.py")],
            guard=self._guard,
            environment=self._environment,
            log=self._folder / f"{name}.log",
        )

    def _worker(self, name: str) -> Worker:
        return Worker(
            name,
            guard=self._guard,
            broker_url=self._url,
            queue=WORK_QUEUE,
            dispatch="fair",
            slots=1,
            dot_seconds=1.0,
            queue_type=QUORUM,
        )

    def _consumers(self) -> int:
        with Connection(self._url) as connection, connection.channel() as channel:
            arguments = {"x-queue-type": QUORUM}
            return int(channel.queue_declare(WORK_QUEUE, durable=True, auto_delete=False, arguments=arguments)[2])


def source(repo: Path, path: str) -> bytes:
    """The content of a file, from a checkout or from the newest commit of a git directory.

    Raises:
        ProjError: `repo` has no such file.
    """
    if (repo / path).is_file():
        return (repo / path).read_bytes()
    shown = subprocess.run(["git", "--git-dir", repo, "show", f"HEAD:{path}"], check=False, capture_output=True)  # noqa: S607 the git of the PATH
    if shown.returncode:
        raise ProjError(f"There is no {path} in {repo}. Give a checkout or a git directory of rabbitmq-tutorials.")
    return shown.stdout


def number_of(text: str) -> int:
    """A number of messages, for argparse."""
    if not re.fullmatch("[1-9][0-9]{0,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of messages; give one from 1 to 9999999")
    return int(text)


def arguments() -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repo", type=Path, metavar="REPO", help="a checkout or a git directory of rabbitmq-tutorials")
    parser.add_argument(
        "messages",
        type=number_of,
        nargs="?",
        default=1000,
        metavar="MESSAGES",
        help="messages in each of the first three rows",
    )
    return parser.parse_args()


def main(repo: Path, count: int) -> None:
    """Send messages in every direction, and print the table.

    Raises:
        ProjError: the programs do not exist, or another program listens on the port.
    """
    programs = {name: source(repo, f"python/{name}") for name in PROGRAMS}
    port = demanded_port("The tutorials' port", 5672)
    with Guard() as guard, Broker(guard, port=port, guest=True) as broker:
        measurement = Measurement(guard, broker, programs)
        plan = (
            ("`new_task.py` to 2 Celery workers", "", "new_task_py", 0, 2, count),
            ("`send --plain` to 2 `worker.py`", "", "send_plain", 2, 0, count),
            ("`send --plain` to 2 of each", "", "send_plain", 2, 2, count),
            ("`send --plain` to 2 of each, one second a message", ".", "send_plain", 2, 2, DOTTED),
        )
        rows = []
        print("| messages | sent | lost | twice | took | of each consumer |\n| --- | --- | --- | --- | --- | --- |")
        for number, (what, dots, send, theirs, ours, messages) in enumerate(plan):
            texts = [f"message {number}-{one}{dots}" for one in range(messages)]
            rows.append(measurement.run(what, texts, send=send, theirs=theirs, ours=ours, number=number))
            print(rows[-1], flush=True)
        letters = Counter(re.findall(r"dead_letters\s+(\d+)", broker.order("list_queues", "name", "messages")))
    sys.exit(any(row.lost or row.twice for row in rows) or set(letters) != {"0"})


if __name__ == "__main__":
    typed = arguments()
    try:
        main(typed.repo, typed.messages)
    except ProjError as error:
        error.show()
        sys.exit(error.exit_code)
