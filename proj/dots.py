"""The weight of a message: one unit of work for each dot in it."""

from __future__ import annotations

from proj.errors import InvalidMessage

DOT = "."


def text_of(message: object) -> str:
    """The message itself, when it is a text.

    Raises:
        InvalidMessage: it is not a text.
    """
    if not isinstance(message, str):
        kind = type(message).__name__
        raise InvalidMessage(
            f"A message must be a text whose dots are its weight, such as 'hello...', not {message!r} ({kind})."
        )
    return message


def weigh(message: object) -> int:
    """The number of dots in the message, as the tutorials count them (`body.count(b".")`).

    Raises:
        InvalidMessage: the message is not a text.
    """
    return text_of(message).count(DOT)


def duration_s(message: object, dot_seconds: float) -> float:
    """Seconds of work in the message when one dot takes `dot_seconds`."""
    return weigh(message) * dot_seconds
