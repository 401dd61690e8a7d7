"""Health as a verdict: alive, consuming and progressing, each told from readings and apart from the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proj.queues import QUARANTINE_SUFFIX, is_plumbing

YES = "yes"
NO = "no"
UNKNOWN = "unknown"

#: Seconds for which the broker's list of consumers may be behind: a worker that is younger may be missing in it.
LIST_AGE_S = 6.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer, `yes`, `no` or `unknown`, and why, for people."""

    answer: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """How one worker is."""

    worker: str
    #: It answers.
    alive: Finding
    #: The broker has consumers of its for the queues that it says it works on.
    consuming: Finding
    #: It finishes tasks, or there are none for it.
    progressing: Finding

    @property
    def is_well(self) -> bool:
        """Whether nothing is known to be wrong; what is unknown is not wrong."""
        return NO not in {self.alive.answer, self.consuming.answer, self.progressing.answer}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a worker says of itself at one moment."""

    #: Those that it consumes, without its own for broadcasts.
    queues: frozenset[str]
    #: Tasks that were begun since it started.
    begun: int
    #: The ids of those in work with the second at which each was begun, as far as it is known.
    running: dict[str, float | None]
    #: Messages that it has and has not begun.
    held: int
    slots: int | None
    uptime_s: float | None
    #: It runs a suspect alone and has paused its queues on purpose.
    paused: bool = False
    #: It listens for orders over a connection of its own, so that the broker's list does not tell its queues.
    listens_apart: bool = False

    @property
    def finished(self) -> int:
        """Tasks that have ended since it started."""
        return self.begun - len(self.running)


@dataclass(frozen=True, kw_only=True)
class Consumers:
    """What the broker says of consumers."""

    #: The queues that the broker has a consumer of this worker for; None when it cannot be asked that.
    of_worker: frozenset[str] | None
    #: All consumers of each queue, counted now.
    now: dict[str, int]
    #: All consumers of each queue in the list from which `of_worker` is.
    listed: dict[str, int]
    #: Workers that answer and say that they consume the queue.
    claimed: dict[str, int]


def alive(reading: Reading | None, *, is_known: bool, timeout_s: float) -> Finding:
    """Whether it answers; the broker may know it all the same."""
    if reading is not None:
        return Finding(answer=YES, why="answers")
    if is_known:
        return Finding(answer=NO, why=f"the broker has its connection, but it gave no answer in {timeout_s:g} s")
    return Finding(answer=NO, why="the broker knows no such worker")


def consuming(reading: Reading | None, consumers: Consumers) -> Finding:
    """Whether the broker has its consumers."""
    if reading is None:
        return _listed(None, consumers.of_worker or frozenset(), consumers)
    if reading.paused:
        return Finding(answer=YES, why="has paused its queues while it runs a suspect alone")
    if not reading.queues:
        return Finding(answer=NO, why="it consumes from no queue")
    without = sorted(name for name in reading.queues if consumers.now.get(name) == 0)
    if without:
        return Finding(answer=NO, why=f"the broker has no consumer for {', '.join(without)}")
    if consumers.of_worker is None or reading.listens_apart:
        return _counted(reading.queues, consumers)
    return _listed(reading, reading.queues, consumers)


def progressing(
    first: Reading | None, second: Reading | None, *, backlog: int | None, now: float, stuck_after_s: float | None
) -> Finding:
    """Whether work gets done, from two readings of the worker and what waits in its queues meanwhile."""
    if first is None or second is None:
        return Finding(answer=UNKNOWN, why="it did not say what it does")
    longest = max((now - begun for begun in second.running.values() if begun is not None), default=0.0)
    if stuck_after_s is not None and longest > stuck_after_s:
        return Finding(answer=NO, why=f"a task has been running for {longest:.0f} s")
    if second.finished > first.finished:
        return Finding(answer=YES, why=f"finished tasks between two readings: {second.finished - first.finished}")
    if second.running:
        return Finding(answer=UNKNOWN, why=f"tasks run: {len(second.running)}, the longest for {longest:.0f} s")
    return _at_rest(second, backlog, began=second.begun > first.begun)


def reading(stats: Any, active: Any, held: Any, queues: Any) -> Reading:  # noqa: ANN401 as workers answer
    """A worker's answers, as far as they are what Celery's workers say."""
    stats = stats if isinstance(stats, dict) else {}
    requests = [request for request in active if isinstance(request, dict)] if isinstance(active, list) else []
    total = stats.get("total")
    pool = stats.get("pool")
    slots = pool.get("max-concurrency") if isinstance(pool, dict) else None
    uptime = stats.get("uptime")
    return Reading(
        queues=frozenset(name for name in _names(queues) if not is_plumbing(name)),
        begun=sum(count for count in total.values() if isinstance(count, int)) if isinstance(total, dict) else 0,
        running={str(request.get("id")): _number(request.get("time_start")) for request in requests},
        held=len(held) if isinstance(held, list) else 0,
        slots=slots if isinstance(slots, int) else None,
        uptime_s=_number(uptime),
        listens_apart=isinstance(pool, dict) and "event" in str(pool.get("implementation")),
        paused=any(_routing_key(request).endswith(QUARANTINE_SUFFIX) for request in requests),
    )


def _at_rest(reading: Reading, backlog: int | None, *, began: bool) -> Finding:
    """Of a worker that runs nothing and has finished nothing lately."""
    if reading.held:
        return Finding(
            answer=UNKNOWN,
            why=f"holds {reading.held} messages and runs none: a rate limit, an eta, or a pool that hangs",
        )
    if backlog is None:
        return Finding(answer=UNKNOWN, why="runs nothing, and its queues could not be counted")
    if backlog and not began:
        return Finding(answer=NO, why=f"runs nothing while messages wait: {backlog}")
    return Finding(answer=YES, why="nothing waits")


def _counted(queues: frozenset[str], consumers: Consumers) -> Finding:
    if all(consumers.now.get(name) == consumers.claimed.get(name, 0) for name in queues):
        return Finding(answer=YES, why="the broker has as many consumers as workers say")
    return Finding(answer=UNKNOWN, why="it is not known whose consumers the broker has")


def _listed(reading: Reading | None, queues: frozenset[str], consumers: Consumers) -> Finding:
    lacking = sorted(queues - (consumers.of_worker or frozenset()))
    if not queues:
        return Finding(answer=UNKNOWN, why="nothing says from which queues it consumes")
    if not lacking:
        return Finding(answer=YES, why=f"the broker has its consumers for {', '.join(sorted(queues))}")
    young = reading is not None and (reading.uptime_s or 0) < LIST_AGE_S
    stale = any(consumers.now.get(name) != consumers.listed.get(name, 0) for name in lacking)
    if young or stale:
        return Finding(answer=UNKNOWN, why="the broker's list of consumers is some seconds behind")
    return Finding(answer=NO, why=f"the broker has no consumer of its for {', '.join(lacking)}")


def _routing_key(request: dict[str, Any]) -> str:
    delivery = request.get("delivery_info")
    return str(delivery.get("routing_key", "")) if isinstance(delivery, dict) else ""


def _names(queues: Any) -> list[str]:  # noqa: ANN401 as workers answer
    return [str(queue["name"]) for queue in queues or () if isinstance(queue, dict) and "name" in queue]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
