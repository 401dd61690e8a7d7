"""Text that others wrote, made safe to print: the only way of it into a terminal, a log line, a reason or Markdown."""

from __future__ import annotations

import json
import reprlib

#: Characters of a text in place of a header that AMQP cannot carry again.
LONGEST_DESCRIPTION = 500


def printable(text: str, *, keep: str = "") -> str:
    """The text with an escape sequence for each character that could move a cursor, break a line or turn the text.

    These are control and format characters, surrogates, and all spaces but the usual one. Those in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)


def json_text(document: object, *, indent: int | None = None) -> str:
    """The document as JSON in printable ASCII; every program reads the text that it stands for."""
    # The only control character that the standard library leaves as it is.
    return json.dumps(document, indent=indent).replace("\x7f", "\\u007f")


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
