"""What the page costs: 30 queues, 50 workers of 8 slots, 2,000 tasks a second, for some simulated minutes.

It also prints the memory of the process after each quarter of an hour, and at least six times.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from celery import Celery

from proj.broker.queue_depths import Depth
from proj.dashboard.live.broker_poll import BrokerState
from proj.dashboard.live.event_source import EventSource
from proj.dashboard.live.now.documents import Document
from proj.dashboard.live.now.now import now_document
from proj.dashboard.live.snapshot import event_counts, snapshot
from proj.journal.recording.pollers import sample_of
from proj.journal.records import Worker

if TYPE_CHECKING:
    from proj.dashboard.live.status import EventCounts

QUEUES, WORKERS, SLOTS = 30, 50, 8
#: Seconds of a batch of events, as the monitor takes them.
STEP_S = 0.25
#: Simulated seconds between two times that the memory is printed, and how often it is at least.
QUARTER_S, PARTS = 900.0, 6


def main() -> None:
    """Print the processor time of one second's events, and the time of one refresh of both views."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=2000, help="tasks a second")
    parser.add_argument("--minutes", type=float, default=2.0, help="simulated minutes before the measurement")
    parser.add_argument("--race", type=Path, metavar="FILE", help="write the JSON of the view Race to this file")
    options = parser.parse_args()
    source = EventSource(
        Celery("bench", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False),
        keep=5000,
        journal=None,
        broker_api=None,
        wanted=lambda: False,
    )
    chance = random.Random(1)  # noqa: S311 no secret
    names = [f"w{number}@host" for number in range(WORKERS)]
    served = {
        name: tuple(f"q{(number + offset) % QUEUES}" for offset in (0, 7, 13)) for number, name in enumerate(names)
    }
    for name in names:
        source.worker_poller.workers.put(Worker(name=name, slots=SLOTS, queues=served[name], dispatch="fair"))
    now, count, started = time.time(), 0, dict.fromkeys(names, 0)
    steps = int(options.minutes * 60 / STEP_S)
    printed = max(1, min(int(QUARTER_S / STEP_S), steps // PARTS))
    before = time.process_time()
    for step in range(steps):
        now += STEP_S
        heard: list[tuple[float, Any]] = []
        for _ in range(int(options.rate * STEP_S)):
            count += 1
            name = chance.choice(names)
            started[name] += 1
            heard += events(f"t{count}", name, chance.choice(served[name]), now - chance.random() * STEP_S)
        if step % 8 == 0:
            heard += [(now, beat(name, now, started[name])) for name in names]
        if step % 4 == 0:
            poll(source, now, chance)
        source.update(heard, now)
        if (step + 1) % printed == 0:
            print(f"after {(step + 1) * STEP_S / 60:.1f} min: {memory_mib():.0f} MiB", flush=True)
    spent = time.process_time() - before
    print(f"events of one second: {1000 * spent / (steps * STEP_S):.0f} ms of processor time, making them included")
    counts = event_counts(source.state, heard=source.heard, refused=0, dropped=0)
    for window in (60, 900, 3600, None):
        began = time.perf_counter()
        document = Document(now_document(source.state, counts, window, origin={}, now=now))
        took, rows = time.perf_counter() - began, json.loads(document)
        print(
            f"window {window or 'all'}: {1000 * took:.0f} ms, {len(document) / 1000:.0f} kB, "
            f"{len(document.gzipped) / 1000:.0f} kB compressed, {len(rows['queues'])} queues, "
            f"{len(rows['workers'])} workers; {rows['sentences'][0]['text']}"
        )
    race(source, counts, now, options.race)
    print(f"memory: {memory_mib():.0f} MiB")


def race(source: EventSource, counts: EventCounts, now: float, file: Path | None) -> None:
    """Print what one refresh of the view Race takes, and write its JSON."""
    origin = {"generation": "1", "source": "live", "journal": None}
    began = time.perf_counter()
    document = Document(snapshot(source.state, None, counts, origin=origin, now=now)[0])
    took, shown = time.perf_counter() - began, json.loads(document)
    print(
        f"race: {1000 * took:.0f} ms, {len(document) / 1000:.0f} kB, {len(document.gzipped) / 1000:.0f} kB compressed, "
        f"{shown['kept']['attempts']:,} attempts, {len(shown['groups'])} groups"
    )
    if file is not None:
        file.write_bytes(document)


def memory_mib() -> float:
    """Of this process, after a collection."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def events(task_id: str, worker: str, queue: str, sent: float) -> list[tuple[float, dict[str, Any]]]:
    """The events of a task that takes 50 ms."""
    told = {"uuid": task_id, "name": "bench.task", "retries": 0}
    end = {"timestamp": sent + 0.052, "runtime": 0.05}
    return [
        (sent, {"type": "task-sent", "timestamp": sent, "hostname": "producer@host", "queue": queue, **told}),
        (sent, {"type": "task-received", "timestamp": sent + 0.001, "hostname": worker, **told}),
        (sent, {"type": "task-started", "timestamp": sent + 0.002, "hostname": worker, "uuid": task_id}),
        (sent, {"type": "task-succeeded", "hostname": worker, "uuid": task_id, **end}),
    ]


def beat(worker: str, now: float, processed: int) -> dict[str, Any]:
    """A heartbeat."""
    told = {"type": "worker-heartbeat", "hostname": worker, "pid": 1, "freq": 2.0}
    return {**told, "timestamp": now, "processed": processed}


def poll(source: EventSource, now: float, chance: random.Random) -> None:
    """What the broker counts."""
    depths = {}
    for number in range(QUEUES):
        name, ready = f"q{number}", chance.randrange(20)
        depths[name] = Depth(name=name, type="quorum", ready=ready, unacknowledged=10, consumers=5)
        source.broker_poller.samples.put(sample_of(depths[name], now))
    source.broker_poller.state = BrokerState(time=now, depths=depths, answers=True)


if __name__ == "__main__":
    main()
