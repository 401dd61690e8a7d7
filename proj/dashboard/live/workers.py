"""Workers: what each worker reports about itself, whether it is alive, and how many of its events were lost."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proj.dashboard.live.status import LostEvents
from proj.journal.event import LARGEST, LONGEST_NAME
from proj.journal.heartbeats import Heartbeats
from proj.journal.records import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.journal.event import AdaptiveCounts, WorkerEvent
    from proj.journal.heartbeats import HeartbeatState
    from proj.journal.records import Gap

#: Workers that are followed, and queues of one worker. Anyone who can publish could name any number of them.
MOST_WORKERS = 1000
MOST_QUEUES = 100
#: Earlier dispatch modes of one worker that are remembered.
MOST_FORMER = 10
#: Seconds between two heartbeats when a worker does not report it, and heartbeats that may be missed.
HEARTBEAT_S = 2.0
MISSED = 3
#: Seconds after a worker's goodbye for which it is taken to end what it runs.
DRAIN_S = 300.0
#: The fields of a worker that are counted from its heartbeats and events.
_COUNTED = ("skew_s", "processed", "started_seen", "window", "held", "given_back")


@dataclass
class _Presence:
    """When events of a worker itself were received."""

    first: float
    last: float
    freq_s: float = HEARTBEAT_S
    offline: bool = False
    #: When it last said that it is online.
    online: float | None = None
    #: Results that it could not store, as its process told last; and how many there were since it was first heard.
    told_lost: tuple[int, int] | None = None
    results_lost: int = 0

    @property
    def until(self) -> float:
        """Until when it counts as alive without a further heartbeat."""
        return self.last + MISSED * max(1.0, self.freq_s)

    def count_lost(self, pid: int, count: int) -> None:
        """Take the count of a process; what it had lost before it was first heard is not new."""
        if self.told_lost is not None:
            before = self.told_lost[1] if self.told_lost[0] == pid else 0
            self.results_lost = min(LARGEST, self.results_lost + max(0, count - before))
        self.told_lost = (pid, count)


class Workers:
    """The workers that sent events or answered an inspection."""

    def __init__(self, known: Iterable[Worker] = (), heartbeats: Iterable[HeartbeatState] = ()) -> None:
        """Begin with what a journal has."""
        #: What each worker reported, with the time from which it holds: a name may come back in another dispatch mode.
        self._reported = {worker.name: [(0.0, worker)] for worker in known}
        self._answered: set[str] = set()
        self._heartbeats = Heartbeats(heartbeats, most=MOST_WORKERS)
        self._presences: OrderedDict[str, _Presence] = OrderedDict()
        #: Workers that have to be inspected, because they are new or restarted.
        self.unknown: set[str] = set()
        #: Whether there are more workers than are followed.
        self.overflowed = False

    def update(self, answers: Iterable[Worker], now: float) -> list[Worker]:
        """Take answers to an inspection, and return the workers as they are known now.

        A field that an answer leaves out keeps its value.
        """
        updated = []
        for worker in answers:
            if len(worker.name) > LONGEST_NAME:
                continue
            if worker.name not in self._reported and len(self._reported) >= MOST_WORKERS:
                self.overflowed = True
                continue
            reported = self._reported.setdefault(worker.name, [(0.0, Worker(name=worker.name))])
            known = reported[-1][1]
            current = replace(
                known,
                slots=worker.slots or known.slots,
                queues=tuple(queue[:LONGEST_NAME] for queue in worker.queues[:MOST_QUEUES]) or known.queues,
                dispatch=worker.dispatch[:LONGEST_NAME] if worker.dispatch else known.dispatch,
                early=known.early if worker.early is None else worker.early,
                solo=worker.solo or known.solo,
                memory_bytes=worker.memory_bytes or known.memory_bytes,
            )
            if known.dispatch not in {None, current.dispatch}:
                reported.append((self._online_since(worker.name, now), current))
                del reported[:-MOST_FORMER]
            else:
                reported[-1] = (reported[-1][0], current)
            self._answered.add(worker.name)
            updated.append(current)
        return updated

    def add_event(self, event: WorkerEvent, heard: float) -> Gap | None:
        """Take an event of a worker itself, and return the gap when its counts show that other events are missing."""
        presence = self._presences.get(event.worker)
        if presence is None:
            presence = self._presences[event.worker] = _Presence(heard, heard)
            self.unknown.add(event.worker)
            if len(self._presences) > MOST_WORKERS:
                self._presences.popitem(last=False)
                self.overflowed = True
        elif event.kind == "online" or presence.offline:
            self.unknown.add(event.worker)
        self._presences.move_to_end(event.worker)
        if event.kind == "online":
            presence.online = heard
        presence.last, presence.offline = heard, event.kind == "offline"
        presence.freq_s = event.freq_s or presence.freq_s
        if event.results_lost is not None:
            presence.count_lost(event.pid, event.results_lost)
        state = self._heartbeats.follow(event.worker)
        return state.add_event(event, heard) if state is not None else None

    def count_start(self, worker: str, time: float) -> None:
        """Count the start of an attempt of which an event came."""
        if worker not in self._heartbeats:
            self.unknown.add(worker)
        state = self._heartbeats.follow(worker)
        if state is not None:
            state.count_start(time)

    def is_alive(self, worker: str, now: float) -> bool | None:
        """Whether its heartbeats still come; None when it never sent one."""
        presence = self._presences.get(worker)
        if presence is None:
            return None
        return not presence.offline and now <= presence.until

    def heartbeat_age_s(self, worker: str, now: float) -> float | None:
        """Seconds since the last event of the worker itself; None when it never sent one."""
        presence = self._presences.get(worker)
        return None if presence is None else max(0.0, now - presence.last)

    def said_goodbye(self, worker: str) -> bool:
        """Whether its last event said that it goes offline."""
        presence = self._presences.get(worker)
        return presence is not None and presence.offline

    def has_answered(self, worker: str) -> bool:
        """Whether it has answered an inspection."""
        return worker in self._answered

    def recorded_heartbeat(self, worker: str) -> float | None:
        """The time of its last heartbeat by its own clock, also of one from a journal; None without any."""
        state = self._heartbeats.get(worker)
        return state.time if state is not None and state.pid is not None else None

    def is_of_former_process(self, worker: str, time: float) -> bool:
        """Whether the worker was started again after a time."""
        state = self._heartbeats.get(worker)
        return state is not None and state.since is not None and state.since > time

    def is_draining(self, worker: str, now: float) -> bool:
        """Whether it said goodbye lately: in a warm shutdown it does so before its last tasks end."""
        presence = self._presences.get(worker)
        return presence is not None and presence.offline and now - presence.last <= DRAIN_S

    def is_gone(self, worker: str, now: float, *, runs: bool) -> bool:
        """Whether nothing of it is expected any more; `runs` is whether it had begun the task in question."""
        return self.is_alive(worker, now) is False and not (runs and self.is_draining(worker, now))

    def gone_since(self, worker: str, time: float, now: float, *, runs: bool) -> float | None:
        """When the process of the worker that was there at `time` was last heard; None while it may be there.

        A worker that came back has another process. One that said goodbye may be there for a task that it `runs`.
        """
        state = self._heartbeats.get(worker)
        if state is not None and state.since is not None and state.since > time:
            return state.since
        presence = self._presences.get(worker)
        return presence.last if presence is not None and self.is_gone(worker, now, runs=runs) else None

    def adaptive(self, worker: str) -> AdaptiveCounts | None:
        """What its last heartbeat told of adaptive dispatch; None in another mode."""
        state = self._heartbeats.get(worker)
        return None if state is None else state.adaptive

    def was_present(self, worker: str, began: float, ended: float) -> bool:
        """Whether it was alive at some time between two; a worker without heartbeats counts if it ever answered."""
        presence = self._presences.get(worker)
        if presence is None:
            return worker in self._answered
        return presence.first <= ended and began <= presence.until

    def get(self, worker: str | None) -> Worker | None:
        """What it last reported; None when it never answered."""
        reported = self._reported.get(worker or "")
        return reported[-1][1] if reported else None

    def at(self, time: float) -> list[Worker]:
        """All workers that answered, sorted by name: as they were at a time, with the counts of their heartbeats."""
        found = []
        for name, reported in sorted(self._reported.items()):
            worker = next((one for since, one in reversed(reported) if since <= time), reported[0][1])
            state = self._heartbeats.get(name)
            seen = state.as_worker if state is not None else worker
            counts = {name: getattr(seen, name) for name in _COUNTED}
            found.append(replace(worker, **counts))
        return found

    def lost_events(self) -> tuple[LostEvents, ...]:
        """Starts that workers counted and for which no event came, most first."""
        missing = ((name, state.missing) for name, state in self._heartbeats.items() if state.missing)
        return tuple(LostEvents(worker=name, lost=lost) for name, lost in sorted(missing, key=lambda one: -one[1]))

    def missing(self) -> dict[str, int]:
        """Starts that each worker counted and for which no event came, of those with any."""
        return {name: state.missing for name, state in self._heartbeats.items() if state.missing}

    def results_lost(self, now: float) -> dict[str, int]:
        """Results that each worker which is alive could not store since it was first heard, of those that count."""
        return {
            name: presence.results_lost
            for name, presence in self._presences.items()
            if presence.told_lost is not None and self.is_alive(name, now)
        }

    def memory_bytes(self, worker: str) -> int | None:
        """The most resident memory that its main process had had at its last answer; None when it did not tell."""
        known = self.get(worker)
        return None if known is None else known.memory_bytes

    def _online_since(self, worker: str, now: float) -> float:
        presence = self._presences.get(worker)
        return now if presence is None or presence.online is None else presence.online
