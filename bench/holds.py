"""How long a message waits in a busy worker, and on its way back, while another is free, in adaptive dispatch.

    python bench/holds.py                        # quorum and classic, one and three queues, two and four workers
    PROJ_RABBITMQ=4.3 python bench/holds.py --queue-type quorum --workers 2

Workers of one slot, an app that is not ours, a private broker. Short, middling and long tasks come in bursts, so that
workers hold messages behind long tasks while others are free. Workers write down when a message came, and when it went
into the pool or back to its queue; tasks write down when they began and ended.

Columns:
    held            messages that came when no slot was free
    given back      those of them that went back to their queue
    longest hold    in milliseconds, as all that follow
    beside a free   the longest part of a hold during which one other worker was free all the time
    until begun     the same from its first arrival in a worker until it began, so with its way back over the broker

Caveats: workers, broker and measurement share the machine. A worker counts as free from the end of a task's code to the
beginning of the next one's, so the time that the pool needs in between is in the figures.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import time
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click
from celery import Celery, Task
from kombu import Exchange, Queue

from proj.broker.connection import connected
from proj.delivery.consuming.held_messages import HeldMessages
from proj.delivery.dispatch.dispatcher import Dispatcher
from proj.delivery.install import install
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.delivery.consuming.receiving import KeptMessage

Span = tuple[float, float]

#: The share of tasks of each duration in seconds: 24 ms on average.
DURATIONS = {0.002: 0.85, 0.02: 0.10, 0.4: 0.05}
TASKS_A_WORKER = 400
#: Bursts, and seconds between two of them: the workers are busy for two thirds of the time.
BURSTS, INTERVAL_S = 20, 0.7
#: Seconds within which a message that is not held goes into the pool.
AT_ONCE_S = 0.001
READY_TIMEOUT_S, DONE_TIMEOUT_S = 60.0, 120.0
QUEUES = ("first", "second", "third")
#: The file into which workers and tasks write, and the type of the queues.
FILE, QUEUE_TYPE = "HOLDS_FILE", "HOLDS_QUEUE_TYPE"

# --- The app of the workers -----------------------------------------------------------------------------

app = Celery("holds", set_as_current=False)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    task_queues=[
        Queue(name, Exchange(name), name, queue_arguments={"x-queue-type": os.environ.get(QUEUE_TYPE, "quorum")})
        for name in QUEUES
    ],
)
install(app, dispatch="adaptive")


def note(what: str, task_id: str | None, worker: int) -> None:
    """Write down what happened now to a task in a worker, in one system call."""
    with Path(os.environ[FILE]).open("ab", buffering=0) as file:
        file.write(f"{time.time():.6f} {what} {task_id} {worker}\n".encode())


@app.task(bind=True)
def sleep(self: Task[[float], None], seconds: float) -> None:
    """Take so long."""
    note("began", self.request.id, os.getppid())
    time.sleep(seconds)
    note("ended", self.request.id, os.getppid())


def noting(what: str, stock: Callable[..., None]) -> Callable[..., None]:
    """The method, which first writes down that a message has come to it."""

    @wraps(stock)
    def noted(self: object, message: KeptMessage, *args: object) -> None:
        note(what, message.headers["id"], os.getpid())
        stock(self, message, *args)

    return noted


if FILE in os.environ:
    Dispatcher.receive = noting("came", Dispatcher.receive)  # type: ignore[method-assign] # to see it
    Dispatcher._give = noting("given", Dispatcher._give)  # type: ignore[method-assign] # noqa: SLF001 to see it
    # Those in the pipe of a process are held until it takes them.
    Dispatcher._has_begun = noting("given", Dispatcher._has_begun)  # type: ignore[method-assign] # noqa: SLF001 to see it
    HeldMessages.give_back_one = noting("back", HeldMessages.give_back_one)  # type: ignore[method-assign] # to see it

# --- The measurement ------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Figures:
    """What is counted, in seconds."""

    held: int = 0
    given_back: int = 0
    longest_s: float = 0.0
    beside_s: float = 0.0
    until_begun_s: float = 0.0


def figures(lines: list[str]) -> Figures:
    """The figures from what was written down."""
    first: dict[str, float] = {}
    came: dict[tuple[str, str], float] = {}
    holds: list[tuple[str, Span]] = []
    began: dict[str, float] = {}
    busy: dict[str, list[Span]] = defaultdict(list)
    found = Figures()
    for line in sorted(lines):
        moment, what, task_id, worker = line.split()
        now = float(moment)
        if what == "came":
            came[task_id, worker] = now
            first.setdefault(task_id, now)
        elif what == "began":
            began[task_id] = now
        elif what == "ended":
            busy[worker].append((began[task_id], now))
        elif (since := came.pop((task_id, worker), None)) is not None:
            holds.append((worker, (since, now)))
            found.given_back += what == "back"
    free = {worker: _between(spans) for worker, spans in busy.items()}
    holds = [(worker, span) for worker, span in holds if span[1] - span[0] > AT_ONCE_S]
    found.held = len(holds)
    found.longest_s = max((end - begin for _, (begin, end) in holds), default=0.0)
    for worker, span in holds:
        others = (spans for other, spans in free.items() if other != worker)
        found.beside_s = max(found.beside_s, *(_longest_overlap(span, spans) for spans in others))
    for task_id, arrival in first.items():
        for spans in free.values():
            found.until_begun_s = max(found.until_begun_s, _longest_overlap((arrival, began[task_id]), spans))
    return found


def _between(spans: list[Span]) -> list[Span]:
    """The times between the spans of one worker, whose tasks run one after the other."""
    spans.sort()
    return [(end, begin) for (_, end), (begin, _) in itertools.pairwise(spans)]


def _longest_overlap(span: Span, spans: list[Span]) -> float:
    """The longest part of `span` that lies within one of the sorted `spans`."""
    longest = 0.0
    for begin, end in spans[max(0, bisect_left(spans, span) - 1) :]:
        if begin >= span[1]:
            break
        longest = max(longest, min(end, span[1]) - max(begin, span[0]))
    return longest


def measure(guard: Guard, broker: Broker, *, queue_type: str, queues: int, workers: int) -> Figures:
    """Run the bursts on a virtual host of their own."""
    name = f"{queue_type}-{queues}-{workers}"
    broker.add_vhost(name)
    file = guard.folder / f"{name}.txt"
    environment = child_environment(
        **{"CELERY_BROKER_URL": broker.url(name), FILE: str(file), QUEUE_TYPE: queue_type},
        PYTHONPATH=str(Path(__file__).parent),
    )
    processes = [
        Process(
            f"worker {number}",
            [
                *(sys.executable, "-m", "celery", "-A", "holds", "worker", "--concurrency", "1", "--loglevel", "INFO"),
                *("--without-mingle", "--without-gossip"),
                *("--queues", ",".join(QUEUES[:queues]), "--hostname", f"{number}@{name}"),
            ],
            guard=guard,
            environment=environment,
            log=guard.folder / f"{name}-{number}.log",
        )
        for number in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.wait_until_ready(partial(_is_ready, process), timeout_s=READY_TIMEOUT_S)
        count = TASKS_A_WORKER * workers
        publish(broker.url(name), QUEUES[:queues], count)
        wait_until(lambda: file.read_text().count(" ended ") >= count, what="all tasks", timeout_s=DONE_TIMEOUT_S)
    finally:
        for process in processes:
            process.kill()
    return figures(file.read_text().splitlines())


def _is_ready(worker: Process) -> bool:
    return " ready." in worker.log_text()


def publish(url: str, queues: tuple[str, ...], count: int) -> None:
    """Publish so many tasks in bursts."""
    chance = random.Random(14)  # noqa: S311 no secret
    seconds = chance.choices(list(DURATIONS), weights=list(DURATIONS.values()), k=count)
    sender = Celery(broker=url, set_as_current=False)
    # Of messages that nobody confirms, a quorum queue loses the last ones when their connection closes soon.
    confirm_publishing(sender)
    with connected(sender.connection_for_write(url)) as connection, sender.amqp.Producer(connection) as producer:
        begin = time.monotonic()
        for number, duration in enumerate(seconds):
            time.sleep(max(0.0, begin + number * BURSTS // count * INTERVAL_S - time.monotonic()))
            queue = chance.choice(queues)
            sender.send_task(
                sleep.name, (duration,), exchange=queue, routing_key=queue, producer=producer, ignore_result=True
            )


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--queue-type", "types", type=click.Choice(QUEUE_TYPES), multiple=True, default=QUEUE_TYPES)
@click.option("--queues", type=click.IntRange(1, 3), multiple=True, default=(1, 3))
@click.option("--workers", type=click.IntRange(2), multiple=True, default=(2, 4))
def main(types: tuple[str, ...], queues: tuple[int, ...], workers: tuple[int, ...]) -> None:
    """Print a row for each case."""
    print("| queues | workers | held | given back | longest hold | beside a free | until begun |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with Guard() as guard, Broker(guard) as broker:
        for queue_type in types:
            for number in queues:
                for count in workers:
                    found = measure(guard, broker, queue_type=queue_type, queues=number, workers=count)
                    times = (f"{1000 * s:.0f} ms" for s in (found.longest_s, found.beside_s, found.until_begun_s))
                    cells = (f"{number} {queue_type}", count, found.held, found.given_back, *times)
                    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
