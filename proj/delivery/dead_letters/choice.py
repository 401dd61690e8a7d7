"""Choice: which dead letters are meant, and how an action on them is described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from proj.delivery.dead_letters.letter import DeadLetter
    from proj.delivery.dead_letters.queue import DeadLetterQueue, UnackedLetter
    from proj.delivery.dead_letters.requeue import Requeue, Requeued

#: Ids in the line that tells of an action.
MOST_IDS = 3


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The letters with all that is given; all letters where nothing is."""

    ids: tuple[str, ...] = ()
    task: str | None = None
    #: A part of the reason, in any case of its letters.
    reason: str | None = None
    #: The marks of letters that were shown.
    marks: frozenset[str] | None = None
    #: At most so many, the oldest.
    limit: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of those that are meant."""
        return (
            (not self.ids or letter.id in self.ids)
            and (self.task is None or letter.task == self.task)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.marks is None or letter.mark in self.marks)
        )

    def describe(self, queue: str, to: str | None = None) -> str:
        """The letters that are meant, in the dead-letter queue of this name, for the record of an action."""
        chosen = [f"task {self.task}"] if self.task else []
        chosen += [f"reason {self.reason!r}"] if self.reason else []
        chosen += [named(self.ids)] if self.ids else []
        return f"{queue}: {'; '.join(chosen) or 'all'}" + (f", to {to}" if to else "")


class Chosen:
    """The chosen ones of the letters that a reader gives, to be gone through once."""

    def __init__(self, letters: DeadLetterQueue, choice: Choice) -> None:
        """Take the reader, which is started before the first letter is asked for."""
        self._letters = letters
        self._choice = choice
        #: Ids that were asked for, and not found so far.
        self.missing = set(choice.ids)
        #: The marks of the letters that were looked at, and how many these were.
        self._seen: set[str] = set()
        self._looked = 0
        self._reading = self._read()

    def __iter__(self) -> Iterator[UnackedLetter]:
        """The letters, the oldest first."""
        left = self._choice.limit
        for unacked in self._reading:
            if not self._choice.takes(unacked.letter):
                continue
            self.missing.discard(unacked.letter.id)
            yield unacked
            if left is not None:
                left -= 1
                if left == 0:
                    self.missing.clear()
                    return

    def requeue(self, requeue: Requeue) -> Generator[Requeued, None, None]:
        """Requeue them, and say of each what became of it; to iterate no further ends it between two letters."""
        yield from requeue.run(self)
        if requeue.is_in_doubt:
            # The letters after the last one that was meant, so that all are looked at.
            for _ in self._reading:
                pass
            if self._looked == self._letters.total:
                requeue.forget_absent(self._seen)

    def _read(self) -> Iterator[UnackedLetter]:
        for unacked in self._letters:
            self._looked += 1
            self._seen.add(unacked.letter.mark)
            yield unacked


def named(ids: Iterable[str]) -> str:
    """The first ids."""
    first, *more = [*ids][: MOST_IDS + 1]
    return ", ".join([first, *more][:MOST_IDS]) + (" …" if len(more) >= MOST_IDS else "")
