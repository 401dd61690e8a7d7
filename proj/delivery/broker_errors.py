"""What the broker will not have, as one sentence: never, which another attempt cannot mend, or not now."""

from __future__ import annotations

import re

from proj.errors import PublishRefused, QueueFull, QueueMismatch, Unroutable
from proj.queues import CLASSIC, QUEUE_TYPES

#: AMQP reply codes. Source: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
CONTENT_TOO_LARGE = 311
NO_ROUTE = 312
ACCESS_REFUSED = 403
NOT_FOUND = 404
PRECONDITION_FAILED = 406
SYNTAX_ERROR = 502
NOT_ALLOWED = 530
NOT_IMPLEMENTED = 540

FINAL = frozenset(
    {CONTENT_TOO_LARGE, ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, SYNTAX_ERROR, NOT_ALLOWED, NOT_IMPLEMENTED}
)
#: What RabbitMQ says with one of these codes of something that passes: a queue whose node is away or slow, and too many
#: connections or channels of a virtual host, a user or a node at the moment. Matched whole, because a name may have any
#: of these words; but AMQP cuts off after 255 bytes what follows the names of a node and a queue.
#: Source: RabbitMQ 3.10 to 4.x, rabbit_amqqueue:priv_absent and :with, and the checks of limits in rabbit_reader
PASSING = {
    NOT_FOUND: re.compile(r"NOT_FOUND - (home node '|failed to perform operation on queue ').*", re.DOTALL),
    NOT_ALLOWED: re.compile(
        r"NOT_ALLOWED - .*"
        r"(connection limit \(\d+\) is reached|the maximum allowed (user )?limit of \(\d+\)|vhost '.*' is down)",
        re.DOTALL,
    ),
}


def refusal(error: BaseException, what: str) -> PublishRefused | None:
    """The error to raise at once; None when another attempt may succeed."""
    code = getattr(error, "reply_code", None)
    text = str(getattr(error, "reply_text", None) or error)
    if (mismatched := mismatch(error, what)) is not None:
        return mismatched
    if code == NO_ROUTE:
        return Unroutable(f"{what} was not accepted: {text}.")
    if code not in FINAL or _passes(code, text):
        return None
    if code == NOT_FOUND:
        return Unroutable(f"{what} was not accepted: the broker says {text!r}.")
    return PublishRefused(f"{what} was not accepted: the broker says {text!r}, and would again.")


def _passes(code: int, text: str) -> bool:
    words = PASSING.get(code)
    return words is not None and words.fullmatch(text) is not None


def queue_full(what: str, nack: str, *, tried_s: float, task_ids: tuple[str, ...]) -> QueueFull:
    """The error for what the broker refused with nacks and with nothing else; `nack` says from where.

    `what` may begin a sentence, as in "The message …"; here it stands within one.

    A quorum queue that has lost its majority may refuse likewise: a nack gives no reason.
    Source: https://www.rabbitmq.com/docs/maxlength#overflow-behaviour
    """
    if what.startswith(("The ", "A ")):
        what = what[0].lower() + what[1:]
    return QueueFull(
        f"The queue is full and did not take {what}: there was {nack}, and for {tried_s:.1f} s nothing else. "
        "What was not taken is not in the queue; publish it again later, start more workers, or raise the limit "
        "(celery -A yourapp queues --watch shows how it fills and drains).",
        task_ids,
    )


#: RabbitMQ's words. Source: rabbit_misc:assert_args_equivalence
_BEGINNING = r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>"
_WHOLE = re.compile(
    _BEGINNING + r".*?)' in vhost '(?P<vhost>.*?)': received (?P<asked>.*?) but current is (?P<there>.*)", re.DOTALL
)
#: AMQP ends the text after 255 bytes, which long names use up.
_CUT = re.compile(_BEGINNING + r"[^']*)")
_VALUE = re.compile(r"(?:the value )?'(?P<value>.*?)'(?: of type '.*')?", re.DOTALL)
_TYPE = "x-queue-type"


def mismatch(error: BaseException, what: str | None = None) -> QueueMismatch | None:
    """The error as one sentence with the remedy, and with `what` was not accepted for it, if anything.

    None when it is not about something that exists otherwise.
    """
    if getattr(error, "reply_code", None) != PRECONDITION_FAILED:
        return None
    words = str(getattr(error, "reply_text", None) or error)
    found = _WHOLE.search(words) or _CUT.search(words)
    if found is None:
        return None
    known = found.groupdict()
    kind, name, argument, vhost = known["kind"], known["name"], known["argument"], known.get("vhost")
    asked, there = _value(known.get("asked"), argument), _value(known.get("there"), argument)
    how = ""
    if argument == _TYPE and there in QUEUE_TYPES:
        how = f" (proj does with PROJ_QUEUE_TYPE={there}, other apps with task_default_queue_type = {there!r})"
    beginning = f"{what} was not accepted: the" if what else "The"
    where = f" in the virtual host {vhost!r}" if vhost not in {None, "/"} else ""
    difference = f"with {_stated(argument, there)}, but was asked for with {_stated(argument, asked)}"
    if there is None or asked is None:
        difference = f"with another {argument} than it was asked for with"
    return QueueMismatch(
        f"{beginning} {kind} {name!r}{where} exists {difference}: declare it as it is{how}, use another name, "
        f"or delete the {kind} that is there.",
        kind=kind,
        name=name,
        argument=argument,
        there=there,
        asked=asked,
    )


def _value(words: str | None, argument: str) -> str | None:
    """What the broker calls `'classic'`, `the value '5' of type 'signedint'` or `none`; None where it is cut."""
    if words is None:
        return None
    if words == "none":
        return CLASSIC if argument == _TYPE else "none"
    found = _VALUE.match(words)
    return found["value"] if found else None


def _stated(argument: str, value: str | None) -> str:
    return f"no {argument}" if value == "none" else f"{argument}={value}"
