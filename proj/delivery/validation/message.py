"""Inspection of a message before Celery touches it: what it holds, and why it cannot be run.

Celery trusts what it reads. A header of the wrong type ends its worker or takes a slot from it, and it acknowledges a
body that it cannot decode. So everything that Celery reads is checked here first; the checks never raise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from kombu.exceptions import ContentDisallowed, SerializerNotInstalled

from proj.delivery.header_names import UNREADABLE
from proj.delivery.validation.header_rules import embed_fault, header_fault, id_fault, name_fault
from proj.delivery.validation.limits import is_deeper
from proj.delivery.validation.times import eta_fault, expires_fault
from proj.printable import shown

if TYPE_CHECKING:
    from datetime import tzinfo

    from celery.app.task import Task
    from kombu.message import Message

    from proj.delivery.validation.limits import Limits


class TooLarge(Exception):
    """The body is larger than the limit, and was not decompressed."""


class _InvalidBody(Exception):
    """A message names a task, but its body is of no protocol; the text is the reason."""


#: The parts of a body of protocol 2. Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
_BODY_PARTS = 3


class Kind(Enum):
    """How Celery classifies a message that it cannot run; its signals differ by it."""

    UNDECODABLE = "undecodable"
    #: It names no task.
    FOREIGN = "foreign"
    UNREGISTERED = "unregistered"
    INVALID = "invalid"


@dataclass(frozen=True)
class Refusal:
    """Why a message is not run: one sentence, and Celery's kind."""

    reason: str
    kind: Kind = Kind.INVALID


class Contents(NamedTuple):
    """A message as Celery will read it, in whichever protocol it was written."""

    headers: Mapping[Any, Any]
    args: Any
    kwargs: Any
    embed: Mapping[Any, Any]


class Inspected(NamedTuple):
    """What an inspection found: the contents of the message, and why it is not run."""

    #: None when the message names no task. Of a refused message, what can be read of it.
    contents: Contents | None
    #: None when the message can be run.
    refusal: Refusal | None


def inspect(
    message: Message,
    *,
    tasks: Mapping[str, Task[Any, Any]],
    limits: Limits,
    now: float,
    zone: tzinfo,
    worker: str,
    body_error: BaseException | None = None,
) -> Inspected:
    """What the message holds, and why this worker cannot run it; never raises.

    Args:
        message: as kombu received it.
        tasks: the tasks of the app, by name.
        limits: beyond which a message is refused.
        now: seconds since the epoch.
        zone: the time zone of times that name none.
        worker: the worker's node name, for the reason.
        body_error: why the body could not be decompressed.
    """
    contents = None
    try:
        refusal = unfit(message, limits, body_error) or _undecodable(message, limits)
        if refusal is None:
            contents = _contents(message)
            refusal = _refused(contents, message, tasks, limits, now, zone, worker)
    except _InvalidBody as error:
        refusal = Refusal(str(error))
    # A message that cannot be inspected cannot be run; RecursionError and MemoryError are among these.
    except Exception as error:  # noqa: BLE001 nothing that a message holds may end the worker
        refusal = Refusal(f"It cannot be inspected: {shown(error)}.", Kind.UNDECODABLE)
    if refusal is not None and contents is None:
        contents = _readable_contents(message)
    return Inspected(contents=contents, refusal=refusal)


def unfit(message: Message, limits: Limits, body_error: BaseException | None = None) -> Refusal | None:
    """Why the message is not even decoded, or None."""
    headers = message.headers
    if UNREADABLE in headers:
        return Refusal(f"Its properties cannot be read: {headers[UNREADABLE]}.", Kind.UNDECODABLE)
    if isinstance(body_error, TooLarge) or len(message.body or b"") > limits.largest_bytes:
        return Refusal(
            f"Its body is, or decompresses to, more than the {limits.largest_bytes} bytes that proj_largest_bytes "
            "allows.",
            Kind.UNDECODABLE,
        )
    if body_error is not None:
        codec = shown(headers.get("compression"))
        return Refusal(
            f"Its body cannot be decompressed as its header 'compression' says ({codec}): {shown(body_error)}.",
            Kind.UNDECODABLE,
        )
    if is_deeper(headers, limits.deepest_headers):
        return Refusal(f"Its headers are nested deeper than {limits.deepest_headers} levels, the most that is allowed.")
    return None


def _contents(message: Message) -> Contents | None:
    """What the message holds, of protocol 2, 1 or the hybrid of both; None when it names no task.

    Raises:
        _InvalidBody: it names a task, but its body is of no protocol.
    """
    headers: Mapping[Any, Any] = message.headers
    payload = message.payload
    if "task" in headers:
        if isinstance(payload, (list, tuple)) and len(payload) == _BODY_PARTS:
            args, kwargs, embed = payload
            return Contents(headers=headers, args=args, kwargs=kwargs, embed={} if embed is None else embed)
        if isinstance(payload, Mapping) and "args" in payload:
            return _of_protocol_1({**payload, **headers}, payload)
        raise _InvalidBody(f"Its body is {shown(payload)}, but must be [args, kwargs, embed].")
    if isinstance(payload, Mapping) and "task" in payload:
        return _of_protocol_1(payload, payload)
    return None


def _of_protocol_1(headers: Mapping[Any, Any], payload: Mapping[Any, Any]) -> Contents:
    embed = {name: payload.get(name) for name in ("callbacks", "errbacks", "chord")}
    return Contents(headers=headers, args=payload.get("args", ()), kwargs=payload.get("kwargs", {}), embed=embed)


def _readable_contents(message: Message) -> Contents | None:
    """What can be read of a refused message: its headers at least, so that its caller can be told."""
    try:
        return _contents(message)
    except Exception:  # noqa: BLE001 it was refused because it cannot be read
        return Contents(headers=message.headers, args=(), kwargs={}, embed={})


def _undecodable(message: Message, limits: Limits) -> Refusal | None:
    try:
        payload = message.payload
    except Exception as error:  # noqa: BLE001 nothing that a message holds may end the worker
        return Refusal(_decoding_fault(shown(message.content_type), error), Kind.UNDECODABLE)
    # There are at least as many brackets as levels, and counting them is cheaper than a walk.
    body: Any = message.body
    text = body if isinstance(body, str) else str(body, "latin-1")
    flat = text.startswith("[") and text.count("[") + text.count("{") <= limits.deepest
    if not flat and is_deeper(payload, limits.deepest):
        return Refusal(f"Its body is nested deeper than the {limits.deepest} levels that proj_deepest allows.")
    return None


def _decoding_fault(content_type: str, error: Exception) -> str:
    if isinstance(error, ContentDisallowed):
        return f"Its content type is {content_type}, which this worker does not accept (accept_content)."
    if isinstance(error, SerializerNotInstalled):
        return f"This worker has no decoder for its content type {content_type}."
    return f"Its body cannot be decoded as {content_type}: {shown(error)}."


def _refused(
    contents: Contents | None,
    message: Message,
    tasks: Mapping[str, Task[Any, Any]],
    limits: Limits,
    now: float,
    zone: tzinfo,
    worker: str,
) -> Refusal | None:
    if contents is None:
        return Refusal("It names no task: neither its headers nor its body have a 'task'.", Kind.FOREIGN)
    headers = contents.headers
    name = headers["task"]
    fault = name_fault(name) or id_fault(headers)
    fault = fault or header_fault(headers)
    if fault is None and headers is not message.headers:
        fault = header_fault(message.headers)
    fault = fault or _property_fault(message.properties)
    if fault is None and not isinstance(contents.args, (list, tuple)):
        fault = f"Its arguments are {shown(contents.args)}, but must be a list."
    if fault is None and not isinstance(contents.kwargs, (dict, Mapping)):
        fault = f"Its keyword arguments are {shown(contents.kwargs)}, but must be a table."
    fault = fault or embed_fault(contents.embed)
    if fault is not None:
        return Refusal(fault)
    if name not in tasks:
        return Refusal(f"No task is registered as {shown(name)} in the worker {worker}.", Kind.UNREGISTERED)
    fault = (
        eta_fault(headers.get("eta"), zone=zone, now=now, latest_s=limits.latest_eta_s)
        or expires_fault(headers.get("expires"), zone=zone)
        or _arguments_fault(tasks[name], contents.args, contents.kwargs)
    )
    return Refusal(fault) if fault else None


def _property_fault(properties: Mapping[str, object]) -> str | None:
    for name in ("correlation_id", "reply_to"):
        value = properties.get(name)
        if value is not None and not isinstance(value, str):
            return f"Its property {name!r} is {shown(value)}, but must be a text."
    return None


def _arguments_fault(task: Task[Any, Any], args: list[object], kwargs: Mapping[str, object]) -> str | None:
    """Why the task cannot be called with these arguments, as `apply_async` checks it at the sender; or None."""
    header = getattr(task, "__header__", None)
    if not getattr(task, "typing", False) or header is None:
        return None
    first = (task,) if getattr(task, "__v2_compat__", False) else ()
    try:
        header(*first, *args, **kwargs)
    except TypeError as error:
        return f"Its arguments do not fit the task: {error}."
    return None
