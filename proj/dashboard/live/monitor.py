"""Monitor: takes events in a thread of its own, and has the page's and the metrics' data ready at any time."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from proj.dashboard.live.event_source import EventSource
from proj.dashboard.live.journal_source import JournalSource
from proj.dashboard.live.now.documents import Document, Documents
from proj.dashboard.live.now.now import now_document
from proj.dashboard.live.snapshot import event_counts, readings, snapshot
from proj.dashboard.live.started_attempts import StartedAttempts
from proj.dashboard.live.state import State
from proj.dashboard.live.status import NO_EVENTS, NO_READINGS
from proj.delivery.dead_letters.app_queues import Routes
from proj.service import Service, await_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from celery import Celery

    from proj.dashboard.live.status import EventCounts, Readings, StartedAttempt
    from proj.journal.attempt import Attempt

K = TypeVar("K")

logger = logging.getLogger(__name__)

#: Events that may wait for the thread: a few seconds of the most that Flower can receive.
MOST_WAITING = 50_000
#: Seconds between two updates from the events that wait.
UPDATE_S = 0.25
#: Seconds between two snapshots while something changes, and while nothing does.
SNAPSHOT_S = 0.4
UNCHANGED_S = 2.0
#: Pause after a snapshot, as a multiple of its CPU time: snapshots take a tenth of a core at most.
REST = 9.0
#: Seconds for which /metrics counts as scraped after its last request.
SCRAPED_S = 600.0
#: Seconds between two readings for /metrics, and after which they are too old to be given.
READINGS_S = 2.0
OLD_S = 5.0
#: Seconds that the first scrape waits for the broker's first counts.
FIRST_S = 2.0
#: Seconds until the thread must have started, and until it must have ended.
TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the monitor works."""

    #: Attempts that are kept in memory.
    keep: int = 5000
    #: The journal that is written, and the recorded one that is shown instead of events.
    journal: Path | None = None
    recorded: Path | None = None
    #: Whether the arguments of tasks are kept, too.
    arguments: bool = False
    #: URL of the broker's management API; None for the usual port of the broker's host.
    broker_api: str | None = None


class Monitor(Service):
    """Takes events between `start` and `stop`; a thread of its own does the work."""

    def __init__(
        self, app: Celery, settings: Settings, *, observer: Callable[[Sequence[StartedAttempt]], None] | None = None
    ) -> None:
        """Watch `app`; `observer` is given each attempt once, after it has started, while /metrics is scraped."""
        self._observer = observer
        self._waiting: deque[tuple[float, object]] = deque()
        self._dropped = self._refused = 0
        self._origin = {
            "generation": uuid.uuid4().hex,
            "source": "journal" if settings.recorded else "live",
            "journal": (path.name if (path := settings.recorded or settings.journal) else None),
        }
        self._journal = (
            JournalSource(settings.recorded, settings.keep, routes=Routes(app)) if settings.recorded else None
        )
        self._events = EventSource(
            app,
            keep=settings.keep,
            journal=settings.journal,
            broker_api=settings.broker_api,
            wanted=self._is_wanted,
            arguments=settings.arguments,
        )
        self._started = StartedAttempts()
        #: The snapshots by the name of the run, and the documents of now by their window in seconds.
        self._snapshots: Documents[str | None] = Documents()
        self._nows: Documents[int | None] = Documents()
        self._snapshots.put(None, snapshot(State(0), None, NO_EVENTS, origin=self._origin, now=time.time())[0])
        self._scraped_at = float("-inf")
        self._readings: tuple[float, Readings] | None = None
        #: Whether something changed since the last snapshots, and whether a run in them goes on.
        self._changed = self._open = False
        self._computed_at = self._next_at = self._next_reading = 0.0
        #: Set when the first scrape can be answered, and whether the observer has what had started before it.
        self._first_reading = threading.Event()
        self._observed = False
        #: Held while the state is changed or read.
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._ending = threading.Event()
        self._ready = threading.Event()
        self._error: Exception | None = None
        #: The last error of the thread, which is in the log.
        self._logged_error = ""
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)

    def start(self) -> None:
        """Begin, whether or not a broker answers.

        Raises:
            UnreadableJournal: the journal cannot be used, or another process writes it.
            NoJournal: there is no recorded journal.
            OtherBroker: the management API is that of another broker.
        """
        self._thread.start()
        await_event(self._ready, TIMEOUT_S)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End, and write the waiting events to the journal; safe to call twice and before `start`."""
        self._ending.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def hear(self, event: object) -> None:
        """Take an event; from any thread."""
        if self._journal is not None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append((time.time(), event))

    def refuse(self) -> None:
        """Count an event that the filter refused."""
        self._refused += 1

    def snapshot(self, run: str | None = None) -> Document:
        """The last snapshot of the named run, or of the newest one, as the page's JSON.

        Each call keeps new snapshots of this run coming for some seconds.
        """
        self._ask(self._snapshots, run)
        return self._snapshots.get(run) or self._snapshots.get(None) or Document()

    def now(self, window_s: int | None) -> Document:
        """The last JSON of now with this window, one of `WINDOWS`; empty until there is one, if nobody asked lately."""
        if self._ask(self._nows, window_s):
            # It is as old as the last question.
            self._nows.forget(window_s)
        return self._nows.get(window_s) or Document()

    def remembered(self) -> list[Sequence[Attempt]]:
        """The attempts of each task in memory, tasks in the order of their first events; none of a recorded journal."""
        with self._lock:
            return [task.attempts for _, task in self._events.state.history]

    def attempts_of(self, task_id: str) -> Sequence[Attempt]:
        """The attempts of a task in memory."""
        with self._lock:
            task = self._events.state.history.get(task_id)
        return () if task is None else task.attempts

    def _ask(self, documents: Documents[K], key: K) -> bool:
        """Ask for a document; returns whether nobody had asked lately."""
        is_new = documents.ask(key, time.monotonic())
        if is_new:
            self._due.set()
            self._events.poll_soon()
        return is_new

    def readings(self) -> Readings:
        """What /metrics shows, at most a few seconds old; from the first call on, the observer is called.

        The first call waits until the broker has been asked and the observer has what is in memory, so that nothing is
        0 only because nobody had asked before.
        """
        is_first, self._scraped_at = not self._first_reading.is_set(), time.monotonic()
        if is_first and self._thread.is_alive():
            self._events.poll_soon()
            self._due.set()
            self._first_reading.wait(FIRST_S + 1.0)
        known = self._readings
        if known is not None and self._scraped_at - known[0] <= OLD_S:
            return known[1]
        if self._journal is None and self._ready.is_set():
            return self._read()
        # Only the thread that opened a journal can read it; this wakes it.
        self._due.set()
        return known[1] if known is not None else NO_READINGS

    def _is_wanted(self) -> bool:
        """Whether someone watches the page or scrapes /metrics."""
        now = time.monotonic()
        return self._is_scraped() or bool(self._snapshots.watched(now) or self._nows.watched(now))

    def _is_scraped(self) -> bool:
        return time.monotonic() - self._scraped_at <= SCRAPED_S

    def _run(self) -> None:
        try:
            with self._journal or self._events:
                self._refresh([None], [])
                self._read()
                self._ready.set()
                self._work()
                self._update()
        except Exception as error:
            self._error = error
            if self._ready.is_set():
                logger.exception("The monitor ended by an error.", extra={"action": "monitor_ended"})
        finally:
            self._ready.set()

    def _work(self) -> None:
        while not self._ending.is_set():
            self._due.wait(UPDATE_S)
            self._due.clear()
            try:
                self._changed |= self._update()
                self._refresh_when_due()
                if self._is_scraped() and time.monotonic() >= self._next_reading:
                    self._read_when_due()
            except Exception as error:
                # The page must survive an error, and the log a lasting one: the same error is logged once.
                if str(error) != self._logged_error:
                    self._logged_error = str(error)
                    logger.exception("The monitor failed, and goes on.", extra={"action": "monitor_failed"})
                self._ending.wait(UPDATE_S)

    def _update(self) -> bool:
        """Take the waiting events; returns whether anything changed."""
        if self._journal is not None:
            return self._journal.changed() if self._is_wanted() else False
        # Safe without a lock, because no other thread takes from it.
        heard = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with self._lock:
                changed, started = self._events.update(heard)
        except Exception:  # whatever it is: these events are missing from the figures, and must be counted as dropped
            self._dropped += len(heard)
            raise
        if self._observer is not None and self._is_scraped():
            self._started.add(started)
        else:
            self._started.clear()
        return changed

    def _refresh_when_due(self) -> None:
        """Compute the watched documents: soon after a change or for a new one, and otherwise now and then."""
        now = time.monotonic()
        runs, windows = self._snapshots.watched(now), self._nows.watched(now)
        new = any(run not in self._snapshots for run in runs) or any(window not in self._nows for window in windows)
        stale = self._changed or self._open or new
        if not (runs or windows) or now < self._next_at or not (stale or now - self._computed_at >= UNCHANGED_S):
            return
        self._changed, self._computed_at = False, now
        before = time.thread_time()
        self._refresh(runs, windows)
        took_s = time.thread_time() - before
        self._next_at = now + max(SNAPSHOT_S, (1 + REST) * took_s)

    def _refresh(self, runs: Sequence[str | None], windows: Sequence[int | None]) -> None:
        open_ = False
        self._snapshots.keep([None, *runs])
        for run in runs:
            with self._lock:
                state, now = self._state(run), time.time()
                document, is_open = snapshot(state, run, self._counts(state), origin=self._origin, now=now)
            self._snapshots.put(run, document)
            open_ |= is_open
        for window in windows:
            with self._lock:
                state = self._state(None)
                now = time.time() if state.live else state.now
                self._nows.put(window, now_document(state, self._counts(state), window, origin=self._origin, now=now))
        self._open = open_

    def _read_when_due(self) -> None:
        """Compute what /metrics shows; for the first scrape, as soon as the broker has been asked."""
        before = time.thread_time()
        if not self._first_reading.is_set():
            waited_s = time.monotonic() - self._scraped_at
            if self._journal is None and self._events.state.broker.answers is None and waited_s < FIRST_S:
                return
            if not self._observed:
                self._observed = True
                history = self._events.state.history
                self._started.add(
                    (task_id, one) for task_id, task in history for one in task.attempts if one.started is not None
                )
        self._observe()
        self._read()
        self._first_reading.set()
        took_s = time.thread_time() - before
        self._next_reading = time.monotonic() + max(READINGS_S, 2 * REST * took_s)

    def _read(self) -> Readings:
        state = self._state(None)
        with self._lock:
            current = readings(state, self._counts(state), time.time())
        self._readings = (time.monotonic(), current)
        return current

    def _observe(self) -> None:
        """Give the attempts that have started to the observer."""
        if self._observer is not None and self._started:
            with self._lock:
                started = self._started.take_all(self._events.state, time.time())
            self._observer(started)

    def _state(self, run: str | None) -> State:
        return self._events.state if self._journal is None else self._journal.state(run)

    def _counts(self, state: State) -> EventCounts:
        return event_counts(state, heard=self._events.heard, refused=self._refused, dropped=self._dropped)
