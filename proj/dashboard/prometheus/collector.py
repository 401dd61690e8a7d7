"""Collector: our metrics on /metrics, beside Flower's; gauges are read at a scrape, counters and histograms add up."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from prometheus_client import REGISTRY
from prometheus_client.registry import Collector

from proj.dashboard.live.status import NO_READINGS
from proj.dashboard.prometheus.families import counter, gauge
from proj.dashboard.prometheus.histogram import WaitHistogram
from proj.dashboard.prometheus.labels import OTHER, BoundedLabels, dispatch_label, label, worker_label
from proj.dashboard.prometheus.watched import watched_metrics, watched_queues

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from proj.dashboard.live.status import Readings, StartedAttempt

#: Workers, queues, and pairs of queue and dispatch mode with series of their own; all others are one series, "other".
MOST_WORKERS = MOST_QUEUES = 200


class DispatchCollector(Collector):
    """Collects metrics of queues, workers, waits and events."""

    #: The collector in the client's default registry, which the whole process shares.
    _registered: ClassVar[DispatchCollector | None] = None

    def __init__(self, readings: Callable[[], Readings], *, clock: Callable[[], float] = time.monotonic) -> None:
        """Call `readings` at each scrape; the rest comes from `observe`."""
        self._readings = readings
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: BoundedLabels[str] = BoundedLabels(MOST_WORKERS)
        self._queues: BoundedLabels[str] = BoundedLabels(MOST_QUEUES)
        self._pairs: BoundedLabels[tuple[str, str]] = BoundedLabels(MOST_QUEUES)
        #: Starts by dispatch mode and worker; waits by queue and dispatch mode.
        self._started: Counter[tuple[str, ...]] = Counter()
        #: Lost events by worker, as they were read last; and all that were lost, because a counter never falls.
        self._lost_before: dict[str, int] = {}
        self._lost: Counter[str] = Counter()
        #: The same of results that could not be stored.
        self._results_lost_before: dict[str, int] = {}
        self._results_lost: Counter[str] = Counter()
        self._broker_waits = WaitHistogram()
        self._held_waits = WaitHistogram()
        self._avoidable_waits = WaitHistogram()

    def register(self) -> None:
        """Join the client's default registry, in place of any other collector of this class."""
        if DispatchCollector._registered is not None:
            DispatchCollector._registered.unregister()
        REGISTRY.register(self)
        DispatchCollector._registered = self

    def unregister(self) -> None:
        """Leave the registry; safe to call twice, and before `register`."""
        if DispatchCollector._registered is self:
            REGISTRY.unregister(self)
            DispatchCollector._registered = None

    def observe(self, started: Sequence[StartedAttempt]) -> None:
        """Count attempts that have started, each once; from any thread."""
        now = self._clock()
        with self._lock:
            for attempt in started:
                dispatch = dispatch_label(attempt.dispatch)
                self._started[dispatch, self._worker(attempt.worker, now)] += 1
                pair = (label(attempt.queue), dispatch)
                if not self._pairs.admit(pair, now):
                    pair = (OTHER, dispatch)
                self._broker_waits.add(pair, attempt.broker_wait_s)
                self._held_waits.add(pair, attempt.held_s)
                self._avoidable_waits.add(pair, attempt.avoidable_wait_s)

    def describe(self) -> Iterable[Metric]:
        """The metrics without values, from which the registry finds names that are used twice."""
        return self._metrics(NO_READINGS)

    def collect(self) -> Iterable[Metric]:
        """The metrics with their present values."""
        readings = self._readings()
        now = self._clock()
        with self._lock:
            self._admit(readings, now)
            self._forget(now)
            return self._metrics(readings)

    def _admit(self, readings: Readings, now: float) -> None:
        """Give series to the workers and queues that exist."""
        for group in readings.groups:
            pair = (label(group.queue), dispatch_label(group.dispatch))
            if self._pairs.admit(pair, now):
                for waits in (self._broker_waits, self._held_waits, self._avoidable_waits):
                    waits.begin(pair)
            for worker in group.workers:
                if worker.alive is not False:
                    self._worker(worker.name, now)
        self._count_lost(readings, now)
        queues = {label(queue.queue) for queue in readings.queues}
        queues |= {label(name) for name in (*watched_queues(readings), readings.dead_letters)}
        for name in sorted(queues):
            self._queues.admit(name, now)
        # A queue keeps its histograms while it exists, because Prometheus needs an earlier value to see an increase.
        for pair in self._pairs:
            if pair[0] in queues:
                self._pairs.admit(pair, now)

    def _count_lost(self, readings: Readings, now: float) -> None:
        """Count what was lost since the last scrape."""
        lost_now = {row.worker: row.lost for row in readings.events.lost_by_worker}
        for name, count in lost_now.items():
            self._lost[self._worker(name, now)] += max(0, count - self._lost_before.get(name, 0))
        self._lost_before = lost_now
        for name, count in readings.results_lost.items():
            more = max(0, count - self._results_lost_before.get(name, 0))
            self._results_lost[self._worker(name, now)] += more
        known = {name: n for name, n in self._results_lost_before.items() if self._placed(name) != OTHER}
        self._results_lost_before = {**known, **readings.results_lost}

    def _forget(self, now: float) -> None:
        for labels in (self._workers, self._queues, self._pairs):
            labels.forget(now)
        # Not to those of others, which would be an increase, and an alert.
        for counts in (self._lost, self._results_lost):
            for name in [name for name in counts if name != OTHER and name not in self._workers]:
                del counts[name]
        for key in [key for key in self._started if key[1] != OTHER and key[1] not in self._workers]:
            del self._started[key]
        for waits in (self._broker_waits, self._held_waits, self._avoidable_waits):
            waits.keep(self._pairs)

    def _worker(self, name: str, now: float) -> str:
        """The worker's label, which gets series of its own if there is room."""
        text = worker_label(name)
        return text if text == OTHER or self._workers.admit(text, now) else OTHER

    def _queue(self, name: str) -> str:
        """The queue's label, if it has series of its own."""
        text = label(name)
        return text if text in self._queues else OTHER

    def _placed(self, name: str) -> str:
        """The worker's label, if it has series of its own."""
        text = worker_label(name)
        return text if text in self._workers else OTHER

    def _metrics(self, readings: Readings) -> list[Metric]:
        return [
            *self._of_queues(readings),
            *self._of_workers(readings),
            *self._of_waits(),
            *self._of_events(readings),
            *watched_metrics(readings, self._queue),
        ]

    def _of_queues(self, readings: Readings) -> list[Metric]:
        ready: Counter[tuple[str, ...]] = Counter()
        unacknowledged: Counter[tuple[str, ...]] = Counter()
        age_s: dict[tuple[str, ...], float] = {}
        known = {queue.queue for queue in readings.queues}
        # Nobody has heard of a task of these.
        for name, depth in watched_queues(readings).items():
            if name not in known:
                ready[self._queue(name),] += depth.ready
                if depth.unacknowledged is not None:
                    unacknowledged[self._queue(name),] += depth.unacknowledged
        for queue in readings.queues:
            if queue.broker is None:
                continue
            key = (self._queue(queue.queue),)
            ready[key] += queue.broker.ready
            age_s[key] = max(age_s.get(key, 0.0), queue.broker.age_s)
            if queue.broker.unacknowledged is not None:
                unacknowledged[key] += queue.broker.unacknowledged
        return [
            gauge(
                "proj_queue_messages_ready", "Messages that wait in the queue, by the broker's count.", ready, "queue"
            ),
            gauge(
                "proj_queue_messages_unacknowledged",
                "Messages that consumers have not acknowledged, by the broker's count.",
                unacknowledged,
                "queue",
            ),
            gauge(
                "proj_queue_counts_age_seconds", "Seconds since the broker was asked for its counts.", age_s, "queue"
            ),
        ]

    def _of_workers(self, readings: Readings) -> list[Metric]:
        # A worker of several queues is in several groups, with the same slots but other tasks in each.
        slots: dict[str, int] = {}
        started = Counter(self._started)
        modes: dict[str, str] = {}
        busy: Counter[str] = Counter()
        held: Counter[str] = Counter()
        # Of all queues of the worker, and only in adaptive dispatch.
        windows: dict[str, int] = {}
        in_advance: dict[str, int] = {}
        given_back: dict[str, int] = {}
        for group in readings.groups:
            for worker in group.workers:
                if worker.alive is False:
                    continue
                if group.dispatch is not None or worker.name not in modes:
                    modes[worker.name] = dispatch_label(group.dispatch)
                busy[worker.name] += worker.busy_slots
                held[worker.name] += worker.held
                for counts, count in (
                    (slots, worker.slots),
                    (windows, worker.window),
                    (in_advance, worker.in_advance),
                    (given_back, worker.given_back),
                ):
                    if count is not None:
                        counts[worker.name] = max(counts.get(worker.name, 0), count)

        def placed(counts: Mapping[str, int]) -> Counter[tuple[str, ...]]:
            summed: Counter[tuple[str, ...]] = Counter()
            for name, count in counts.items():
                summed[modes[name], self._placed(name)] += count
            return summed

        # Every worker starts at 0, because Prometheus needs an earlier value to see an increase.
        for name, mode in modes.items():
            started[mode, self._placed(name)] += 0
        of = ("dispatch", "worker")
        return [
            gauge("proj_worker_slots", "Tasks that the worker can run at the same time.", placed(slots), *of),
            gauge("proj_worker_slots_busy", "Tasks that the worker runs.", placed(busy), *of),
            gauge("proj_worker_tasks_held", "Tasks that the worker received and has not started.", placed(held), *of),
            counter("proj_tasks_started", "Tasks that the worker started.", started, *of),
            gauge("proj_worker_window", "Messages that a worker in adaptive dispatch asks for.", placed(windows), *of),
            gauge(
                "proj_worker_messages_in_advance",
                "Messages that a worker in adaptive dispatch has and has not given to its pool.",
                placed(in_advance),
                *of,
            ),
            counter(
                "proj_worker_messages_given_back",
                "Messages that a worker in adaptive dispatch gave back to their queues.",
                placed(given_back),
                *of,
            ),
        ]

    def _of_waits(self) -> list[Metric]:
        return [
            self._broker_waits.metric(
                "proj_broker_wait_seconds", "Seconds from the publish of a task to its receipt by a worker."
            ),
            self._held_waits.metric(
                "proj_held_wait_seconds", "Seconds from the receipt of a task by a worker to its start."
            ),
            self._avoidable_waits.metric(
                "proj_avoidable_wait_seconds",
                "Seconds that a task was held while another worker of the same queue had a free slot; 0 below 0.1 s.",
            ),
        ]

    def _of_events(self, readings: Readings) -> list[Metric]:
        events = readings.events
        # Every worker starts at 0, as above.
        lost: Counter[tuple[str, ...]] = Counter({(OTHER,): 0})
        for group in readings.groups:
            for worker in group.workers:
                if worker.alive is not False:
                    lost[self._placed(worker.name),] += 0
        for name, count in self._lost.items():
            lost[name if name in self._workers else OTHER,] += count
        # Of the workers that are not among the first.
        lost[OTHER,] += max(0, events.lost - sum(row.lost for row in events.lost_by_worker))
        return [
            counter("proj_events_heard", "Events of tasks and workers that were received.", {(): events.heard}),
            counter(
                "proj_events_refused", "Events that were refused because they were malformed.", {(): events.refused}
            ),
            counter("proj_events_dropped", "Events that were dropped because too many came.", {(): events.dropped}),
            counter(
                "proj_results_lost",
                "Results that the worker's processes could not store in its result backend.",
                {(name,): count for name, count in self._results_lost.items()},
                "worker",
            ),
            counter("proj_events_lost", "Starts that the worker counted and for which no event came.", lost, "worker"),
        ]
