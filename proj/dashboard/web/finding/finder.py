"""Finder: looks for tasks in the dashboard's journal, or where it has none, in its memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from proj.journal.finding.outcome import outcomes
from proj.journal.finding.query import parsed_query, words_of
from proj.journal.finding.search import Found, search, search_attempts
from proj.journal.finding.started import StartedBetween
from proj.journal.reader import open_journal
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from proj.journal.attempt import Attempt
    from proj.journal.finding.search import Condition

#: Attempts that are listed, and seconds that a search may take.
LISTED, SEARCH_S = 100, 3.0
FOUND_FORMAT, TASK_FORMAT, VERSION = "proj-found", "proj-task", 1


class Memory(Protocol):
    """The attempts in memory; a `Monitor` has them."""

    def remembered(self) -> Sequence[Sequence[Attempt]]:
        """The attempts of each task, tasks in the order of their first events."""

    def attempts_of(self, task_id: str) -> Sequence[Attempt]:
        """The attempts of a task by number; none when it is not in memory."""


class Place(NamedTuple):
    """Where tasks are looked for: the journal that the dashboard writes or shows, else its memory."""

    journal: Path | None
    #: Whether the arguments of tasks are searched and shown.
    arguments: bool

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return f"the journal {self.journal.name}" if self.journal is not None else "the dashboard's memory"


class Finder:
    """Looks for tasks; any thread may call it, and each call may take seconds."""

    def __init__(self, memory: Memory, place: Place) -> None:
        """Look there."""
        self._memory = memory
        self.place = place

    def search(self, text: str) -> dict[str, Any]:
        """The latest attempts that match all words of the text.

        Raises:
            InvalidQuery: the words cannot be searched for.
            UnreadableJournal: the journal cannot be read.
        """
        return self._find(parsed_query(words_of(text), arguments=self.place.arguments))

    def started(self, worker: str, since: float, until: float) -> dict[str, Any]:
        """The attempts that a worker started between two times, in seconds since the epoch: those of a bar.

        Raises:
            UnreadableJournal: the journal cannot be read.
        """
        return self._find(StartedBetween(worker=worker, since=since, until=until))

    def task(self, task_id: str) -> dict[str, Any]:
        """All attempts of a task; none when it is not known.

        Raises:
            UnreadableJournal: the journal cannot be read.
        """
        attempts: Sequence[Attempt] = ()
        if self.place.journal is not None:
            with open_journal(self.place.journal, whole=False) as journal:
                attempts = journal.attempts_of([task_id]).get(task_id, ())
        attempts = attempts or self._memory.attempts_of(task_id)
        where = self.place.words
        said = (
            f"{counted(len(attempts), 'attempt')} by {where}."
            if attempts
            else f"Nothing is known of this task: {where} does not have it."
        )
        return {
            "format": TASK_FORMAT,
            "version": VERSION,
            "id": task_id,
            "said": said,
            "attempts": self._documents(attempts, {task_id: attempts}),
        }

    def _find(self, condition: Condition) -> dict[str, Any]:
        began = time.perf_counter()
        if self.place.journal is not None:
            found, tasks = self._in_journal(self.place.journal, condition)
        else:
            remembered = self._memory.remembered()
            latest = (one for own in reversed(remembered) for one in reversed(own))
            found = search_attempts(latest, condition, limit=LISTED)
            wanted = {one.task_id for one in found.attempts}
            tasks = {own[0].task_id: own for own in remembered if own and own[0].task_id in wanted}
        return {
            "format": FOUND_FORMAT,
            "version": VERSION,
            "said": _said(found, self.place.words),
            "more": found.more,
            "is_over": found.is_over,
            "back_to": found.back_to,
            "attempts": self._documents(found.attempts, tasks),
            "took_s": round(time.perf_counter() - began, 4),
        }

    def _in_journal(self, path: Path, condition: Condition) -> tuple[Found, Mapping[str, Sequence[Attempt]]]:
        # It was checked when the dashboard started.
        with open_journal(path, whole=False) as journal:
            found = search(journal, condition, limit=LISTED, timeout_s=SEARCH_S)
            return found, journal.attempts_of({one.task_id for one in found.attempts})

    def _documents(
        self, attempts: Sequence[Attempt], tasks: Mapping[str, Sequence[Attempt]]
    ) -> list[dict[str, object]]:
        became = {
            (one.task_id, one.number): words
            for own in tasks.values()
            for one, words in zip(own, outcomes(own), strict=True)
        }
        documents = []
        for one in attempts:
            document: dict[str, object] = {
                "id": one.task_id,
                "number": one.number + 1,
                "of": len(tasks.get(one.task_id, ())),
                "outcome": became.get((one.task_id, one.number), one.state),
                **{name: getattr(one, name) for name in _SHOWN},
            }
            if self.place.arguments:
                document["arguments"] = one.arguments
            documents.append(document)
        return documents


_SHOWN = (
    "state", "name", "queue", "worker", "retries", "redelivered", "eta", "sent", "received", "started", "finished"
)  # fmt: skip


def _said(found: Found, where: str) -> str:
    if not found.attempts and not found.is_over:
        return f"No attempt in {where} matches."
    shown = counted(len(found.attempts), "attempt")
    sentence = f"{shown} in {where}" + (", the latest of more" if found.more else "")
    if found.is_over:
        return f"{sentence}. The search took longer than {SEARCH_S:g} s and ended; older attempts were not looked at."
    return f"{sentence}."
