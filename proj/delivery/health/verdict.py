"""The verdict on a worker: whether it is alive, consuming and progressing, each decided on its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from proj.broker.worker_replies import read_queues, read_stats, read_tasks
from proj.queues import QUARANTINE_SUFFIX, is_plumbing

YES = "yes"
NO = "no"
UNKNOWN = "unknown"

#: Seconds that the broker's list of consumers may be old: a worker that started later may be missing in it.
LIST_AGE_S = 6.0


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer, `yes`, `no` or `unknown`, and the reason, for people."""

    answer: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """The three findings on one worker."""

    worker: str
    #: It answers over the control bus.
    alive: Finding
    #: The broker has its consumers for the queues that it says it consumes.
    consuming: Finding
    #: It finishes tasks, or there are none for it to run.
    progressing: Finding

    @property
    def is_well(self) -> bool:
        """Whether no answer is `no`; what is unknown is not wrong."""
        return NO not in {self.alive.answer, self.consuming.answer, self.progressing.answer}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a worker said of itself at one time."""

    #: The queues that it consumes, without its own for broadcasts.
    queues: frozenset[str]
    #: Tasks that it has started since its own start.
    started: int
    #: The ids of the tasks that it runs, with the Unix time at which each was started, where it is known.
    running: dict[str, float | None]
    #: Messages that it has received and not started.
    held: int
    #: Seconds since its start.
    uptime_s: float | None
    #: It has paused its queues because it runs a quarantined task alone.
    paused: bool = False
    #: The queues that it leaves alone because they are paused.
    paused_queues: frozenset[str] = frozenset()
    #: It listens for commands over another connection than it consumes, so the broker's list does not show its queues.
    listens_apart: bool = False
    #: It is in adaptive dispatch, where a worker cancels consumers while it is busy.
    adaptive: bool = False

    @property
    def finished(self) -> int:
        """Tasks that have ended since its start."""
        return self.started - len(self.running)


@dataclass(frozen=True, kw_only=True)
class Consumers:
    """What the broker says of consumers, by queue."""

    #: The queues that the broker has a consumer of this worker for; None when it cannot be asked that.
    of_worker: frozenset[str] | None
    #: All consumers of each queue, counted now.
    now: dict[str, int]
    #: All consumers of each queue in the list that `of_worker` is from.
    listed: dict[str, int]
    #: Workers that answer and say that they consume the queue.
    claimed: dict[str, int]


def alive(reading: Reading | None, *, is_known: bool, timeout_s: float) -> Finding:
    """Whether it answers; one that does not may still have its connection."""
    if reading is not None:
        return Finding(answer=YES, why="answers")
    if is_known:
        return Finding(answer=NO, why=f"the broker has its connection, but it gave no answer in {timeout_s:g} s")
    return Finding(answer=NO, why="the broker knows no such worker")


def consuming(reading: Reading | None, consumers: Consumers) -> Finding:
    """Whether the broker has its consumers for the queues that it says it consumes."""
    if reading is None:
        return _listed(None, consumers.of_worker or frozenset(), consumers)
    if reading.paused:
        return Finding(answer=YES, why="has paused its queues while it runs a quarantined task alone")
    at_rest = ", ".join(sorted(reading.paused_queues))
    if not reading.queues:
        if at_rest:
            return Finding(answer=YES, why=f"all its queues are paused: {at_rest}")
        return Finding(answer=NO, why="it consumes from no queue")
    finding = _consuming(reading, consumers)
    if at_rest:
        finding = replace(finding, why=f"{finding.why}; paused: {at_rest}")
    if finding.answer == NO and reading.adaptive:
        # What it does not consume while it should shows in its progress.
        answer, when = (YES, "while it is busy") if reading.running else (UNKNOWN, "for a moment")
        return Finding(answer=answer, why=f"in adaptive dispatch a worker consumes from no queue {when}")
    return finding


def _consuming(reading: Reading, consumers: Consumers) -> Finding:
    without = sorted(name for name in reading.queues if consumers.now.get(name) == 0)
    if without:
        return Finding(answer=NO, why=f"the broker has no consumer for {', '.join(without)}")
    if consumers.of_worker is None or reading.listens_apart:
        return _counted(reading.queues, consumers)
    return _listed(reading, reading.queues, consumers)


def progressing(
    first: Reading | None, second: Reading | None, *, backlog: int | None, now: float, stuck_after_s: float | None
) -> Finding:
    """Whether it finishes tasks, from two readings of it and the messages that wait in its queues.

    Args:
        first: the earlier reading; None when it did not answer.
        second: the later one.
        backlog: messages that wait in its queues; None when they could not be counted.
        now: the Unix time.
        stuck_after_s: seconds after which a task that still runs counts as stuck; None when none does.
    """
    if first is None or second is None:
        return Finding(answer=UNKNOWN, why="it did not say what it runs")
    longest = max((now - started for started in second.running.values() if started is not None), default=0.0)
    if stuck_after_s is not None and longest > stuck_after_s:
        return Finding(answer=NO, why=f"a task has been running for {longest:.0f} s")
    if second.finished > first.finished:
        return Finding(answer=YES, why=f"finished tasks between two readings: {second.finished - first.finished}")
    if second.running:
        return Finding(answer=UNKNOWN, why=f"tasks run: {len(second.running)}, the longest for {longest:.0f} s")
    return _at_rest(second, backlog, has_started=second.started > first.started)


def read_worker(stats: object, active: object, reserved: object, active_queues: object) -> Reading:
    """One reading of a worker, from its replies to the commands of these names; None for one that it did not answer."""
    said = read_stats(stats)
    running = [task for task in read_tasks(active) if task.id is not None]
    return Reading(
        queues=frozenset(name for name in read_queues(active_queues) if not is_plumbing(name)),
        started=said.started or 0,
        running={str(task.id): task.started_at for task in running},
        held=len(read_tasks(reserved)),
        uptime_s=said.uptime_s,
        # Workers with an event loop of another library: eventlet and gevent.
        listens_apart="event" in said.pool,
        adaptive=said.adaptive,
        paused_queues=said.paused_queues,
        paused=any((task.routing_key or "").endswith(QUARANTINE_SUFFIX) for task in running),
    )


def _at_rest(reading: Reading, backlog: int | None, *, has_started: bool) -> Finding:
    """The finding on a worker that runs nothing and finished nothing between the readings."""
    if reading.held:
        return Finding(
            answer=UNKNOWN,
            why=f"holds {reading.held} messages and runs none: a rate limit, an eta, or a pool that hangs",
        )
    if backlog is None:
        return Finding(answer=UNKNOWN, why="runs nothing, and its queues could not be counted")
    if backlog and not has_started:
        return Finding(answer=NO, why=f"runs nothing while messages wait: {backlog}")
    return Finding(answer=YES, why="nothing waits")


def _counted(queues: frozenset[str], consumers: Consumers) -> Finding:
    """The finding from the number of consumers, where the broker does not say whose they are."""
    if all(consumers.now.get(name) == consumers.claimed.get(name, 0) for name in queues):
        return Finding(answer=YES, why="the broker has as many consumers as workers say")
    return Finding(answer=UNKNOWN, why="it is not known whose consumers the broker has")


def _listed(reading: Reading | None, queues: frozenset[str], consumers: Consumers) -> Finding:
    """The finding from the broker's list of consumers."""
    lacking = sorted(queues - (consumers.of_worker or frozenset()))
    if not queues:
        return Finding(answer=UNKNOWN, why="neither the worker nor the broker says which queues it consumes")
    if not lacking:
        return Finding(answer=YES, why=f"the broker has its consumers for {', '.join(sorted(queues))}")
    young = reading is not None and (reading.uptime_s or 0) < LIST_AGE_S
    stale = any(consumers.now.get(name) != consumers.listed.get(name, 0) for name in lacking)
    if young or stale:
        return Finding(answer=UNKNOWN, why="the broker's list of consumers is some seconds old")
    return Finding(answer=NO, why=f"the broker has no consumer of this worker for {', '.join(lacking)}")
