"""Letter groups: what a look at the dead letters found, by reason and by the queue that they came from."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from proj.delivery.dead_letters.choice import named
from proj.errors import ProjError
from proj.journal.actions import EXPORT, PURGE, REQUEUE
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from proj.dashboard.web.actions.handler import Fields
    from proj.delivery.dead_letters.letter import DeadLetter

#: Letters of a group that are listed, the oldest, and groups that are, the largest.
MOST_ROWS = 100
MOST_GROUPS = 50
#: Characters of a task's arguments that are kept until somebody asks for them.
MOST_ARGUMENTS = 2000


class Seen(NamedTuple):
    """One letter of a look."""

    mark: str
    id: str
    queue: str | None
    ran: bool | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The letters with the same reason from the same queue."""

    key: str
    reason: str
    queue: str | None
    #: All of them, the oldest first.
    seen: tuple[Seen, ...]
    #: Those that are listed.
    rows: tuple[DeadLetter, ...]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the dead letters were at a time, in seconds since the epoch."""

    key: str
    time: float
    #: The name of their queue.
    queue: str
    #: How many there were, and how many of them were read, the oldest.
    total: int
    groups: tuple[Group, ...]
    read: int
    #: Why it is not known whether the broker drops letters for being read; None when it does not.
    warning: str | None

    def chosen(self, fields: Fields) -> tuple[list[Seen], str]:
        """The letters that a request names by their group or by their marks, and what is recorded of them.

        Raises:
            ProjError: it names none, or some that are not of this look.
        """
        if fields["group"]:
            group = next((one for one in self.groups if one.key == fields["group"][0]), None)
            if group is not None:
                return [*group.seen], f"{self.queue}: reason {group.reason!r}, from {group.queue or 'no queue'}"
        else:
            marks = frozenset(fields["letter"])
            found = [seen for group in self.groups for seen in group.seen if seen.mark in marks]
            if found and {seen.mark for seen in found} == marks:
                return found, f"{self.queue}: {named(seen.id for seen in found)}"
        raise ProjError("These letters were not found when the dead letters were last looked at. Look again.")

    def arguments(self, mark: str) -> str | None:
        """The arguments of the letter's task, cut; None when it is not listed."""
        rows = (row for group in self.groups for row in group.rows)
        return next((row.arguments for row in rows if row.mark == mark), None)

    def document(self) -> dict[str, Any]:
        """The JSON of the look, without arguments."""
        groups = self.groups[:MOST_GROUPS]
        return {
            "key": self.key,
            "time": round(self.time, 3),
            "queue": self.queue,
            "total": self.total,
            "read": self.read,
            "warning": self.warning,
            "groups": [
                {
                    "key": group.key,
                    "reason": group.reason,
                    "queue": group.queue,
                    "count": len(group.seen),
                    "letters": [
                        {
                            **{name: value for name, value in asdict(row).items() if name != "arguments"},
                            "mark": row.mark,
                        }
                        for row in group.rows
                    ],
                }
                for group in groups
            ],
            "left_out": sum(len(group.seen) for group in self.groups[MOST_GROUPS:]),
        }


def grouped(letters: Iterable[DeadLetter]) -> tuple[Group, ...]:
    """The letters by reason and queue, the largest group first; in each group the oldest letter first."""
    seen: defaultdict[tuple[str, str | None], list[Seen]] = defaultdict(list)
    rows: defaultdict[tuple[str, str | None], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        kind = letter.reason, letter.queue
        seen[kind].append(Seen(letter.mark, letter.id, letter.queue, letter.ran))
        if len(rows[kind]) < MOST_ROWS:
            rows[kind].append(replace(letter, arguments=letter.arguments[:MOST_ARGUMENTS]))
    order = sorted(seen, key=lambda kind: (-len(seen[kind]), kind[0], kind[1] or ""))
    return tuple(
        Group(key=str(number), reason=kind[0], queue=kind[1], seen=tuple(seen[kind]), rows=tuple(rows[kind]))
        for number, kind in enumerate(order)
    )


def question(verb: str, chosen: Collection[Seen], queue: str) -> str:
    """What a person is asked before the chosen letters of that dead-letter queue are requeued, exported or removed."""
    letters = counted(len(chosen), "letter")
    if verb == EXPORT:
        return f"Write {letters} to a file, with the arguments of tasks? Nothing leaves {queue}."
    if verb == PURGE:
        return f"Remove {letters} from {queue} for ever? What is not exported cannot be brought back."
    ran = Counter(seen.ran for seen in chosen)
    to = ", ".join(sorted({seen.queue for seen in chosen if seen.queue})[:5]) or "no queue"
    again = f" {ran[True]:,} of them began before, and will run again." if ran[True] else ""
    doubt = f" Of {ran[None]:,} it is not known whether they ran." if ran[None] else ""
    return f"Requeue {letters} to {to}?{again}{doubt}"


#: The words of the buttons that say yes.
YES = {REQUEUE: "Requeue", EXPORT: "Export", PURGE: "Remove for ever"}
