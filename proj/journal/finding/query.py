"""Query: words that an attempt must match, as a person types them; each is of a field, or of any."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proj.errors import ProjError
from proj.journal.attempt import LOST, OPEN, RETURNED
from proj.journal.event import ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from proj.journal.attempt import Attempt

ID, STATE, ARGUMENTS = "id", "state", "arguments"
#: The fields of which a word may be, such as `worker:w1`, with the columns of an attempt that have them.
FIELDS = {ID: "task_id", "name": "name", "worker": "worker", "queue": "queue", STATE: "state", ARGUMENTS: "arguments"}
STATES = (*sorted(OPEN), *sorted(ENDS), LOST, RETURNED)
#: Fields in which a word may be anywhere.
_TEXTS = ("name", "worker", "queue")
#: Words of one query, and characters of one word.
MOST_WORDS, LONGEST_WORD = 10, 300
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WORD = re.compile(r'(?:[a-z]+:)?"[^"]*"|\S+')


class Term(NamedTuple):
    """One word."""

    #: One of `FIELDS`; None is any.
    field: str | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Query:
    """What to look for: attempts that match all terms."""

    terms: tuple[Term, ...]
    #: Whether a term of any field looks at the arguments, too.
    arguments: bool = False

    @property
    def has_id(self) -> bool:
        """Whether a term is the begin of an id, so that the index of the ids finds it."""
        return any(term.field == ID for term in self.terms)

    def matches(self, attempt: Attempt) -> bool:
        """Whether the attempt matches; the case of ASCII letters does not matter, but in an id."""
        return all(_matches(term, attempt, arguments=self.arguments) for term in self.terms)

    def condition(self) -> tuple[str, list[str]]:
        """The same as a condition of SQL on the table of attempts, with its parameters."""
        conditions, parameters = [], []
        for term in self.terms:
            parts = [_condition(field, term.text) for field in _fields(term, arguments=self.arguments)]
            conditions.append(f"({' OR '.join(condition for condition, _ in parts)})")
            parameters += [one for _, of_part in parts for one in of_part]
        return " AND ".join(conditions), parameters


def words_of(text: str) -> list[str]:
    """The words of a text; one in double quotes may have spaces."""
    return [word.replace('"', "") for word in _WORD.findall(text)]


def parsed_query(words: Iterable[str], *, arguments: bool) -> Query:
    """The query of the words. A word that is a whole UUID is an id. An empty word is left out.

    Raises:
        InvalidQuery: there is no word, or too many; a state is unknown; or a word asks for arguments, and they are not
            to be shown.
    """
    terms = tuple(_term(word) for word in words if word.strip())
    if not terms or len(terms) > MOST_WORDS or any(len(term.text) > LONGEST_WORD for term in terms):
        raise InvalidQuery(
            f"Search for 1 to {MOST_WORDS} words of at most {LONGEST_WORD} characters, such as worker:w1 state:failed."
        )
    for term in terms:
        if term.field == STATE and term.text.lower() not in STATES:
            raise InvalidQuery(f"There is no state {term.text!r}. The states are: {', '.join(STATES)}.")
        if term.field == ARGUMENTS and not arguments:
            raise InvalidQuery("The arguments of tasks are not searched, unless that is asked for.")
    return Query(terms=terms, arguments=arguments)


class InvalidQuery(ProjError):
    """Nothing can be searched for with these words."""


def _term(word: str) -> Term:
    word = word.strip()
    field, colon, text = word.partition(":")
    if colon and text and field in FIELDS:
        return Term(field, text)
    return Term(ID if _UUID.fullmatch(word) else None, word)


def _fields(term: Term, *, arguments: bool) -> Sequence[str]:
    if term.field is not None:
        return (term.field,)
    return (ID, *_TEXTS, STATE, *([ARGUMENTS] if arguments else []))


def _matches(term: Term, attempt: Attempt, *, arguments: bool) -> bool:
    # `lower` of bytes changes ASCII letters alone, as SQLite does.
    text = _bytes(term.text)
    for field in _fields(term, arguments=arguments):
        value: str | None = getattr(attempt, FIELDS[field])
        if value is None:
            continue
        if field == ID:
            found = value.startswith(term.text)
        else:
            found = text == _bytes(value) if field == STATE else text in _bytes(value)
        if found:
            return True
    return False


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()


def _condition(field: str, text: str) -> tuple[str, list[str]]:
    column, text = FIELDS[field], text.encode("utf-8", "replace").decode()
    if field == ID:
        # A range, which the index of the ids finds.
        return f"({column} >= ? AND {column} < ?)", [text, text + "\U0010ffff"]
    if field == STATE:
        return f"{column} = ?", [text.lower()]
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    return f"{column} LIKE ? ESCAPE '\\'", [f"%{escaped}%"]
