"""Errors of the broker that end a publish or a declaration: which of them are final, and what the user is told."""

from __future__ import annotations

import re

from proj.broker.permissions.rights import missing_right
from proj.errors import PublishRefused, QueueFull, QueueMismatch, Unroutable
from proj.queues import CLASSIC, QUEUE_TYPES

#: AMQP reply codes. Source: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
CONTENT_TOO_LARGE = 311
NO_ROUTE = 312
ACCESS_REFUSED = 403
NOT_FOUND = 404
PRECONDITION_FAILED = 406
FRAME_ERROR = 501
SYNTAX_ERROR = 502
NOT_ALLOWED = 530
NOT_IMPLEMENTED = 540
INTERNAL_ERROR = 541

#: Codes after which another attempt fails in the same way.
FINAL = frozenset(
    {
        *(CONTENT_TOO_LARGE, ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED),
        *(FRAME_ERROR, SYNTAX_ERROR, NOT_ALLOWED, NOT_IMPLEMENTED),
    }
)
#: How often a message is published that the broker answers with an internal error, and seconds between two attempts. A
#: queue that loses its leader is such an error too, and has another one within a few seconds.
MOST_CRASHES = 5
CRASH_PAUSE_S = 1.0
#: Texts that RabbitMQ sends with one of these codes although the cause is temporary: the node of a queue is down or
#: slow, or a virtual host, a user or a node has too many connections or channels. The whole text must match, because a
#: queue or a user may have any of these words in its name. AMQP cuts the text after 255 bytes, so what follows the name
#: of a node or a queue may be missing.
#: Source: RabbitMQ 3.10 to 4.x, rabbit_amqqueue:priv_absent and :with, and the checks of limits in rabbit_reader
TEMPORARY = {
    NOT_FOUND: re.compile(r"NOT_FOUND - (home node '|failed to perform operation on queue ').*", re.DOTALL),
    NOT_ALLOWED: re.compile(
        r"NOT_ALLOWED - .*"
        r"(connection limit \(\d+\) is reached|the maximum allowed (user )?limit of \(\d+\)|vhost '.*' is down)",
        re.DOTALL,
    ),
}
#: What a user does who lacks a queue or an exchange, or a permission.
MUST_EXIST = "celery -A yourapp queues topology prints what must exist."
ROLES = "celery -A yourapp queues topology --roles prints the permissions that each user needs."


def final_error(error: BaseException, subject: str) -> PublishRefused | None:
    """The error to raise when another attempt would fail in the same way; None when one may succeed.

    Args:
        error: what kombu or py-amqp raised.
        subject: what was published, as it stands in a sentence: "task 5f2a…".
    """
    code = getattr(error, "reply_code", None)
    text = str(getattr(error, "reply_text", None) or error)
    if (mismatched := mismatch(error, subject)) is not None:
        return mismatched
    if code == NO_ROUTE:
        return Unroutable(
            f"RabbitMQ did not accept {subject}: {text}. "
            "Start a worker that declares the queue, or correct the exchange or the routing key. "
            f"{MUST_EXIST}"
        )
    if code not in FINAL or _is_temporary(code, text):
        return None
    if code == NOT_FOUND:
        return Unroutable(
            f"RabbitMQ did not accept {subject}: {text!r}. Declare it first, or correct its name. {MUST_EXIST}"
        )
    if (right := missing_right(error)) is not None:
        return PublishRefused(f"RabbitMQ did not accept {subject}: {right.sentence}. {ROLES}")
    return PublishRefused(f"RabbitMQ did not accept {subject}: {text!r}. Remove the reason before you try again.")


def is_crash(error: BaseException) -> bool:
    """Whether the broker closed the connection with an internal error: a message, or the broker, is at fault."""
    return getattr(error, "reply_code", None) == INTERNAL_ERROR


def crashing(error: BaseException, subject: str) -> PublishRefused:
    """The error for a message that the broker has answered with an internal error each time."""
    return PublishRefused(
        f"RabbitMQ closed the connection with an internal error each of the {MOST_CRASHES} times that {subject} was "
        f"published: {str(getattr(error, 'reply_text', None) or error)!r}. The broker's log says what it cannot handle."
    )


def _is_temporary(code: int, text: str) -> bool:
    pattern = TEMPORARY.get(code)
    return pattern is not None and pattern.fullmatch(text) is not None


def queue_full(
    subject: str, nack: str, *, tried_s: float, task_ids: tuple[str, ...], accepted: int | None = None
) -> QueueFull:
    """The error for messages to which the broker answered with nothing but nacks.

    A quorum queue that has lost its majority may send nacks too, and a nack gives no reason.
    Source: https://www.rabbitmq.com/docs/maxlength#overflow-behaviour

    Args:
        subject: what was published, as it stands in a sentence: "task 5f2a…".
        nack: from where the nack came, see `confirm_channel.nack_from`.
        tried_s: seconds since the first nack.
        task_ids: of all that were rejected.
        accepted: how many others the broker has accepted, where there are several.
    """
    what = "it" if len(task_ids) == 1 else "them"
    others = "" if accepted is None else f" It accepted {accepted} others."
    return QueueFull(
        f"RabbitMQ rejected {subject} for {tried_s:.1f} s ({nack}); a queue is probably full.{others} "
        f"The queue does not have {what}. Publish {what} again later, start more workers, or raise the limit "
        "(celery -A yourapp queues --watch shows how the queue fills and drains).",
        task_ids,
    )


#: RabbitMQ's text. Source: rabbit_misc:assert_args_equivalence
_BEGINNING = r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>"
_WHOLE = re.compile(
    _BEGINNING + r".*?)' in vhost '(?P<vhost>.*?)': received (?P<asked>.*?) but current is (?P<there>.*)", re.DOTALL
)
#: AMQP cuts the text after 255 bytes, which long names use up.
_CUT = re.compile(_BEGINNING + r"[^']*)")
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '.*')?", re.DOTALL)
_TYPE = "x-queue-type"


def mismatch(error: BaseException, subject: str | None = None) -> QueueMismatch | None:
    """The error for a queue or an exchange that exists with other arguments than it is declared with.

    None when `error` says something else. `subject` is what could not be published because of it.
    """
    if getattr(error, "reply_code", None) != PRECONDITION_FAILED:
        return None
    text = str(getattr(error, "reply_text", None) or error)
    found = _WHOLE.search(text) or _CUT.search(text)
    if found is None:
        return None
    known = found.groupdict()
    kind, name, argument, vhost = known["kind"], known["name"], known["argument"], known.get("vhost")
    asked, there = _value(known.get("asked"), argument), _value(known.get("there"), argument)
    how = ""
    if argument == _TYPE and there in QUEUE_TYPES:
        how = f" (proj: PROJ_QUEUE_TYPE={there}; other apps: task_default_queue_type = {there!r})"
    beginning = f"RabbitMQ did not accept {subject}: the" if subject else "The"
    where = f" in the virtual host {vhost!r}" if vhost not in {None, "/"} else ""
    difference = f"with {_stated(argument, there)}, but is declared with {_stated(argument, asked)}"
    if there is None or asked is None:
        difference = f"with another {argument} than it is declared with"
    return QueueMismatch(
        f"{beginning} {kind} {name!r}{where} exists {difference}. Declare it as it exists{how}, use another name, "
        f"or delete the existing {kind}.",
        kind=kind,
        name=name,
        argument=argument,
        there=there,
        asked=asked,
    )


def _value(text: str | None, argument: str) -> str | None:
    """The value in `'classic'`, `the value '5' of type 'signedint'` or `none`; None where the text is cut."""
    if text is None:
        return None
    if text == "none":
        return CLASSIC if argument == _TYPE else "none"
    found = _VALUE.match(text)
    return found["value"] if found else None


def _stated(argument: str, value: str | None) -> str:
    return f"no {argument}" if value == "none" else f"{argument}={value}"
