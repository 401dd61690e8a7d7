"""How many events a second the recorder writes on one core without loss, and how long a large journal takes to read.

    python bench/recorder.py [EVENTS_PER_SECOND [SECONDS [ATTEMPTS]]]

A private broker; one process that publishes forged events of tasks at a steady rate (sent, received, started and
succeeded, 20 in a message as workers collect them); and one recorder, started as a user starts it. The journal must
then hold every attempt with all its times. This is measured twice: undisturbed, and with a recorder that is killed in
the middle and started again. It prints the recorder's processor time as a share of one core, the seconds until the
journal is complete, and the attempts that are not. Then it writes and reads a journal of ATTEMPTS.

Caveats: forged events are smaller than those of tasks with long arguments. The publisher and the broker share the
machine with the recorder. The four events of a task are some messages apart, as in a busy system.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psutil
from celery.events.event import get_exchange
from kombu import Connection

from proj.journal.attempt import Attempt
from proj.journal.reader import open_journal
from proj.journal.writer import JournalWriter
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Events in a message; a worker of ours collects up to 200, any other up to 24.
BATCH = 20
KINDS = ("sent", "received", "started", "succeeded")
#: Tasks that have begun and not ended at a time.
UNDER_WAY = 50


def events(count: int) -> Iterator[dict[str, Any]]:
    """Forged events of `count` tasks; the events of a task are some messages apart."""
    for step in range(count + UNDER_WAY * len(KINDS)):
        for position, kind in enumerate(KINDS):
            number = step - position * UNDER_WAY
            if 0 <= number < count:
                event = {
                    "type": f"task-{kind}",
                    "uuid": f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}",
                    "timestamp": time.time(),
                    "hostname": f"worker{number % 8}@host",
                    "utcoffset": 0,
                    "pid": 1,
                    "clock": step,
                }
                if kind in {"sent", "received"}:
                    event.update(name="theirs.add", args="(1, 2)", kwargs="{}", retries=0, eta=None, root_id=None)
                if kind == "sent":
                    event.update(queue="celery", exchange="", routing_key="celery")
                if kind == "succeeded":
                    event.update(runtime=0.01, result="3")
                yield event


def publish(url: str, *, tasks: int, rate: float) -> float:
    """Publish the events of `tasks` at `rate` events a second, and return the seconds that it took."""
    with Connection(url) as connection:
        producer = connection.Producer(exchange=get_exchange(connection), serializer="json")
        begun = time.monotonic()
        batch: list[dict[str, Any]] = []
        published = 0
        for event in events(tasks):
            batch.append(event)
            if len(batch) == BATCH:
                producer.publish(batch, routing_key="task.multi", delivery_mode=1)
                published += len(batch)
                batch = []
                ahead_s = published / rate - (time.monotonic() - begun)
                if ahead_s > 0:
                    time.sleep(ahead_s)
        if batch:
            producer.publish(batch, routing_key="task.multi", delivery_mode=1)
        return time.monotonic() - begun


def restart(recorder: Process) -> None:
    """Kill the recorder with SIGKILL, and start it again."""
    recorder.kill()
    recorder.start()


def succeeded(path: Path) -> int:
    """The number of attempts in the journal that succeeded."""
    with open_journal(path) as journal:
        return journal.states().get("succeeded", 0)


def record(rate: float, seconds: float, *, kill: bool) -> None:
    """Measure a recording, and print the result."""
    tasks = int(rate * seconds / len(KINDS))
    with Guard() as guard, Broker(guard) as broker:
        path = guard.folder / "journal.sqlite"
        (guard.folder / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")
        recorder = Process(
            "recorder",
            [sys.executable, "-m", "celery", "-A", "theirs", "journal", "record", "-o", str(path)],
            guard=guard,
            environment=child_environment(
                CELERY_BROKER_URL=broker.url(), FLOWER_BROKER_API=broker.management_url, PYTHONPATH=str(guard.folder)
            ),
            log=guard.folder / "recorder.log",
        )
        with recorder:
            recorder.wait_until_ready(lambda: "Recording into" in recorder.log_text(), timeout_s=30)
            process = psutil.Process(recorder.pid)
            before = process.cpu_times()
            begun = time.monotonic()
            killer = threading.Timer(seconds / 2, restart, (recorder,))
            if kill:
                killer.start()
            took_s = publish(broker.url(), tasks=tasks, rate=rate)
            wait_until(lambda: succeeded(path) == tasks, what="all attempts in the journal", timeout_s=120)
            all_s = time.monotonic() - begun
            usage = "killed once and started again"
            if not kill:
                after = process.cpu_times()
                used = after.user + after.system - before.user - before.system
                usage = f"{used / all_s:.0%} of one core, {process.memory_info().rss / 2**20:.0f} MiB"
            os.kill(recorder.pid, signal.SIGINT)
            wait_until(lambda: not recorder.running, what="the recorder's end", timeout_s=30)
        with open_journal(path) as journal:
            whole = sum(None not in (a.sent, a.received, a.started, a.finished) for a in journal.attempts())
        print(
            f"{tasks * len(KINDS) / took_s:,.0f} events/s for {took_s:.1f} s: all in the journal after {all_s:.1f} s, "
            f"{usage}, {tasks - whole} of {tasks:,} attempts incomplete"
        )


def read(count: int) -> None:
    """Measure writing and reading a journal of `count` attempts, and print the result."""
    with Guard() as guard:
        path = guard.folder / "large.sqlite"
        begun = time.perf_counter()
        with JournalWriter(path) as writer:
            writer.put_attempts(
                Attempt(
                    task_id=f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}",
                    state="succeeded",
                    name="theirs.add",
                    queue="celery",
                    worker=f"worker{number % 8}@host",
                    arguments="(1, 2)",
                    sent=number * 0.01,
                    received=number * 0.01 + 0.001,
                    started=number * 0.01 + 0.002,
                    finished=number * 0.01 + 0.012,
                    runtime_s=0.01,
                )
                for number in range(count)
            )
            writer.commit()
        written_s = time.perf_counter() - begun
        with open_journal(path) as journal:
            begun = time.perf_counter()
            states = journal.states()
            counted_s = time.perf_counter() - begun
            begun = time.perf_counter()
            read_back = len(journal.attempts())
            read_s = time.perf_counter() - begun
        size = path.stat().st_size / 2**20
    print(
        f"{read_back:,} attempts ({size:.0f} MiB, {states}): written in {written_s:.1f} s, counted by state in "
        f"{counted_s:.2f} s, read as objects in {read_s:.1f} s"
    )


def main() -> None:
    """Measure an undisturbed recording, one that is killed, and reading."""
    rate, seconds, count = (*map(float, sys.argv[1:]), *(5_000, 20, 1_000_000)[len(sys.argv) - 1 :])
    record(rate, seconds, kill=False)
    record(rate, seconds, kill=True)
    read(int(count))


if __name__ == "__main__":
    main()
