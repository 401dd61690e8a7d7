"""The tally of a soak: what became of every task, in a few bytes for each, so that a million take a few megabytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, RAISED, SENDING, STARTED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from proj.lab.drills.system.evidence import Record

#: The ids of the tasks of a soak are this, and a number that counts from 0.
PREFIX = "soak-"
_BITS = {SENDING: 1, CONFIRMED: 2, RAISED: 4, FINISHED: 8}
#: The most starts of a task that are counted.
_MOST = 255


class Tally:
    """Counts steps of tasks, which may come in any order and more than once."""

    def __init__(self) -> None:
        """Begin without a task."""
        #: How many tasks were confirmed, raised an error for their publisher, and finished.
        self.confirmed = self.raised = self.finished = 0
        #: The error of the first publish that raised.
        self.error = ""
        #: Starts of tasks beyond the first of each.
        self.executed_twice = 0
        #: Confirmed tasks that have not finished yet.
        self.open = 0
        self._steps = bytearray()
        self._starts = bytearray()
        #: The places of tasks with other ids, which are few.
        self._others: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Count one step."""
        place = self._place(record.task_id)
        if place >= len(self._steps):
            more = bytes(place + 1 - len(self._steps))
            self._steps += more
            self._starts += more
        if record.kind == STARTED:
            self.executed_twice += self._starts[place] > 0
            self._starts[place] = min(self._starts[place] + 1, _MOST)
            return
        before, bit = self._steps[place], _BITS[record.kind]
        if before & bit:
            return
        after = self._steps[place] = before | bit
        self.confirmed += record.kind == CONFIRMED
        self.raised += record.kind == RAISED
        self.error = self.error or record.detail
        self.finished += record.kind == FINISHED
        self.open += _is_open(after) - _is_open(before)

    @property
    def unanswered(self) -> int:
        """Publishes that neither returned nor raised so far."""
        settled = _BITS[CONFIRMED] | _BITS[RAISED]
        return sum(step & _BITS[SENDING] > 0 and step & settled == 0 for step in self._steps)

    def lost(self, dead: Collection[str]) -> tuple[str, ...]:
        """The ids of confirmed tasks that have neither finished nor are among the `dead` letters."""
        return tuple(task_id for task_id in self._open_ids() if task_id not in dead) if self.open else ()

    def _open_ids(self) -> Iterator[str]:
        names = {place: task_id for task_id, place in self._others.items()}
        for place, step in enumerate(self._steps):
            if _is_open(step):
                yield names.get(place) or f"{PREFIX}{place // 2}"

    def _place(self, task_id: str) -> int:
        """Even numbers for the tasks of the soak, odd ones for the others."""
        number = task_id.removeprefix(PREFIX)
        if number != task_id and number.isdecimal():
            return 2 * int(number)
        return self._others.setdefault(task_id, 2 * len(self._others) + 1)


def _is_open(step: int) -> bool:
    return bool(step & _BITS[CONFIRMED]) and not step & _BITS[FINISHED]
