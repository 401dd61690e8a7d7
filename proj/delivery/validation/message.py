"""Why a message cannot be run: a sentence, found before anything of Celery touches the message.

Celery believes what it reads. A header of the wrong type ends its worker or takes a slot from it, and a body that it
cannot decode it acknowledges. So whatever it reads is checked here first, and never raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ContentDisallowed, SerializerNotInstalled

from proj.delivery.header_names import UNREADABLE
from proj.delivery.printable import shown
from proj.delivery.validation.header_rules import embed_fault, header_fault, id_fault, name_fault
from proj.delivery.validation.limits import is_deeper
from proj.delivery.validation.times import eta_fault, expires_fault

if TYPE_CHECKING:
    from datetime import tzinfo

    from proj.delivery.validation.limits import Limits


class TooLarge(Exception):
    """In place of an error of decompression: the body was not even looked at."""


#: What protocol 2 puts into a body. Source: https://docs.celeryq.dev/en/stable/internals/protocol.html
_BODY_PARTS = 3


class Kind(Enum):
    """How Celery would have called what is wrong, so that its signals say so still."""

    UNDECODABLE = "undecodable"
    #: No task is named in it.
    FOREIGN = "foreign"
    UNREGISTERED = "unregistered"
    INVALID = "invalid"


@dataclass(frozen=True)
class Refusal:
    """Why a message is not run."""

    reason: str
    kind: Kind = Kind.INVALID


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A message as Celery will read it, whichever protocol it is of."""

    headers: Mapping[Any, Any]
    args: Any
    kwargs: Any
    embed: Mapping[Any, Any]


def refusal(
    message: Any,  # noqa: ANN401 kombu's message
    *,
    tasks: Mapping[str, Any],
    limits: Limits,
    now: float,
    zone: tzinfo,
    worker: str,
) -> Refusal | None:
    """Why this worker cannot run the message, or None when it can; `now` is seconds since the epoch."""
    try:
        found = (
            unfit(message, limits)
            or _undecodable(message, limits)
            or _refused(message, tasks, limits, now, zone, worker)
        )
    # What cannot be looked at cannot be run; RecursionError and MemoryError are among these.
    except Exception as error:  # noqa: BLE001 nothing that a message holds may end the worker
        return Refusal(f"It cannot be inspected: {shown(error)}.", Kind.UNDECODABLE)
    return found


def unfit(message: Any, limits: Limits) -> Refusal | None:  # noqa: ANN401 kombu's message
    """Why the message is not even decoded, or None."""
    headers = message.headers
    if UNREADABLE in headers:
        return Refusal(f"Its properties cannot be read: {headers[UNREADABLE]}.", Kind.UNDECODABLE)
    if message.errors:
        _kind, error, _trace = message.errors[0]
        return Refusal(_body_fault(error, headers.get("compression"), limits), Kind.UNDECODABLE)
    if len(message.body or b"") > limits.largest_bytes:
        return Refusal(_body_fault(TooLarge(), None, limits), Kind.UNDECODABLE)
    if is_deeper(headers, limits.deepest):
        return Refusal(f"Its headers are nested deeper than the {limits.deepest} that proj_deepest allows.")
    return None


def contents(message: Any) -> Contents | None:  # noqa: ANN401 kombu's message
    """What the message holds, of protocol 2, 1 or the hybrid of both; None when it names no task.

    Raises:
        ValueError: it names one, but its body is not of any protocol; the text is the reason.
    """
    headers, payload = message.headers, message.payload
    if "task" in headers:
        if isinstance(payload, Mapping) and "args" in payload:
            return _of_protocol_1({**payload, **headers}, payload)
        if not isinstance(payload, (list, tuple)) or len(payload) != _BODY_PARTS:
            raise ValueError(f"Its body is {shown(payload)}, but must be [args, kwargs, embed].")
        args, kwargs, embed = payload
        return Contents(headers=headers, args=args, kwargs=kwargs, embed={} if embed is None else embed)
    if isinstance(payload, Mapping) and "task" in payload:
        return _of_protocol_1(payload, payload)
    return None


def _of_protocol_1(headers: Mapping[Any, Any], payload: Mapping[Any, Any]) -> Contents:
    embed = {name: payload.get(name) for name in ("callbacks", "errbacks", "chord")}
    return Contents(headers=headers, args=payload.get("args", ()), kwargs=payload.get("kwargs", {}), embed=embed)


def _body_fault(error: BaseException, codec: object, limits: Limits) -> str:
    if isinstance(error, TooLarge):
        return f"Its body has, or becomes, more than the {limits.largest_bytes} bytes that proj_largest_bytes allows."
    return f"Its body cannot be decompressed as its header 'compression' says ({shown(codec)}): {shown(error)}."


def _undecodable(message: Any, limits: Limits) -> Refusal | None:  # noqa: ANN401 as above
    try:
        payload = message.payload
    except ContentDisallowed:
        return Refusal(
            f"Its content type is {shown(message.content_type)}, which this worker does not accept (accept_content).",
            Kind.UNDECODABLE,
        )
    except SerializerNotInstalled:
        return Refusal(f"Nothing here decodes its content type {shown(message.content_type)}.", Kind.UNDECODABLE)
    except Exception as error:  # noqa: BLE001 nothing that a message holds may end the worker
        return Refusal(
            f"Its body cannot be decoded as {shown(message.content_type)}: {shown(error)}.", Kind.UNDECODABLE
        )
    # As many brackets as levels at least, and counting them is cheap beside a walk.
    body = message.body
    text = body if isinstance(body, str) else str(body, "latin-1")
    flat = text.startswith("[") and text.count("[") + text.count("{") <= limits.deepest
    if not flat and is_deeper(payload, limits.deepest):
        return Refusal(f"Its body is nested deeper than the {limits.deepest} that proj_deepest allows.")
    return None


def _refused(
    message: Any,  # noqa: ANN401 kombu's message
    tasks: Mapping[str, Any],
    limits: Limits,
    now: float,
    zone: tzinfo,
    worker: str,
) -> Refusal | None:
    try:
        held = contents(message)
    except ValueError as error:
        return Refusal(str(error))
    if held is None:
        return Refusal("It names no task: it has no header 'task', nor has its body.", Kind.FOREIGN)
    name = held.headers["task"]
    fault = name_fault(name) or id_fault(held.headers)
    fault = fault or header_fault(held.headers) or header_fault(message.headers) or _property_fault(message.properties)
    if fault is None and not isinstance(held.args, (list, tuple)):
        fault = f"Its arguments are {shown(held.args)}, but must be a list."
    if fault is None and not isinstance(held.kwargs, Mapping):
        fault = f"Its keyword arguments are {shown(held.kwargs)}, but must be a table."
    fault = fault or embed_fault(held.embed)
    if fault is not None:
        return Refusal(fault)
    if name not in tasks:
        return Refusal(f"No task is registered as {shown(name)} in the worker {worker}.", Kind.UNREGISTERED)
    fault = (
        eta_fault(held.headers.get("eta"), zone=zone, now=now, latest_s=limits.latest_eta_s)
        or expires_fault(held.headers.get("expires"), zone=zone)
        or _arguments_fault(tasks[name], held.args, held.kwargs)
    )
    return Refusal(fault) if fault else None


def _property_fault(properties: Mapping[str, Any]) -> str | None:
    for name in ("correlation_id", "reply_to"):
        value = properties.get(name)
        if value is not None and not isinstance(value, str):
            return f"Its property {name!r} is {shown(value)}, but must be a text."
    return None


def _arguments_fault(task: Any, args: Any, kwargs: Any) -> str | None:  # noqa: ANN401 Celery's task
    """As `apply_async` checks them where they are sent."""
    header = getattr(task, "__header__", None)
    if not getattr(task, "typing", False) or header is None:
        return None
    first = (task,) if getattr(task, "__v2_compat__", False) else ()
    try:
        header(*first, *args, **kwargs)
    except TypeError as error:
        return f"Its arguments do not fit the task: {error}."
    return None
