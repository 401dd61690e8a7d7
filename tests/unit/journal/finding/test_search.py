"""Search: the same attempts are found in a journal and in memory, and no search lasts longer than it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.journal.finding import search as searching
from proj.journal.finding.query import InvalidQuery, parsed_query, words_of
from proj.journal.finding.search import search, search_attempts
from proj.journal.reader import open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from proj.journal.writer import JournalWriter

UUID = "3f2a0c1e-0000-4000-8000-000000000001"
MAIL = Attempt(
    task_id=UUID,
    state="failed",
    name="shop.mail",
    worker="W1@host",
    queue="mails",
    arguments="('to 100% Anna',)",
    sent=1.0,
)
THUMBNAIL = Attempt(
    task_id="t", state="lost", name="shop.thumb_nail", worker="w2@host", queue="images", arguments="(7,)", sent=2.0
)
AGAIN = Attempt(task_id="t", number=1, state="succeeded", name="shop.thumb_nail", worker="w1@host", sent=2.0)
ALL = (MAIL, THUMBNAIL, AGAIN)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (UUID, [MAIL]),
        ("id:3f2a", [MAIL]),
        ("id:f2a", []),
        ("3f2a", [MAIL]),
        ("worker:w1", [AGAIN, MAIL]),
        ("w1 state:FAILED", [MAIL]),
        ("name:thumb_nail state:lost", [THUMBNAIL]),
        ("name:thumbXnail", []),
        ("failed", [MAIL]),
        ("IMAGES", [THUMBNAIL]),
        ("t", [AGAIN, THUMBNAIL, MAIL]),
        ("Anna", [MAIL]),
        ('arguments:"100% a"', [MAIL]),
        ("arguments:%", [MAIL]),
        ("other:word", []),
    ],
)
def test_words_find_the_same_in_a_journal_and_in_memory(
    writer: JournalWriter, path: Path, words: str, found: list[Attempt]
) -> None:
    """Every word must match: the begin of an id, a state, or a part of another text, also one with SQL's wildcards."""
    writer.put_attempts(ALL)
    writer.commit()
    query = parsed_query(words_of(words), arguments=True)

    with open_journal(path) as journal:
        assert [*search(journal, query, limit=9).attempts] == found
    assert [*search_attempts(reversed(ALL), query, limit=9).attempts] == found


def test_arguments_are_not_looked_at_unless_asked_for(writer: JournalWriter, path: Path) -> None:
    """Neither by a word of any field, nor by one of this field."""
    writer.put_attempts(ALL)
    writer.commit()
    query = parsed_query(["Anna"], arguments=False)

    with open_journal(path) as journal:
        assert search(journal, query, limit=9).attempts == ()
    assert search_attempts(ALL, query, limit=9).attempts == ()
    with pytest.raises(InvalidQuery, match="unless that is asked for"):
        parsed_query(["arguments:Anna"], arguments=False)


@pytest.mark.parametrize("words", [[], [" "], ["a"] * 11, ["a" * 301], ["state:done"]])
def test_words_that_find_nothing_for_sure_are_refused(words: list[str]) -> None:
    """The error says what can be searched for."""
    with pytest.raises(InvalidQuery, match=r"worker:w1|succeeded"):
        parsed_query(words, arguments=True)


def test_search_ends_in_time_and_says_how_far_it_came(
    writer: JournalWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is too large the newest attempts are looked through, and the time of the oldest one is told."""
    monkeypatch.setattr(searching, "ROWS", 10)
    writer.put_attempts(Attempt(task_id=f"t{number}", state="sent", sent=float(number)) for number in range(25))
    writer.commit()
    query = parsed_query(["state:sent"], arguments=False)

    with open_journal(path) as journal:
        times = iter((0.0, 0.5, 1.5))
        part = search(journal, query, limit=99, timeout_s=1.0, clock=lambda: next(times))
        first = search(journal, query, limit=12)

    assert (len(part.attempts), part.is_over, part.back_to) == (10, True, 15.0)
    assert ([one.task_id for one in first.attempts], first.more) == (
        [f"t{number}" for number in range(24, 12, -1)],
        True,
    )
