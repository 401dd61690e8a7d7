"""Values and texts as a log line or an error may hold them: cut short, and safe to print."""

from __future__ import annotations

import reprlib

#: Characters that remain of a header which AMQP cannot carry again.
_CUT = 500


def printable(text: str) -> str:
    """The text with whatever could move a cursor or break a line written out."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def described(value: object) -> str:
    """The value in few words, safe to print, also where it is nested without end."""
    try:
        return printable(repr(value))[:_CUT]
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be written down"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 3


def shown(value: object) -> str:
    """The value as a sentence can hold it, cut short; never fails."""
    try:
        text = str(value) or type(value).__name__ if isinstance(value, BaseException) else _short.repr(value)
    except Exception:  # noqa: BLE001 an object may refuse to be shown
        text = f"a {type(value).__name__} that cannot be shown"
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text[:300])
    return text.rstrip(".")
