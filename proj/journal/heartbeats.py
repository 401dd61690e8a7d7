"""Heartbeats: what the heartbeats of workers tell of their clocks, and of events that never came."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.journal.records import Gap, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proj.journal.event import WorkerEvent

#: Workers that are followed; whoever can publish could name any number of them.
MOST_WORKERS = 10_000
#: Starts that are remembered with their time: those between two heartbeats of the busiest worker.
MOST_STARTS = 10_000
#: Seconds by which a start may be told later than it was counted.
LATE_S = 0.1


@dataclass
class HeartbeatState:
    """What one worker counted itself, against what was heard of it."""

    worker: str
    pid: int | None = None
    #: Of its last heartbeat: when, and the starts since its process began.
    time: float = 0.0
    processed: int = 0
    #: What is added to `processed` to have all starts since we first heard of the worker, over its restarts.
    offset: int = 0
    #: How many events are known to be missing, and are in a gap already.
    missing: int = 0
    #: Starts whose events came.
    seen: int = 0
    skew_s: float | None = None
    _starts: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_STARTS))

    def count_start(self, time: float) -> None:
        """Count a start that was heard of, and not before."""
        self.seen += 1
        self._starts.append(time)

    def add_heartbeat(self, event: WorkerEvent, heard: float) -> Gap | None:
        """Take the next heartbeat; it shows whether all starts of the one before were heard of by now.

        A worker sends its heartbeats at once and collects events of tasks for a moment, so one heartbeat can
        only be judged when the next is there.
        """
        ahead_s = event.time - heard
        self.skew_s = ahead_s if self.skew_s is None else max(self.skew_s, ahead_s)
        processed = event.processed
        if processed is None or (event.pid == self.pid and event.time <= self.time):
            return None
        gap = None
        if self.pid is None:
            self.offset = self._seen_at(event.time) - processed
        elif event.pid != self.pid or processed < self.processed:
            self.offset = max(self.offset + self.processed, self._seen_at(event.time) - processed)
        else:
            gap = self._gap(event.time)
        self.pid, self.time, self.processed = event.pid, event.time, processed
        return gap

    @property
    def as_worker(self) -> Worker:
        """The worker as it is written down."""
        processed = None if self.pid is None else max(0, self.offset + self.processed)
        return Worker(name=self.worker, skew_s=self.skew_s, processed=processed, started_seen=self.seen)

    def _gap(self, now: float) -> Gap | None:
        missing = self.offset + self.processed - self._seen_at(self.time)
        if missing <= self.missing:
            return None
        more, self.missing = missing - self.missing, missing
        return Gap(
            began=self.time,
            ended=now,
            events=more,
            reason=f"{self.worker} counted {more} more starts up to its heartbeat than events of starts came.",
        )

    def _seen_at(self, time: float) -> int:
        """Starts that were heard of up to a time by the worker's clock."""
        return self.seen - sum(start > time + LATE_S for start in self._starts)


class Heartbeats:
    """The heartbeats of all workers."""

    def __init__(self, known: Iterable[HeartbeatState], *, most: int = MOST_WORKERS) -> None:
        """Go on from what an earlier recording knew, and follow so many workers at most."""
        self._most = most
        self._heartbeats = {state.worker: state for state in known}
        #: Those that changed since they were last taken.
        self._changed: dict[str, HeartbeatState] = {}

    def __contains__(self, worker: str) -> bool:
        """Whether anything was heard of the worker."""
        return worker in self._heartbeats

    def follow(self, worker: str) -> HeartbeatState | None:
        """The worker's, to be changed; None when there are too many."""
        state = self._heartbeats.get(worker)
        if state is None:
            if len(self._heartbeats) >= self._most:
                return None
            state = self._heartbeats[worker] = HeartbeatState(worker)
        self._changed[worker] = state
        return state

    def get(self, worker: str) -> HeartbeatState | None:
        """The worker's, to be read; None when nothing was heard of it."""
        return self._heartbeats.get(worker)

    def items(self) -> Iterable[tuple[str, HeartbeatState]]:
        """Those of all workers, by name."""
        return self._heartbeats.items()

    def changed(self) -> Iterator[HeartbeatState]:
        """Those that changed since this was last asked."""
        changed, self._changed = self._changed, {}
        yield from changed.values()
