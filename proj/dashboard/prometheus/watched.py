"""Watched: the gauges that deploy/prometheus-alerts.yml needs beside the others, of the broker and of its queues."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from proj.dashboard.prometheus.families import gauge
from proj.queues import is_plumbing, quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.metrics_core import Metric

    from proj.broker.queue_depths import Depth
    from proj.dashboard.live.status import Readings


def watched_queues(readings: Readings) -> dict[str, Depth]:
    """The queues in which work waits, as the broker counted them: none of Celery's or ours, and no dead letters."""
    return {
        name: depth
        for name, depth in readings.depths.items()
        if not is_plumbing(name) and name != readings.dead_letters and depth.journal is None
    }


def watched_metrics(readings: Readings, place: Callable[[str], str]) -> list[Metric]:
    """The gauges; `place` gives the label of a queue."""
    queues = watched_queues(readings)
    free = _free_slots(readings)
    letters = readings.depths.get(readings.dead_letters)
    oldest: dict[tuple[str, ...], float] = {}
    for name, seconds in readings.oldest_s.items():
        if name is not None:
            oldest[place(name),] = max(seconds, oldest.get((place(name),), 0.0))
    return [
        gauge(
            "proj_queue_consumers",
            "Consumers of the queue, by the broker's count.",
            _placed({name: depth.consumers for name, depth in queues.items()}, place),
            "queue",
        ),
        gauge(
            "proj_queue_workers",
            "Workers that are alive and say that they consume the queue.",
            _placed({name: len(_workers_of(readings, name)) for name in queues}, place),
            "queue",
        ),
        gauge(
            "proj_queue_slots_free",
            "Slots of these workers that run no task, of any queue.",
            _placed({name: sum(free.get(one, 0) for one in _workers_of(readings, name)) for name in queues}, place),
            "queue",
        ),
        gauge(
            "proj_queue_paused",
            "1 while the queue is paused (queues pause), else 0.",
            {key: min(1, count) for key, count in _placed(_paused(queues), place).items()},
            "queue",
        ),
        gauge(
            "proj_queue_quarantined_messages",
            "Messages of the queue that may have killed a worker and wait to be run alone.",
            _placed({name: _quarantined(readings, name) for name in queues}, place),
            "queue",
        ),
        gauge(
            "proj_queue_oldest_seconds",
            "Seconds since the publish, else the receipt, of the task of the queue that waits longest, by events.",
            oldest,
            "queue",
        ),
        gauge(
            "proj_dead_letters",
            "Messages in the app's queue of dead letters, by the broker's count.",
            # A queue that is not there has none, so that the first one is an increase.
            {(place(readings.dead_letters),): 0 if letters is None else letters.ready} if readings.depths else {},
            "queue",
        ),
        gauge(
            "proj_broker_up",
            "1 while the broker answers the dashboard, else 0.",
            {} if readings.broker_answers is None else {(): int(readings.broker_answers)},
        ),
        gauge(
            "proj_broker_alarm",
            "1 while a node of the broker has an alarm of its memory or its disk and accepts no message, else 0.",
            {} if readings.broker_alarm is None else {(): int(readings.broker_alarm)},
        ),
    ]


def _placed(counts: Mapping[str, int], place: Callable[[str], str]) -> Counter[tuple[str, ...]]:
    summed: Counter[tuple[str, ...]] = Counter()
    for name, count in counts.items():
        summed[place(name),] += count
    return summed


def _paused(queues: Mapping[str, Depth]) -> dict[str, int]:
    return {name: int(depth.paused) for name, depth in queues.items()}


def _quarantined(readings: Readings, name: str) -> int:
    depth = readings.depths.get(quarantine_queue(name))
    return 0 if depth is None else depth.ready + (depth.unacknowledged or 0)


def _workers_of(readings: Readings, queue: str) -> frozenset[str]:
    return readings.consuming.get(queue, frozenset())


def _free_slots(readings: Readings) -> dict[str, int]:
    """The free slots of each worker; one of several queues is in several groups, with other tasks in each."""
    slots: dict[str, int] = {}
    busy: Counter[str] = Counter()
    for group in readings.groups:
        for worker in group.workers:
            slots[worker.name] = worker.slots or 0
            busy[worker.name] += worker.busy_slots
    return {name: max(0, count - busy[name]) for name, count in slots.items()}
