"""Retry decision: whether a failed task can be sent again faithfully, and with which arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.utils.saferepr import saferepr

from proj.errors import ProjError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The rule, for the page and docs/dashboard.md.
RULE = (
    "A failed task is sent again with a new id and with the arguments that the result backend keeps of it "
    "(result_extended), else with those in its events if their text tells every value exactly; a dead letter is "
    "requeued instead, and anything else is refused."
)
#: What shows that the text of arguments does not tell their values: Celery's text of them shortens with three dots, and
#: puts backslashes before quotes but not before backslashes; and senders put asterisks in the place of secrets
#: (`argsrepr`).
_INEXACT = {
    "...": "Celery has shortened it",
    "\\": "it has a backslash, which is of a value or was put before a quote by Celery",
    "***": "its sender has hidden a part of it",
}
#: Celery writes the bytes of ASCII as they are, and all others as hexadecimal digits.
_BYTES = "it has bytes, and Celery writes different bytes alike"
_OTHER = "it has a value that is no text, number, list, tuple or dict, such as an object, or it cannot be read"
#: The state of an attempt that failed.
FAILED = "failed"
#: Characters of the arguments in a question.
MOST_SHOWN = 1000
_EXACT = (type(None), bool, int, float, str)


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a task."""

    id: str
    #: The state of its last attempt; None when it is not known.
    state: str | None
    name: str | None
    queue: str | None
    #: The texts of its arguments in events; None without any.
    args: str | None
    kwargs: str | None
    #: Whether it is a dead letter; None when they could not be looked at.
    is_letter: bool | None
    #: What the result backend keeps of it; None when it keeps nothing.
    stored: Mapping[str, Any] | None
    #: Whether the app serializes tasks with pickle, so that an argument may be of any class.
    pickled: bool


@dataclass(frozen=True, kw_only=True)
class Again:
    """A task as it is sent again."""

    name: str
    queue: str
    args: list[Any]
    kwargs: dict[str, Any]
    #: Whether the arguments are those of the result backend.
    is_stored: bool


def decide(known: Known) -> Again:
    """How the task is sent again.

    Raises:
        ProjError: it cannot be sent again faithfully; the error says why.
    """
    if known.state is None:
        raise ProjError(f"Nothing is known of the task {known.id}, so it cannot be sent again.")
    if known.state != FAILED:
        raise ProjError(f"The task {known.id} has not failed: it is {known.state}. Only a failed task is sent again.")
    if known.is_letter:
        raise ProjError(f"The task {known.id} is a dead letter. Requeue the letter: that is its own message.")
    stored = known.stored or {}
    name = known.name or _text(stored.get("name"))
    if name is None:
        raise ProjError(f"The name of the task {known.id} is not known, so it cannot be sent again.")
    queue = known.queue or _text(stored.get("queue"))
    if queue is None:
        raise ProjError(
            f"The queue of the task {known.id} is not known, so it cannot be sent again. Where the sender sets "
            "task_send_sent_event = True, events tell it."
        )
    args, kwargs = stored.get("args"), stored.get("kwargs")
    if isinstance(args, (list, tuple)) and isinstance(kwargs, dict):
        return Again(name=name, queue=queue, args=[*args], kwargs=kwargs, is_stored=True)
    if known.pickled:
        raise ProjError(
            "This task is not sent again: tasks are serialized with pickle, so no text tells their arguments. "
            f"{_REMEDY}"
        )
    found, named = literal(known.args, "arguments"), literal(known.kwargs, "keyword arguments")
    if not isinstance(found, (list, tuple)) or not isinstance(named, dict):
        raise ProjError(f"The text of its arguments is {known.args} {known.kwargs}, which are no arguments. {_REMEDY}")
    return Again(name=name, queue=queue, args=[*found], kwargs=named, is_stored=False)


def literal(text: str | None, what: str) -> object:
    """The value that a text of arguments stands for.

    Raises:
        ProjError: the text is missing, or does not tell the value exactly.
    """
    if not text:
        raise ProjError(f"This task is not sent again: no event tells its {what}. {_REMEDY}")
    try:
        return _value(text)
    except ValueError as error:
        raise ProjError(
            f"This task is not sent again, because the text of its {what} does not tell them exactly: {error}. "
            f"{_REMEDY}"
        ) from error


_REMEDY = (
    "Send it from your own code, with the arguments that it had. Of tasks that fail from now on, the result backend "
    "can keep the arguments: set result_extended = True, with a result backend that the dashboard can read."
)


def _value(text: str) -> object:
    """The value.

    Raises:
        ValueError: the text does not tell it exactly; the error says why.
    """
    for sign, why in _INEXACT.items():
        if sign in text:
            raise ValueError(why)
    try:
        value = ast.literal_eval(text)
        parts = [*_parts(value)]
        is_same = saferepr(value) == text
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(_OTHER) from error
    if any(isinstance(part, bytes) for part in parts):
        raise ValueError(_BYTES)
    if not is_same or not all(isinstance(part, _EXACT) for part in parts):
        raise ValueError(_OTHER)
    return value


def _parts(value: object) -> Iterator[object]:
    """The values in lists, tuples and dicts."""
    if isinstance(value, (list, tuple)):
        inner: Iterable[object] = value
    elif isinstance(value, dict):
        inner = (*value.keys(), *value.values())
    else:
        yield value
        return
    for one in inner:
        yield from _parts(one)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def question(known: Known, again: Again) -> str:
    """What a person is asked; it shows the arguments, because nobody can see whether their sender replaced a part."""
    shown = f"{saferepr(tuple(again.args))} {saferepr(again.kwargs)}"
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]} …"
    where = "that the result backend keeps" if again.is_stored else "as the text in its events tells them"
    doubt = "" if known.is_letter is not None else " Whether it is a dead letter, too, is not known."
    return (
        f"Send 1 task {again.name} again to {again.queue}, with a new id and with its arguments {where}: {shown}? It "
        f"runs alone: what was linked to it, such as the rest of a chain or a chord, is not sent again.{doubt}"
    )
