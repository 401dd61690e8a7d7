"""What a collector is given in the tests, and what Prometheus reads of it."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proj.dashboard.live.status import (
    BrokerCount,
    EventCount,
    EventCounts,
    GroupStatus,
    LostEvents,
    QueueStatus,
    Readings,
    StartedAttempt,
    WorkerStatus,
)
from proj.dashboard.prometheus.collector import DispatchCollector

NO_EVENTS = EventCounts(heard=0, refused=0, dropped=0, lost=0, lost_by_worker=())


def worker(
    name: str, *, slots: int | None = 2, busy: int = 1, held: int = 0, alive: bool | None = True
) -> WorkerStatus:
    return WorkerStatus(name=name, slots=slots, busy_slots=busy, held=held, tasks=0, busy_s=0.0, alive=alive)


def group(*workers: WorkerStatus, queue: str | None = "q", dispatch: str | None = "fair") -> GroupStatus:
    return GroupStatus(
        name=f"{queue} · {dispatch}",
        queue=queue,
        dispatch=dispatch,
        workers=workers,
        slots=sum(worker.slots or 0 for worker in workers),
        busy_slots=sum(worker.busy_slots for worker in workers),
        held=sum(worker.held for worker in workers),
        tasks=0,
        busy_s=0.0,
    )


def queue(name: str, *, ready: int = 0, unacknowledged: int | None = 0, age_s: float = 0.0) -> QueueStatus:
    return QueueStatus(
        queue=name,
        type="quorum",
        broker=BrokerCount(ready=ready, unacknowledged=unacknowledged, consumers=1, windows=(), age_s=age_s),
        events=EventCount(ready=0, unacknowledged=0),
        explanation=None,
    )


def readings(*groups: GroupStatus, queues: tuple[QueueStatus, ...] = (), events: EventCounts = NO_EVENTS) -> Readings:
    return Readings(groups=groups, queues=queues, events=events)


def started_attempt(
    *, queue: str | None = "q", worker: str = "w@h", dispatch: str | None = "fair", wait_s: float | None = 0.2
) -> StartedAttempt:
    return StartedAttempt(
        queue=queue,
        worker=worker,
        dispatch=dispatch,
        broker_wait_s=wait_s,
        held_s=wait_s,
        avoidable_wait_s=wait_s,
    )


class Scraped:
    """A collector in the default registry, and what Prometheus reads of it."""

    def __init__(self) -> None:
        self.readings = readings()
        self.now = 0.0
        self.collector = DispatchCollector(lambda: self.readings, clock=lambda: self.now)

    def text(self) -> str:
        """Our part of Flower's /metrics."""
        lines = generate_latest().decode().split("\n")
        return "\n".join([*(line for line in lines if "proj_" in line.split("{")[0]), ""])

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Values by the name of the sample and the values of its labels, these by their names."""
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }


def flood(scraped: Scraped) -> None:
    """More names of all kinds than may have series."""
    names = [f"forged-{number}" for number in range(3_000)]
    scraped.readings = readings(
        *(
            group(replace(worker(name), window=1, in_advance=1, given_back=1), queue=name, dispatch=name)
            for name in names
        ),
        queues=tuple(queue(name, ready=1) for name in names),
        events=EventCounts(
            heard=0, refused=0, dropped=0, lost=3_000, lost_by_worker=tuple(LostEvents(worker=n, lost=1) for n in names)
        ),
    )
    scraped.collector.observe([started_attempt(queue=name, worker=name, dispatch=name) for name in names])
