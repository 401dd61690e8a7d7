"""Values and texts for a log line or an error: cut short, and safe to print."""

from __future__ import annotations

import reprlib

#: Characters of a text in place of a header that AMQP cannot carry again.
LONGEST_DESCRIPTION = 500


def printable(text: str) -> str:
    """The text with an escape sequence for each character that could move a cursor or break a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def described(value: object) -> str:
    """The value as a text of at most `LONGEST_DESCRIPTION` characters, also when it is nested too deeply for `repr`."""
    try:
        return printable(repr(value))[:LONGEST_DESCRIPTION]
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be printed"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 3


def shown(value: object) -> str:
    """The value as a part of a sentence, cut short; an exception is shown by its text. Never raises."""
    try:
        text = str(value) or type(value).__name__ if isinstance(value, BaseException) else _short.repr(value)
    except Exception:  # noqa: BLE001 the `repr` of an object may raise anything
        text = f"a {type(value).__name__} that cannot be printed"
    return printable(text[:300]).rstrip(".")
