"""Scene: events, answers of workers and counts of the broker on a clock of its own; nothing is started."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from celery import Celery

from proj.broker.queue_depths import Depth
from proj.dashboard.live.broker_poll import BrokerState
from proj.dashboard.live.event_source import EventSource
from proj.dashboard.live.now.now import now_status
from proj.dashboard.live.snapshot import event_counts
from proj.journal.recording.pollers import sample_of
from proj.journal.records import Worker

if TYPE_CHECKING:
    from proj.dashboard.live.now.status import NowStatus

NOWHERE = "amqp://nobody@127.0.0.1:1//"
#: The begin of every scene, in seconds since the epoch.
BEGIN = 1_700_000_000.0


class Scene:
    """Something that happens, second by second; times are in seconds since its begin."""

    def __init__(self, *, keep: int = 5000) -> None:
        app = Celery("theirs", broker=NOWHERE, set_as_current=False)
        self.source = EventSource(app, keep=keep, journal=None, broker_api=None, wanted=lambda: False)
        self.time = 0.0
        self._events: list[tuple[float, dict[str, Any]]] = []
        self._beating: set[str] = set()
        self._started: Counter[str] = Counter()
        self._depths: dict[str, Depth] = {}
        self._pids: Counter[str] = Counter()
        self._letters: dict[str, dict[str, int]] = {}
        self._away = False
        self._tasks = 0

    def worker(
        self, name: str, *queues: str, slots: int = 1, dispatch: str = "fair", early: tuple[str, ...] = (), **more: Any
    ) -> None:
        """A worker that is there from now on; tasks of the names in `early` are acknowledged early."""
        node = f"{name}@host"
        told = Worker(name=node, slots=slots, queues=queues, dispatch=dispatch, early=early, **more)
        self.source.worker_poller.workers.put(told)
        self._beating.add(node)

    def restart(self, name: str) -> None:
        """The worker is killed and started again under its name."""
        node = f"{name}@host"
        self._pids[node] += 1
        self._started[node] = 0

    def beat_again(self, name: str) -> None:
        """From now on heartbeats of the worker come again."""
        self._beating.add(f"{name}@host")

    def stop_heartbeats(self, name: str, *, goodbye: bool = False) -> None:
        """From now on no heartbeat of the worker comes."""
        self._beating.discard(f"{name}@host")
        if goodbye:
            self._event(self.time, "worker-offline", f"{name}@host", pid=self._pids[f"{name}@host"])

    def task(
        self,
        queue: str,
        worker: str | None = None,
        /,
        *,
        sent: float | None = None,
        received: float | None = None,
        started: float | None = None,
        ended: float | None = None,
        end: str = "succeeded",
        **fields: Any,
    ) -> None:
        """The events of a task; those that are not given do not come."""
        self._tasks += 1
        node, told = f"{worker}@host", {"uuid": f"t{self._tasks}", "name": "theirs.task", **fields}
        if sent is not None:
            self._event(sent, "task-sent", "producer@host", queue=queue, **told)
        for time, kind in ((received, "received"), (started, "started"), (ended, end)):
            if time is not None:
                self._event(time, f"task-{kind}", node, **told)

    def depth(self, queue: str, ready: int = 0, unacknowledged: int = 0, consumers: int = 1, **more: Any) -> None:
        """What the broker counts from now on."""
        self._depths[queue] = Depth(
            name=queue, type="quorum", ready=ready, unacknowledged=unacknowledged, consumers=consumers, **more
        )

    def broker_away(self) -> None:
        """From now on the broker does not answer."""
        self._away = True

    def broker_back(self) -> None:
        """From now on the broker answers again."""
        self._away = False

    def lose_starts(self, worker: str, count: int) -> None:
        """The worker counts starts of which no event comes."""
        self._started[f"{worker}@host"] += count

    def letters(self, worker: str, **counts: int) -> None:
        """From now on the worker counts so many dead letters of these queues."""
        self._letters[f"{worker}@host"] = counts

    def play(self, until: float) -> None:
        """Let time pass."""
        while self.time < until:
            self.time = min(until, self.time + 1.0)
            self._step()

    def status(self, window_s: int | None = 60) -> NowStatus:
        """What the page would show."""
        counts = event_counts(self.source.state, heard=self.source.heard, refused=0, dropped=0)
        return now_status(self.source.state, counts, window_s, BEGIN + self.time)

    def _step(self) -> None:
        now = BEGIN + self.time
        due = sorted((one for one in self._events if one[0] <= now), key=lambda one: one[0])
        self._events = [one for one in self._events if one[0] > now]
        for _, event in due:
            self._started[event["hostname"]] += event["type"] == "task-started"
        beats = []
        for node in sorted(self._beating):
            beat = {"type": "worker-heartbeat", "timestamp": now, "hostname": node, "freq": 2.0}
            told = {"dead_letters": self._letters[node]} if node in self._letters else {}
            beats.append((now, {**beat, **told, "pid": self._pids[node], "processed": self._started[node]}))
        poller = self.source.broker_poller
        if self._away:
            since = poller.state.away_since or now
            poller.state = BrokerState(answers=False, away_since=since, doubt="No broker answers.")
        else:
            poller.state = BrokerState(time=now, depths=dict(self._depths), answers=True)
            for depth in self._depths.values():
                poller.samples.put(sample_of(depth, now))
        self.source.update([*due, *beats], now)

    def _event(self, time: float, kind: str, node: str, **fields: Any) -> None:
        at = BEGIN + time
        self._events.append((at, {"type": kind, "timestamp": at, "hostname": node, **fields}))
