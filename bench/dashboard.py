"""What the Dispatch page adds to Flower's processor time, and how it performs under 2,000 attempts a second.

    python bench/dashboard.py overhead [SECONDS [ROUNDS]]
    python bench/dashboard.py load [SECONDS [EVENTS_PER_SECOND]]

`overhead`: `celery flower` and `celery dashboard` with the same options, in turn, on a private broker with 1,000 forged
events a second. It prints the processor time of each and the ratio: without a client, then with one that requests
/dispatch/data every second (for stock Flower: /workers?json=1).
`load`: both under 6,000 events a second. It prints how long pages take, how old their data is, and missed events.

Caveats: forged events are smaller than those of tasks with long arguments. They come from eight workers that do not
exist, with heartbeats, 20 in a message, without task-sent; no worker answers for its queues and dispatch, so they
are one group. Publisher, broker and client share the machine with what is measured. The time to draw is not measured.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import statistics
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
from celery.events.event import get_exchange
from kombu import Connection

from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

#: Events in a message; a worker collects up to 24.
BATCH = 20
KINDS = ("received", "started", "succeeded")
WORKERS = 8
#: Tasks that a worker receives between the receipt and the start of one task, and between its start and its end.
UNDER_WAY = 4
#: Seconds between two heartbeats of a worker, as Celery sends them.
HEARTBEAT_S = 2.0
#: Events a second in `overhead` and in `load`.
COMPARED_RATE, LOADED_RATE = 1_000.0, 6_000.0
#: Seconds before the measurement begins, for imports, the first inspection and the first page.
WARM_UP_S = 6.0
#: Seconds that a refresh may take, and the greatest allowed ratio of processor time to that of stock Flower.
REFRESH_LIMIT_S, OVERHEAD_LIMIT = 0.3, 1.10
COMMANDS = {"stock": "flower", "ours": "dashboard"}
#: A page that must exist: without it, ours is stock Flower after a warning.
PAGES = {"stock": "/workers", "ours": "/dispatch"}
#: The page that the client requests.
WATCHED = {"stock": "/workers?json=1", "ours": "/dispatch/data"}


# --- The events, in a process of their own ----------------------------------------------------------


class Forger:
    """Forges the events of one worker, in the order in which a busy worker sends them."""

    def __init__(self, name: str) -> None:
        """Take the node name of the worker."""
        self.name = name
        self.started = 0
        self._clock = 0

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Messages of `BATCH` events each, without end."""
        batch: list[dict[str, Any]] = []
        step = 0
        while True:
            for place, kind in enumerate(KINDS):
                number = step - place * UNDER_WAY
                if number >= 0:
                    batch.append(self._task(kind, number))
                    if len(batch) == BATCH:
                        yield batch
                        batch = []
            step += 1

    def heartbeat(self) -> dict[str, Any]:
        """Its heartbeat event now."""
        beat = {"freq": HEARTBEAT_S, "sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux"}
        return {
            **self._event("worker-heartbeat"),
            **beat,
            "active": UNDER_WAY,
            "processed": self.started,
            "loadavg": [1.0, 1.0, 1.0],
        }

    def _task(self, kind: str, number: int) -> dict[str, Any]:
        place = int(self.name.partition("@")[0].removeprefix("worker"))
        task = (number * WORKERS + place) * 2654435761 % 2**32
        event = {**self._event(f"task-{kind}"), "uuid": f"{task:08x}-0000-4000-8000-{number:012x}"}
        if kind == "received":
            event.update(name="theirs.add", args="(1, 2)", kwargs="{}", retries=0, eta=None, root_id=None)
        elif kind == "started":
            self.started += 1
        else:
            event.update(runtime=0.01, result="3")
        return event

    def _event(self, kind: str) -> dict[str, Any]:
        self._clock += 1
        return {
            "type": kind,
            "timestamp": time.time(),
            "hostname": self.name,
            "utcoffset": 0,
            "pid": 1,
            "clock": self._clock,
        }


def publish(url: str, rate: float) -> None:
    """Publish events at `rate` a second until SIGTERM, then print how many of them were events of tasks."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    published = 0
    with Connection(url) as connection:
        producer = connection.Producer(exchange=get_exchange(connection), serializer="json")
        forgers = [Forger(f"worker{number}@host") for number in range(WORKERS)]
        streams = [forger.batches() for forger in forgers]
        begun = time.monotonic()
        beat = begun
        while not ended.is_set():
            for stream in streams:
                producer.publish(next(stream), routing_key="task.multi", delivery_mode=1)
                published += BATCH
                ended.wait(max(0.0, published / rate - (time.monotonic() - begun)))
            if time.monotonic() >= beat:
                beat += HEARTBEAT_S
                for forger in forgers:
                    producer.publish(forger.heartbeat(), routing_key="worker.heartbeat", delivery_mode=1)
    print(json.dumps({"published": published, "took_s": time.monotonic() - begun}))


def publisher(guard: Guard, broker: Broker, rate: float) -> Process:
    """The process that publishes. After its end, its log has the number of events."""
    return Process(
        "publisher",
        [sys.executable, __file__, "publish", broker.url(), str(rate)],
        guard=guard,
        environment=child_environment(),
        log=guard.folder / f"publisher-{time.time_ns()}.log",
    )


# --- What is measured --------------------------------------------------------------------------------


class Monitor(Process):
    """Stock Flower or the dashboard, with the same options, for another app than ours."""

    def __init__(self, kind: str, guard: Guard, broker: Broker) -> None:
        """Choose a free port; `start` starts the process."""
        self.kind = kind
        self.port = free_port()
        (guard.folder / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")
        options = [f"--address={LOOPBACK}", f"--port={self.port}", "--max_tasks=20000", "--read_only=True"]
        super().__init__(
            kind,
            [sys.executable, "-m", "celery", "-A", "theirs", COMMANDS[kind], *options],
            guard=guard,
            environment=child_environment(
                CELERY_BROKER_URL=broker.url(), FLOWER_BROKER_API=broker.management_url, PYTHONPATH=str(guard.folder)
            ),
            log=guard.folder / f"{kind}-{time.time_ns()}.log",
        )

    def get(self, path: str, timeout_s: float = 30.0) -> bytes:
        """The body of the page at `path`."""
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}{path}", timeout=timeout_s) as answer:
            body: bytes = answer.read()
        return body

    def answers(self) -> bool:
        """Whether it serves pages."""
        with contextlib.suppress(OSError):
            return bool(self.get("/healthcheck", timeout_s=2))
        return False

    def cpu_s(self) -> float:
        """Processor seconds that it has used."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def events_counted(self) -> int:
        """Events of tasks that Flower has counted."""
        found = re.findall(r"^flower_events_total\{.*\} (\S+)$", self.get("/metrics").decode(), flags=re.MULTILINE)
        return round(sum(map(float, found)))


@dataclass
class Poll:
    """A client that requests a page every `interval_s` seconds, in a thread."""

    monitor: Monitor
    path: str
    interval_s: float
    #: Called with the body of each answer.
    note: Callable[[bytes], None] = lambda _body: None
    #: Seconds that each answer took.
    took_s: list[float] = field(default_factory=list)
    #: The errors of requests that failed.
    failed: list[str] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, after the current answer."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due, time.monotonic()) + self.interval_s
            begun = time.perf_counter()
            try:
                body = self.monitor.get(self.path)
            except OSError as error:
                self.failed.append(str(error))
            else:
                self.took_s.append(time.perf_counter() - begun)
                self.note(body)

    def __str__(self) -> str:
        """One line of a table."""
        if not self.took_s:
            return f"  {self.path[:44]:<44} no answer: {self.failed[:1]}"
        failures = f"  {len(self.failed)} FAILED: {self.failed[0]}" if self.failed else ""
        return (
            f"  {self.path[:44]:<44} {len(self.took_s):>4} answers  p50 {quantile(self.took_s, 0.5) * 1e3:6.0f} ms"
            f"  p95 {quantile(self.took_s, 0.95) * 1e3:6.0f} ms  max {max(self.took_s) * 1e3:6.0f} ms{failures}"
        )


def quantile(values: list[float], share: float) -> float:
    """The value below which a share (0 to 1) of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def measured_cpu(kind: str, guard: Guard, broker: Broker, *, seconds: float, watched: bool) -> float:
    """The share of one core that a newly started Flower or dashboard uses."""
    with Monitor(kind, guard, broker) as monitor, contextlib.ExitStack() as watching:
        monitor.wait_until_ready(monitor.answers, timeout_s=60)
        monitor.get(PAGES[kind])
        if watched:
            watching.enter_context(Poll(monitor, WATCHED[kind], 1.0))
        time.sleep(WARM_UP_S)
        before = monitor.cpu_s()
        begun = time.monotonic()
        time.sleep(seconds)
        return (monitor.cpu_s() - before) / (time.monotonic() - begun)


def overhead(seconds: float, rounds: int) -> bool:
    """Measure both in turn and print a line for each case; return whether ours is within the limit without a client."""
    kinds = kinds_asked_for()
    print(
        f"{COMPARED_RATE:,.0f} events/s, {rounds} rounds of {seconds:g} s each; share of one core, median (all rounds)"
    )
    within = True
    with Guard() as guard, Broker(guard) as broker, publisher(guard, broker, COMPARED_RATE):
        for watched in (False, True):
            shares: dict[str, list[float]] = {kind: [] for kind in kinds}
            for number in range(rounds):
                for kind in kinds if number % 2 == 0 else reversed(kinds):
                    shares[kind].append(measured_cpu(kind, guard, broker, seconds=seconds, watched=watched))
            medians = {kind: statistics.median(values) for kind, values in shares.items()}
            for kind, values in shares.items():
                case = f"{kind}, {WATCHED[kind]} each second" if watched else f"{kind}, without a client"
                print(f"  {case:<44} {medians[kind]:6.1%}  ({', '.join(f'{value:.1%}' for value in sorted(values))})")
            if len(kinds) > 1:
                ratio = medians["ours"] / medians["stock"]
                print(f"  {'ours / stock':<44} {ratio:6.2f}")
                within &= watched or ratio <= OVERHEAD_LIMIT
    return within


def load(seconds: float, rate: float) -> bool:
    """Measure both in turn and print tables; return whether every refresh stayed within the limit."""
    within = True
    for kind in kinds_asked_for():
        with Guard() as guard, Broker(guard) as broker, Monitor(kind, guard, broker) as monitor:
            monitor.wait_until_ready(monitor.answers, timeout_s=60)
            snapshots: list[tuple[float, dict[str, Any]]] = []
            polls = [
                Poll(monitor, "/workers", 2.0),
                Poll(monitor, "/workers?json=1", 2.0),
                Poll(monitor, "/tasks", 2.0),
                Poll(monitor, TASKS_DATA, 2.0),
            ]
            if kind == "ours":
                polls += [
                    Poll(monitor, "/dispatch", 5.0),
                    Poll(
                        monitor,
                        WATCHED["ours"],
                        1.0,
                        lambda body: snapshots.append((time.time(), json.loads(body))),  # noqa: B023 called only in this round of the loop
                    ),
                ]
            monitor.get(PAGES[kind])
            process = publisher(guard, broker, rate)
            before, begun = monitor.cpu_s(), time.monotonic()
            with process, contextlib.ExitStack() as asking:
                for poll in polls:
                    asking.enter_context(poll)
                time.sleep(seconds)
                used = (monitor.cpu_s() - before) / (time.monotonic() - begun)
                process.stop()
            result = json.loads(process.log_text().splitlines()[-1])
            settle(monitor)
            missed = result["published"] - monitor.events_counted()
            print(
                f"{kind}: {result['published'] / result['took_s']:,.0f} events/s for {result['took_s']:.0f} s, "
                f"{used:.0%} of one core, {psutil.Process(monitor.pid).memory_info().rss / 2**20:.0f} MiB; "
                f"{missed:,} of {result['published']:,} events did not reach Flower"
            )
            for poll in polls:
                print(poll)
            if kind == "ours":
                snapshots.append((time.time(), json.loads(monitor.get(WATCHED["ours"]))))
                describe(snapshots)
                within &= not polls[-1].failed and max(polls[-1].took_s) < REFRESH_LIMIT_S
    return within


#: The request that the page of tasks makes when it is opened.
TASKS_DATA = (
    "/tasks/datatable?draw=1&start=0&length=15&search%5Bvalue%5D=&order%5B0%5D%5Bcolumn%5D=7"
    "&order%5B0%5D%5Bdir%5D=desc&columns%5B7%5D%5Bdata%5D=received"
)


def settle(monitor: Monitor) -> None:
    """Return when the number of events no longer grows."""
    counted = -1
    while (now := monitor.events_counted()) != counted:
        counted = now
        time.sleep(2.0)


def describe(snapshots: list[tuple[float, dict[str, Any]]]) -> None:
    """Print the age of the snapshots, how long they took, and which events are missing."""
    *running, (_, last) = snapshots
    ages = [heard - snapshot["as_of"] for heard, snapshot in running]
    took = [snapshot["took_s"] for _, snapshot in running]
    size = len(json.dumps(last)) / 1024
    print(
        f"  age of the snapshots: p50 {quantile(ages, 0.5):.2f} s, p95 {quantile(ages, 0.95):.2f} s, "
        f"max {max(ages):.2f} s; computing them took p50 {quantile(took, 0.5):.2f} s, max {max(took):.2f} s; "
        f"{size:,.0f} KiB"
    )
    counts = {name: last["events"][name] for name in ("heard", "refused", "dropped", "lost")}
    print(f"  events: {counts}; attempts kept: {last['kept']}")


def kinds_asked_for() -> list[str]:
    """Both kinds, or the one that the last argument names."""
    return [sys.argv[-1]] if sys.argv[-1] in COMMANDS else list(COMMANDS)


def main() -> None:
    """Run the measurement that the arguments name."""
    what, *numbers = [word for word in sys.argv[1:] if word not in COMMANDS] or ["overhead"]
    if what == "publish":
        publish(numbers[0], float(numbers[1]))
        return
    if what == "overhead":
        seconds, rounds = (*map(float, numbers), *(20.0, 5.0)[len(numbers) :])
        within = overhead(seconds, int(rounds))
    else:
        seconds, rate = (*map(float, numbers), *(60.0, LOADED_RATE)[len(numbers) :])
        within = load(seconds, rate)
    print("within the limit" if within else "NOT within the limit")
    sys.exit(0 if within else 1)


if __name__ == "__main__":
    main()
