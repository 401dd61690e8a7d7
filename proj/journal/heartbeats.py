"""Heartbeats: compares what workers count with the events that came, and their clocks with ours."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.journal.event import LARGEST
from proj.journal.records import Gap, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.journal.event import AdaptiveCounts, WorkerEvent

#: The most workers that are followed; everyone who can publish events could invent any number of names.
MOST_WORKERS = 10_000
#: The most starts of one worker whose times are remembered until its next heartbeat: more than come between two.
MOST_STARTS = 10_000
#: Queues whose dead letters of one worker are counted, over its restarts.
MOST_LETTER_QUEUES = 200
#: Seconds: the timestamp of a `task-started` event may be later by this than the heartbeat that counts the start.
LATE_S = 0.1


@dataclass
class HeartbeatState:
    """What is known of one worker from its heartbeats and its `task-started` events."""

    worker: str
    #: The process id in its last heartbeat; None before the first.
    pid: int | None = None
    #: The time of its last heartbeat, in seconds since the epoch by its own clock.
    time: float = 0.0
    #: The time of the first heartbeat of its process, where an earlier process was seen before; None otherwise.
    since: float | None = None
    #: Task starts since its process began, in its last heartbeat.
    processed: int = 0
    #: Added to `processed`, this gives all its starts since its first event came, also over restarts.
    offset: int = 0
    #: Starts that are known to be missing; gaps were written for them already. It falls when their events come late.
    missing: int = 0
    #: Starts whose events came.
    seen: int = 0
    #: As in `Worker`.
    skew_s: float | None = None
    window: int | None = None
    held: int | None = None
    given_back: int | None = None
    #: What its last heartbeat told of adaptive dispatch.
    adaptive: AdaptiveCounts | None = None
    #: The dead letters that it made, by queue, as in `Worker`; and those that its last heartbeat told.
    letters: dict[str, int] | None = None
    letters_told: Mapping[str, int] | None = None
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_STARTS))

    def count_start(self, time: float) -> None:
        """Count a start whose event came for the first time; `time` is its timestamp."""
        self.seen += 1
        self._starts.append(time)

    def add_event(self, event: WorkerEvent, received: float) -> Gap | None:
        """Add the next heartbeat; return a gap if starts that the heartbeat before it counted are missing.

        A worker sends heartbeats at once and collects events of tasks for a moment. So the starts that a heartbeat
        counts are checked when the next heartbeat comes. Of a worker that goes offline, only its last counts of
        adaptive dispatch and of dead letters are taken: tasks that it has begun may still end.
        """
        if event.kind == "offline":
            if event.pid == self.pid:
                self._add_told(event, is_new=False)
            return None
        ahead_s = event.time - received
        self.skew_s = ahead_s if self.skew_s is None else max(self.skew_s, ahead_s)
        processed = event.processed
        if processed is None or (event.pid == self.pid and event.time <= self.time):
            return None
        gap = None
        is_new = event.pid != self.pid or processed < self.processed
        self._add_told(event, is_new=is_new)
        if self.pid is None:
            self.offset = self._seen_until(event.time) - processed
        elif is_new:
            # The process is a new one, and its count began at 0.
            self.since = event.time
            self.offset = max(self.offset + self.processed, self._seen_until(event.time) - processed)
            # Forged heartbeats must not make it larger than the file can hold.
            self.offset = min(self.offset, LARGEST)
        else:
            gap = self._gap(event.time)
        self.pid, self.time, self.processed = event.pid, event.time, processed
        # What comes from now on is compared with later times.
        while self._starts and self._starts[0] <= self.time:
            self._starts.popleft()
        return gap

    @property
    def as_worker(self) -> Worker:
        """The part of it that belongs into the worker's record."""
        processed = None if self.pid is None else max(0, self.offset + self.processed)
        return Worker(
            name=self.worker,
            skew_s=self.skew_s,
            processed=processed,
            started_seen=self.seen,
            window=self.window,
            held=self.held,
            given_back=self.given_back,
            letters=None if self.letters is None else tuple(self.letters.items()),
        )

    def _add_told(self, event: WorkerEvent, *, is_new: bool) -> None:
        """Add what a heartbeat tells; `is_new` says that its process is not that of the heartbeat before it."""
        if is_new:
            self.adaptive, self.letters_told = None, None
        if event.adaptive is not None:
            self._add_counts(event.adaptive)
        if event.letters is not None:
            self._add_letters(event.letters)

    def _add_counts(self, counts: AdaptiveCounts) -> None:
        if self.pid is None:
            # It began before we listened.
            more = 0
        elif self.adaptive is None:
            more = counts.given_back
        else:
            more = max(0, counts.given_back - self.adaptive.given_back)
        self.adaptive = counts
        self.given_back = min((self.given_back or 0) + more, LARGEST)
        self.window = max(self.window or 0, counts.window)
        self.held = max(self.held or 0, counts.held)

    def _add_letters(self, told: Mapping[str, int]) -> None:
        made = self.letters = self.letters or {}
        # What was made before we listened is left out.
        before = told if self.pid is None else self.letters_told or {}
        for queue, count in told.items():
            more = count - before.get(queue, 0)
            if more > 0 and (queue in made or len(made) < MOST_LETTER_QUEUES):
                made[queue] = min(made.get(queue, 0) + more, LARGEST)
        self.letters_told = told

    def _gap(self, now: float) -> Gap | None:
        missing = self.offset + self.processed - self._seen_until(self.time + LATE_S)
        more, self.missing = missing - self.missing, max(0, missing)
        if more <= 0:
            # None is missing, or some came late.
            return None
        return Gap(
            began=self.time,
            ended=now,
            events=more,
            reason=f"The heartbeat of {self.worker} counted {more} more task starts than task-started events came.",
        )

    def _seen_until(self, time: float) -> int:
        """Starts whose events came, up to a time by the worker's clock."""
        return self.seen - sum(start > time for start in self._starts)


class Heartbeats:
    """The heartbeat states of all workers."""

    def __init__(self, known: Iterable[HeartbeatState], *, most: int = MOST_WORKERS) -> None:
        """Continue from the states of an earlier recording; follow at most `most` workers."""
        self._most = most
        self._states = {state.worker: state for state in known}
        self._changed: dict[str, HeartbeatState] = {}

    def __contains__(self, worker: str) -> bool:
        """Whether an event of the worker has come."""
        return worker in self._states

    def follow(self, worker: str) -> HeartbeatState | None:
        """The state of a worker, to be changed; a new one for a new worker, None if there are too many workers."""
        state = self._states.get(worker)
        if state is None:
            if len(self._states) >= self._most:
                return None
            state = self._states[worker] = HeartbeatState(worker)
        self._changed[worker] = state
        return state

    def get(self, worker: str) -> HeartbeatState | None:
        """The state of a worker, to be read; None if no event of it has come."""
        return self._states.get(worker)

    def items(self) -> Iterable[tuple[str, HeartbeatState]]:
        """All states, by the name of the worker."""
        return self._states.items()

    def pop_changed(self) -> list[HeartbeatState]:
        """The states that `follow` has given since the last call."""
        changed, self._changed = self._changed, {}
        return list(changed.values())
