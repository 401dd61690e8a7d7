"""Runs: assigns each new task to a run, either to one that was marked with a name or to one between two silences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from proj.journal.event import LATEST, LONGEST_NAME
from proj.journal.run_marks import BEGAN, ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Seconds without an event and without an open task after which the next task begins a new run.
QUIET_S = 5.0
#: Seconds without an event after which a marked run is taken to have ended, although no end was published.
MARK_S = 600.0
#: Runs that are kept, and queues that a mark may name. Anyone who can publish could mark any number.
MOST_RUNS = 50
MOST_QUEUES = 100


@dataclass(frozen=True, kw_only=True)
class RunMark:
    """The published begin or end of a named run."""

    run: str
    #: began or ended.
    state: str
    #: The queues whose tasks belong to the run; None for all.
    queues: frozenset[str] | None


@dataclass(kw_only=True)
class LiveRun:
    """A run so far."""

    name: str
    #: Seconds since the epoch, of its first event.
    began: float
    #: Whether it was named by a mark.
    marked: bool
    queues: frozenset[str] | None = None
    #: When its last event was received.
    heard: float = 0.0
    #: Whether further tasks may still join it.
    active: bool = True
    #: Attempts that it has had, evicted ones included.
    attempts: int = 0


def parsed_mark(event: Mapping[str, object]) -> RunMark | None:
    """The mark in a `dispatch-run` event; None when the event is malformed."""
    run, state, queues = event.get("run"), event.get("state"), event.get("queues")
    if not isinstance(run, str) or not isinstance(state, str) or state not in {BEGAN, ENDED}:
        return None
    name = "".join(letter for letter in run[:LONGEST_NAME] if letter.isprintable()).strip()
    if not name:
        return None
    if not isinstance(queues, (list, tuple)) or not queues:
        return RunMark(run=name, state=state, queues=None)
    named = frozenset(queue[:LONGEST_NAME] for queue in queues[:MOST_QUEUES] if isinstance(queue, str) and queue)
    return RunMark(run=name, state=state, queues=named) if named else None


class Runs:
    """The latest runs, by name, in the order in which they began."""

    def __init__(self) -> None:
        """Begin with none."""
        self._runs: dict[str, LiveRun] = {}
        #: The latest run without a mark, and the marked runs that have not ended.
        self._unmarked: LiveRun | None = None
        self._marked: list[LiveRun] = []

    def __iter__(self) -> Iterator[LiveRun]:
        """The runs, in the order in which they began."""
        return iter(tuple(self._runs.values()))

    def __contains__(self, name: object) -> bool:
        """Whether there is a run of that name."""
        return name in self._runs

    def get(self, name: str) -> LiveRun | None:
        """The run of that name; None when there is none or it was forgotten."""
        return self._runs.get(name)

    def __getitem__(self, name: str) -> LiveRun:
        """The run of that name."""
        return self._runs[name]

    def mark(self, mark: RunMark, heard: float) -> LiveRun:
        """Begin or end a marked run, and return it."""
        open_ = next((run for run in self._marked if _without_number(run.name) == mark.run), None)
        if mark.state == ENDED:
            if open_ is None:
                return self._runs.get(mark.run) or self._begin(mark.run, heard, marked=True, active=False)
            open_.heard, open_.active = heard, False
            self._marked.remove(open_)
            return open_
        if open_ is None:
            open_ = self._begin(mark.run, heard, marked=True)
            self._marked.append(open_)
            if len(self._marked) > MOST_RUNS:
                self._marked.pop(0).active = False
        open_.queues, open_.heard = mark.queues, heard
        return open_

    def restore(self, name: str, *, began: float, heard: float) -> LiveRun:
        """Add a run that a journal has, or extend it to these times."""
        known = self._runs.get(name)
        if known is None:
            known = self._begin(name, began, marked=True, active=False)
        known.began, known.heard = min(known.began, began), max(known.heard, heard)
        return known

    def reopen(self, name: str, queues: frozenset[str] | None) -> None:
        """Let further tasks join a marked run that had not ended when the journal was closed."""
        known = self._runs.get(name)
        if known is not None and known not in self._marked:
            known.queues, known.active = queues, True
            self._marked.append(known)

    def assign(self, queue: str | None, began: float, heard: float, *, idle: Callable[[float], bool]) -> LiveRun:
        """The run of a new task: the latest that is marked for its queue, else the unmarked one.

        `began` is the time in the task's first event, and `heard` is when that event was received. `idle` returns
        whether all tasks of unmarked runs had ended at a time; it is only called after a silence.
        """
        for run in reversed(self._marked):
            if heard - run.heard > MARK_S:
                continue
            if run.queues is None or queue is None or queue in run.queues:
                run.heard = heard
                return run
        known = self._unmarked
        if known is None or (heard - known.heard > QUIET_S and idle(heard)):
            if known is not None:
                known.active = False
            # The sender's clock, unless it is far from ours.
            time = began if 0 < began < LATEST and abs(began - heard) < MARK_S else heard
            known = self._unmarked = self._begin(_date_name(time), time, marked=False)
        known.heard = heard
        return known

    def _begin(self, name: str, began: float, *, marked: bool, active: bool = True) -> LiveRun:
        free, number = name, 1
        while free in self._runs:
            number += 1
            free = f"{name} ({number})"
        run = self._runs[free] = LiveRun(name=free, began=began, marked=marked, heard=began, active=active)
        if len(self._runs) > MOST_RUNS:
            # Runs without attempts are forgotten first, because anyone who can publish could mark any number.
            others = [one for one in self._runs.values() if one is not run]
            self._forget(min(others, key=lambda one: one.attempts > 0).name)
        return run

    def _forget(self, name: str) -> None:
        gone = self._runs.pop(name, None)
        if gone is not None and gone in self._marked:
            self._marked.remove(gone)


def _date_name(began: float) -> str:
    """A name with the date and time of the begin, in UTC."""
    return datetime.fromtimestamp(began, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _without_number(name: str) -> str:
    """The name in the mark, from the name that the run got: without the number that makes it unique."""
    base, bracket, rest = name.rpartition(" (")
    return base if bracket and rest[:-1].isdigit() and rest.endswith(")") else name
