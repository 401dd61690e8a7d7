"""Runs: which stretch of work a task belongs to, decided when it is first heard of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from proj.journal.event import LATEST, LONGEST_NAME
from proj.journal.run_marks import BEGAN, ENDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: Seconds after the end of everything from which on a task begins a new run.
QUIET_S = 5.0
#: Seconds after which a mark whose end nobody told is taken to have ended, unless tasks of it are heard of.
MARK_S = 600.0
#: Runs that are remembered, and queues that a mark may name: whoever can publish could mark any number.
MOST_RUNS = 50
MOST_QUEUES = 100


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The begin or the end of a run that has a name, as someone published it."""

    run: str
    #: began or ended.
    state: str
    #: The queues whose tasks belong to it; None for all.
    queues: frozenset[str] | None


@dataclass(kw_only=True)
class Stretch:
    """A run so far."""

    name: str
    #: Seconds since the epoch, of its first event.
    began: float
    #: Whether it was named by someone.
    marked: bool
    queues: frozenset[str] | None = None
    #: When anything of it was heard of last.
    heard: float = 0.0
    #: Whether tasks still come to it.
    active: bool = True
    #: Attempts that were heard of.
    attempts: int = 0


def mark(event: Mapping[str, Any]) -> Mark | None:
    """What a `dispatch-run` event says, None when it is not one that can be believed."""
    run, state, queues = event.get("run"), event.get("state"), event.get("queues")
    if not isinstance(run, str) or not isinstance(state, str) or state not in {BEGAN, ENDED}:
        return None
    name = "".join(letter for letter in run[:LONGEST_NAME] if letter.isprintable()).strip()
    if not name:
        return None
    if not isinstance(queues, (list, tuple)) or not queues:
        return Mark(run=name, state=state, queues=None)
    named = frozenset(queue[:LONGEST_NAME] for queue in queues[:MOST_QUEUES] if isinstance(queue, str) and queue)
    return Mark(run=name, state=state, queues=named) if named else None


class Runs:
    """The latest runs, by name, in the order in which they began."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stretches: dict[str, Stretch] = {}
        #: The latest run without a name of its own, and those that are marked and did not end.
        self._unnamed: Stretch | None = None
        self._marked: list[Stretch] = []

    def __iter__(self) -> Iterator[Stretch]:
        """The runs, in the order in which they began."""
        return iter(tuple(self._stretches.values()))

    def __contains__(self, name: object) -> bool:
        """Whether there is a run of that name."""
        return name in self._stretches

    def get(self, name: str) -> Stretch | None:
        """The run of that name, None when it is forgotten."""
        return self._stretches.get(name)

    def __getitem__(self, name: str) -> Stretch:
        """The run of that name."""
        return self._stretches[name]

    def mark(self, told: Mark, heard: float) -> Stretch:
        """Take a mark: the run that began or ended with it."""
        open_ = next((one for one in self._marked if _base(one.name) == told.run), None)
        if told.state == ENDED:
            if open_ is None:
                return self._stretches.get(told.run) or self._begin(told.run, heard, marked=True, active=False)
            open_.heard, open_.active = heard, False
            self._marked.remove(open_)
            return open_
        if open_ is None:
            open_ = self._begin(told.run, heard, marked=True)
            self._marked.append(open_)
            if len(self._marked) > MOST_RUNS:
                self._marked.pop(0).active = False
        open_.queues, open_.heard = told.queues, heard
        return open_

    def resume(self, name: str, *, began: float, heard: float) -> Stretch:
        """Take a run that a journal knows by its name."""
        known = self._stretches.get(name)
        if known is None:
            known = self._begin(name, began, marked=True, active=False)
        known.began, known.heard = min(known.began, began), max(known.heard, heard)
        return known

    def reopen(self, name: str, queues: frozenset[str] | None) -> None:
        """Go on with a marked run that had not ended when the journal was left."""
        known = self._stretches.get(name)
        if known is not None and known not in self._marked:
            known.queues, known.active = queues, True
            self._marked.append(known)

    def of(self, queue: str | None, began: float, heard: float, *, idle: Callable[[float], bool]) -> Stretch:
        """The run of a task that is new: the latest that is marked for its queue, else one without a name.

        `began` is when the task's first event says it was told, `heard` when that came; `idle` answers whether all
        tasks that belong to no marked run had ended by a time. It is only asked after a silence.
        """
        for stretch in reversed(self._marked):
            if heard - stretch.heard > MARK_S:
                continue
            if stretch.queues is None or queue is None or queue in stretch.queues:
                stretch.heard = heard
                return stretch
        known = self._unnamed
        if known is None or (heard - known.heard > QUIET_S and idle(heard)):
            if known is not None:
                known.active = False
            # What its sender says, unless that cannot be.
            moment = began if 0 < began < LATEST and abs(began - heard) < MARK_S else heard
            known = self._unnamed = self._begin(_name(moment), moment, marked=False)
        known.heard = heard
        return known

    def _begin(self, name: str, began: float, *, marked: bool, active: bool = True) -> Stretch:
        free, number = name, 1
        while free in self._stretches:
            number += 1
            free = f"{name} ({number})"
        stretch = self._stretches[free] = Stretch(name=free, began=began, marked=marked, heard=began, active=active)
        if len(self._stretches) > MOST_RUNS:
            # Those to which nothing belongs first: whoever can publish could mark any number.
            others = [one for one in self._stretches.values() if one is not stretch]
            self._forget(min(others, key=lambda one: one.attempts > 0).name)
        return stretch

    def _forget(self, name: str) -> None:
        gone = self._stretches.pop(name, None)
        if gone is not None and gone in self._marked:
            self._marked.remove(gone)


def _name(began: float) -> str:
    """A name that says when it began, in UTC."""
    return datetime.fromtimestamp(began, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _base(name: str) -> str:
    """The name that was asked for, of one that was taken."""
    base, bracket, rest = name.rpartition(" (")
    return base if bracket and rest[:-1].isdigit() and rest.endswith(")") else name
