"""The analyst: hears events, and answers at once how things stand."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj.dashboard.live.event_source import Hearing
from proj.dashboard.live.journal_source import Recording
from proj.dashboard.live.snapshot import event_counts, readings, snapshot
from proj.dashboard.live.started_attempts import Settling
from proj.dashboard.live.state import Scene
from proj.dashboard.live.status import EventCounts, Readings, Settled
from proj.service import Service, await_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from celery import Celery


logger = logging.getLogger(__name__)

#: Events that may wait for the thread: a few seconds of all that Flower can hear.
MOST_WAITING = 50_000
#: Seconds between two looks at what was heard.
LOOK_S = 0.25
#: Seconds between two snapshots while something changes, and while nothing does.
SNAPSHOT_S = 0.4
STILL_S = 2.0
#: A snapshot is followed by so many times its own CPU time without one, so that it takes a tenth of a core at most.
REST = 9.0
#: Seconds for which a page is taken to be watched after it asked, and /metrics to be read.
WATCHED_S = 10.0
METERED_S = 600.0
#: Seconds between two readings for /metrics, and after how many they are too old to be given.
READINGS_S = 2.0
OLD_S = 5.0
#: Runs of which snapshots are made at a time.
MOST_SHOWN = 8
#: Seconds until the thread must have begun, and have ended.
TIMEOUT_S = 30.0
_NOTHING = Readings(groups=(), queues=(), events=EventCounts(heard=0, refused=0, dropped=0, lost=0, lost_by_worker=()))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the analyst works."""

    #: Attempts that are kept in memory.
    keep: int = 5000
    #: The journal that is written, and the one that is shown instead of what is heard.
    journal: Path | None = None
    recorded: Path | None = None
    #: The management API of the broker; on its host's usual port when None.
    broker_api: str | None = None


class Analyst(Service):
    """What events tell, between `start` and `stop`; a thread of its own does the work."""

    def __init__(
        self, app: Celery, settings: Settings, *, observer: Callable[[Sequence[Settled]], None] | None = None
    ) -> None:
        """Listen for `app`; `observer` is given each attempt once, when it has started, while /metrics is read."""
        self._settings = settings
        self._observer = observer
        self._waiting: deque[tuple[float, object]] = deque()
        self._overflowed = self._refused = 0
        self._origin = {
            "generation": uuid.uuid4().hex,
            "source": "journal" if settings.recorded else "live",
            "journal": (path.name if (path := settings.recorded or settings.journal) else None),
        }
        self._recording = Recording(settings.recorded, settings.keep) if settings.recorded else None
        self._hearing = Hearing(
            app,
            keep=settings.keep,
            journal=settings.journal,
            broker_api=settings.broker_api,
            wanted=self._is_wanted,
        )
        self._settling = Settling()
        #: Of each run that was asked for: when, and the snapshot.
        self._asked: dict[str | None, float] = {}
        nothing = Scene(0)
        self._snapshots: dict[str | None, bytes] = {
            None: snapshot(nothing, None, _NOTHING.events, origin=self._origin, now=time.time())[0]
        }
        self._metered = float("-inf")
        self._readings: tuple[float, Readings] | None = None
        #: Whether something changed since the last snapshots, and whether a run in them goes on.
        self._changed = self._open = False
        self._computed_at = self._next_at = self._next_reading = 0.0
        #: Whoever changes or reads the scene holds it.
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._ending = threading.Event()
        self._ready = threading.Event()
        self._error: Exception | None = None
        #: What went wrong last, and is in the log.
        self._complaint = ""
        self._thread = threading.Thread(target=self._guarded, name="analyst", daemon=True)

    def start(self) -> None:
        """Begin, whether a broker answers or not.

        Raises:
            UnreadableJournal: the journal cannot be used, or someone else writes it.
            NoJournal: the journal that is to be shown is not there.
        """
        self._thread.start()
        await_event(self._ready, TIMEOUT_S)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End, and write what was heard into the journal; safe to call twice and before `start`."""
        self._ending.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take an event, from any thread."""
        if self._recording is not None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._overflowed += 1
            return
        self._waiting.append((time.time(), event))

    def refuse(self) -> None:
        """Count an event that was refused before it was heard."""
        self._refused += 1

    def snapshot(self, run: str | None = None) -> bytes:
        """The page's JSON for the run of that name, or the newest: as it was computed last.

        Asking has it computed again, until nobody has asked for some seconds.
        """
        now = time.monotonic()
        if now - self._asked.get(run, float("-inf")) > WATCHED_S:
            self._due.set()
            self._hearing.look_again()
        # A new run in the place of the one that was asked for longest ago: anyone may ask for any name.
        if run not in self._asked and len(self._asked) >= MOST_SHOWN:
            del self._asked[min(self._asked.copy(), key=self._asked.__getitem__)]
        self._asked[run] = now
        return self._snapshots.get(run, self._snapshots[None])

    def readings(self) -> Readings:
        """What /metrics tells, a few seconds old at most; asking has attempts told to the observer from now on."""
        self._metered = time.monotonic()
        known = self._readings
        if known is not None and self._metered - known[0] <= OLD_S:
            return known[1]
        if self._recording is None and self._ready.is_set():
            return self._read()
        # A journal is read in the thread that opened it, which has been woken with this.
        self._due.set()
        return known[1] if known is not None else _NOTHING

    def _is_wanted(self) -> bool:
        """Whether someone looks at the page or reads /metrics."""
        return self._is_metered() or bool(self._shown(time.monotonic()))

    def _is_metered(self) -> bool:
        return time.monotonic() - self._metered <= METERED_S

    def _shown(self, now: float) -> list[str | None]:
        """The runs that someone looks at."""
        return [run for run, asked in tuple(self._asked.items()) if now - asked <= WATCHED_S]

    def _guarded(self) -> None:
        try:
            with self._recording or self._hearing:
                self._refresh([None])
                self._read()
                self._ready.set()
                self._work()
                self._fold()
        except Exception as error:
            self._error = error
            if self._ready.is_set():
                logger.exception("The analyst ended.", extra={"action": "analyst_ended"})
        finally:
            self._ready.set()

    def _work(self) -> None:
        while not self._ending.is_set():
            self._due.wait(LOOK_S)
            self._due.clear()
            try:
                self._changed |= self._fold()
                self._refresh_when_due()
                if self._is_metered() and time.monotonic() >= self._next_reading:
                    before = time.thread_time()
                    self._tell()
                    self._read()
                    took_s = time.thread_time() - before
                    self._next_reading = time.monotonic() + max(READINGS_S, 2 * REST * took_s)
            except Exception as error:
                # One bad moment must not be the end of the page, nor a lasting one that of the log.
                if str(error) != self._complaint:
                    self._complaint = str(error)
                    logger.exception("The analyst failed; it goes on.", extra={"action": "analyst_failed"})
                self._ending.wait(LOOK_S)

    def _fold(self) -> bool:
        """Take what was heard by now; whether anything changed."""
        if self._recording is not None:
            return self._recording.changed() if self._is_wanted() else False
        # Nobody else takes from it.
        heard = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            with self._lock:
                changed, begun = self._hearing.fold(heard)
        except Exception:  # whatever it was, these events are not in the figures, and that is told
            self._overflowed += len(heard)
            raise
        if self._observer is not None and self._is_metered():
            self._settling.add(begun)
        else:
            self._settling.clear()
        return changed

    def _refresh_when_due(self) -> None:
        """Compute the snapshots that someone looks at: soon when something changed or is new, else now and then."""
        now = time.monotonic()
        shown = self._shown(now)
        stale = self._changed or self._open or any(run not in self._snapshots for run in shown)
        if not shown or now < self._next_at or not (stale or now - self._computed_at >= STILL_S):
            return
        self._changed, self._computed_at = False, now
        before = time.thread_time()
        self._refresh(shown)
        took_s = time.thread_time() - before
        self._next_at = now + max(SNAPSHOT_S, (1 + REST) * took_s)

    def _refresh(self, runs: Sequence[str | None]) -> None:
        open_ = False
        for run in self._snapshots.keys() - {None, *runs}:
            del self._snapshots[run]
        for run in runs:
            with self._lock:
                scene, now = self._scene(run), time.time()
                document, is_open = snapshot(scene, run, self._counts(scene), origin=self._origin, now=now)
            self._snapshots[run] = document
            open_ |= is_open
        self._open = open_

    def _read(self) -> Readings:
        scene = self._scene(None)
        with self._lock:
            told = readings(scene, self._counts(scene), time.time())
        self._readings = (time.monotonic(), told)
        return told

    def _tell(self) -> None:
        """Give the attempts that have started to the observer."""
        if self._observer is not None and self._settling:
            with self._lock:
                settled = self._settling.settled(self._hearing.scene, time.time())
            self._observer(settled)

    def _scene(self, run: str | None) -> Scene:
        return self._hearing.scene if self._recording is None else self._recording.scene(run)

    def _counts(self, scene: Scene) -> EventCounts:
        return event_counts(scene, heard=self._hearing.heard, refused=self._refused, dropped=self._overflowed)
