"""The crew: what is known of each worker: what it says it is, whether it lives, and what of it was not heard."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proj.dashboard.live.status import LostEvents
from proj.journal.event import LONGEST_NAME
from proj.journal.heartbeats import Heartbeats
from proj.journal.records import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.journal.event import WorkerEvent
    from proj.journal.heartbeats import HeartbeatState
    from proj.journal.records import Gap

#: Workers that are followed, and queues of one: whoever can publish could name any number of them.
MOST_WORKERS = 1000
MOST_QUEUES = 100
#: How often a worker may have become another and be remembered as what it was.
MOST_LIVES = 10
#: Seconds between two heartbeats, when a worker does not say; and how many may be missed.
HEARTBEAT_S = 2.0
MISSED = 3


@dataclass
class _Life:
    """When a worker was heard of."""

    first: float
    last: float
    freq_s: float = HEARTBEAT_S
    gone: bool = False
    online: float | None = None


class Crew:
    """The workers that were heard of, or answered."""

    def __init__(self, known: Iterable[Worker] = (), heartbeats: Iterable[HeartbeatState] = ()) -> None:
        """Go on from what a journal knows."""
        #: Of each worker, what it was from when on: it may come back under its name as another.
        self._records = {worker.name: [(0.0, worker)] for worker in known}
        self._answered: set[str] = set()
        self._heartbeats = Heartbeats(heartbeats, most=MOST_WORKERS)
        self._lives: OrderedDict[str, _Life] = OrderedDict()
        #: Workers that are to be asked what they are.
        self.strangers: set[str] = set()
        #: Whether more workers told of themselves than are followed.
        self.overflowed = False

    def introduce(self, workers: Iterable[Worker], now: float) -> list[Worker]:
        """Take what workers say of themselves; what they do not say stays. Gives those that were taken."""
        taken = []
        for worker in workers:
            if len(worker.name) > LONGEST_NAME:
                continue
            if worker.name not in self._records and len(self._records) >= MOST_WORKERS:
                self.overflowed = True
                continue
            told = self._records.setdefault(worker.name, [(0.0, Worker(name=worker.name))])
            known = told[-1][1]
            answer = replace(
                known,
                slots=worker.slots or known.slots,
                queues=tuple(queue[:LONGEST_NAME] for queue in worker.queues[:MOST_QUEUES]) or known.queues,
                dispatch=worker.dispatch[:LONGEST_NAME] if worker.dispatch else known.dispatch,
            )
            if known.dispatch not in {None, answer.dispatch}:
                told.append((self._since(worker.name, now), answer))
                del told[:-MOST_LIVES]
            else:
                told[-1] = (told[-1][0], answer)
            self._answered.add(worker.name)
            taken.append(answer)
        return taken

    def beat(self, event: WorkerEvent, heard: float) -> Gap | None:
        """Take an event of a worker itself; it may show that others are missing."""
        life = self._lives.get(event.worker)
        if life is None:
            life = self._lives[event.worker] = _Life(heard, heard)
            self.strangers.add(event.worker)
            if len(self._lives) > MOST_WORKERS:
                self._lives.popitem(last=False)
                self.overflowed = True
        elif event.kind == "online" or life.gone:
            self.strangers.add(event.worker)
        self._lives.move_to_end(event.worker)
        if event.kind == "online":
            life.online = heard
        life.last, life.gone, life.freq_s = heard, event.kind == "offline", event.freq_s or life.freq_s
        state = self._heartbeats.follow(event.worker)
        return state.add_heartbeat(event, heard) if state is not None and not life.gone else None

    def started(self, worker: str, time: float) -> None:
        """Count a start that was heard of, and not before."""
        if worker not in self._heartbeats:
            self.strangers.add(worker)
        state = self._heartbeats.follow(worker)
        if state is not None:
            state.count_start(time)

    def alive(self, worker: str, now: float) -> bool | None:
        """Whether its last heartbeats came; None when it never sent one."""
        life = self._lives.get(worker)
        if life is None:
            return None
        return not life.gone and now - life.last <= MISSED * max(1.0, life.freq_s)

    def there(self, worker: str, began: float, ended: float) -> bool:
        """Whether it was heard of between two times, or before and after."""
        life = self._lives.get(worker)
        if life is None:
            return worker in self._answered
        return life.first <= ended and began <= life.last + MISSED * max(1.0, life.freq_s)

    def record(self, worker: str | None) -> Worker | None:
        """What it says it is now; None when it did not answer."""
        told = self._records.get(worker or "")
        return told[-1][1] if told else None

    def records(self, at: float) -> list[Worker]:
        """All that answered, by name, as they were at a time, with what their heartbeats tell."""
        found = []
        for name, told in sorted(self._records.items()):
            worker = next((one for since, one in reversed(told) if since <= at), told[0][1])
            state = self._heartbeats.get(name)
            seen = state.as_worker if state is not None else worker
            found.append(replace(worker, skew_s=seen.skew_s, processed=seen.processed, started_seen=seen.started_seen))
        return found

    def _since(self, worker: str, now: float) -> float:
        """When a worker that answers now began."""
        life = self._lives.get(worker)
        return now if life is None or life.online is None else life.online

    def lost(self) -> tuple[LostEvents, ...]:
        """Starts that workers counted and of which no event came, most first."""
        missing = ((name, state.missing) for name, state in self._heartbeats.items() if state.missing)
        return tuple(LostEvents(worker=name, lost=lost) for name, lost in sorted(missing, key=lambda one: -one[1]))
