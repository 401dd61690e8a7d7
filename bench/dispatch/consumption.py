"""Measures how fast one row consumes tasks, and what a task costs its processes in processor time."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery
from kombu import Connection

from dispatch.event_counter import EventCounter
from dispatch.fill import fill
from dispatch.mark import BEGIN, END, children_of, read_mark, watch
from dispatch.row import URL
from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.errors import DeadlinePassed, ProcessEnded
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.queues import WORK_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dispatch.row import Row
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

#: The folder that has the package `dispatch`, for its processes.
PLACE = str(Path(__file__).parent.parent)
START_TIMEOUT_S = 60.0
#: Seconds that a worker may take to end in order on a busy machine; killed, it would leave its last message.
STOP_TIMEOUT_S = 60.0
#: Seconds until the workers must have told how many messages they have given back.
REPLY_TIMEOUT_S = 10.0
#: Tasks a second, below which a measurement is given up.
LEAST_RATE = 5.0
#: Looks at the queue after the last mark: seconds between two, how many in a row must find it empty, and the most.
LOOK_S, EMPTY_LOOKS, MOST_LOOKS = 0.1, 5, 100
#: Tasks before the first mark for each measured one, and at least: connections, caches and windows need some.
WARM_UP_SHARE, LEAST_WARM_UP = 0.1, 100


@dataclass(frozen=True, kw_only=True)
class Consumption:
    """What one measurement found. Rates are a second, processor times are microseconds a task."""

    rate: float
    main_us: float
    #: None where the tasks run in the main process.
    pool_us: float | None
    broker_us: float
    #: Task events a task; None where nobody sends or consumes them.
    events: float | None
    #: Messages that the workers have given back to their queue since their start; None without adaptive dispatch.
    given_back: int | None
    #: Messages that were still in the queue after the worker had ended in order; anything but 0 is a defect.
    left: int

    def figures(self) -> dict[str, float | None]:
        """As JSON has it."""
        return asdict(self)


def consume(row: Row, tasks: int, *, guard: Guard, broker: Broker, through_port: int | None = None) -> Consumption:
    """Measure the row once, on a virtual host of its own.

    The workers start on an empty queue and are stopped (SIGSTOP) while it is filled, so that all begin at the same
    time, with all the work there. The clock runs from the first mark to the second one.

    Args:
        row: what consumes.
        tasks: how many tasks are measured, before the row's own scale.
        guard: owner of the worker's processes.
        broker: the broker.
        through_port: where the workers connect to; the broker's own port when None.

    Raises:
        ProcessEnded: a worker ended.
        DeadlinePassed: it did not start, or did not end the tasks, in time.
    """
    count = max(1, round(tasks * row.scale))
    warm_up = max(LEAST_WARM_UP, round(count * WARM_UP_SHARE))
    vhost = f"{row.name}-{secrets.token_hex(4)}"
    folder = guard.folder / vhost
    folder.mkdir()
    with ExitStack() as stack:
        url = broker.add_vhost(vhost)
        stack.callback(broker.remove_vhost, vhost)
        counter = stack.enter_context(EventCounter(url)) if row.events else None
        workers = [stack.enter_context(worker) for worker in workers_of(row, url, folder, guard, through_port)]
        await_consumers(url, row, workers)
        mains = [worker.pid for worker in workers]
        watch(folder, mains, broker.pid)
        with _stopped(mains):
            fill(url, row, folder, warm_up=warm_up, tasks=count)
        try:
            end = _await_end(workers, folder, timeout_s=START_TIMEOUT_S + (count + warm_up) / LEAST_RATE)
        except DeadlinePassed as error:
            error.add_note(f"{_ready(url, row.queue)} messages are ready, and the last lines of the workers are:")
            # Their folder is removed with the guard.
            error.add_note("\n".join(worker.log_tail() for worker in workers))
            raise
        _await_rest(url, row.queue)
        given_back = _given_back(url, row)
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.stop(STOP_TIMEOUT_S)
        left = _ready(url, row.queue)
        begin = read_mark(folder, BEGIN) or end
        used = {who: 1e6 * (end[who] - begin[who]) / count for who in ("main", "pool", "broker")}
        alone = row.needs is not None or not end["children"]
        return Consumption(
            rate=count / (end["time"] - begin["time"]),
            main_us=used["main"] + used["pool"] if alone else used["main"],
            pool_us=None if alone else used["pool"],
            broker_us=used["broker"],
            events=counter.tasks / (count + warm_up + 2) if counter else None,
            given_back=given_back,
            left=left,
        )


def workers_of(row: Row, url: str, folder: Path, guard: Guard, port: int | None = None) -> Iterator[Process]:
    """The row's workers, which connect to this URL, or to another port of it; they are not started yet."""
    address = url if port is None else through(url, port)
    environment = child_environment(
        CELERY_BROKER_URL=address,
        PYTHONPATH=PLACE,
        **{name: address if value == URL else value for name, value in row.environment.items()},
    )
    words = [address if word == URL else word for word in row.command]
    for number in range(row.workers):
        name = ("--hostname", f"w{number}@{folder.name}") if "celery" in words else ()
        yield Process(
            f"worker {number} of {row.name}",
            [sys.executable, *words, *name],
            guard=guard,
            environment=environment,
            log=folder / f"worker-{number}.log",
        )


def through(url: str, port: int) -> str:
    """The same URL with another port."""
    place, _, vhost = url.rpartition("/")
    return f"{place.rpartition(':')[0]}:{port}/{vhost}"


def await_consumers(url: str, row: Row, workers: Sequence[Process]) -> None:
    """Return when all workers of the row consume.

    Raises:
        ProcessEnded: a worker ended instead.
        DeadlinePassed: it took too long.
    """
    with connected(Connection(url)) as connection:

        def all_consume() -> bool:
            (*found,) = depths_by_declare(connection, [row.queue])
            return bool(found) and found[0].consumers == row.workers

        # Any of them may end; it is then never ready.
        workers[0].wait_until_ready(all_consume, timeout_s=START_TIMEOUT_S)


@contextlib.contextmanager
def _stopped(mains: Sequence[int]) -> Iterator[None]:
    """In the block the processes and their children do not run."""
    everyone = [*mains, *children_of(list(mains))]
    try:
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _await_end(workers: Sequence[Process], folder: Path, *, timeout_s: float) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        if all(worker.running for worker in workers):
            return read_mark(folder, END)
        dead = next(worker for worker in workers if not worker.running)
        raise ProcessEnded(dead.name, dead.returncode, dead.log_tail())

    return wait_until(ended, what="the last task", timeout_s=timeout_s) or {}


def _await_rest(url: str, queue: str) -> None:
    """Give workers the time to run what they had in advance, and perhaps gave back, when the last mark was run."""
    looks = itertools.count()
    empty = 0
    with connected(Connection(url)) as connection:
        while empty < EMPTY_LOOKS and next(looks) < MOST_LOOKS:
            ready = sum(depth.ready for depth in depths_by_declare(connection, [queue]))
            empty = 0 if ready else empty + 1
            time.sleep(LOOK_S)


def _given_back(url: str, row: Row) -> int | None:
    """How many messages the workers have given back; None when they do not tell, as plain Celery."""
    if row.queue != WORK_QUEUE:
        return None
    with Celery(broker=url, set_as_current=False) as app:
        replies = app.control.broadcast("stats", reply=True, limit=row.workers, timeout=REPLY_TIMEOUT_S) or []
    told = [stats["dispatch"]["given_back"] for reply in replies for stats in reply.values() if "dispatch" in stats]
    return sum(told) if len(told) == row.workers else None


def _ready(url: str, queue: str) -> int:
    with connected(Connection(url)) as connection:
        return sum(depth.ready for depth in depths_by_declare(connection, [queue]))
