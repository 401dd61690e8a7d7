"""A queue or exchange that exists with other arguments: found in the broker's words, told in one sentence."""

from __future__ import annotations

import re

from proj.errors import QueueMismatch
from proj.queues import CLASSIC, QUEUE_TYPES

#: AMQP's reply code. Source: https://www.rabbitmq.com/amqp-0-9-1-reference#constants
_PRECONDITION_FAILED = 406
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
    if getattr(error, "reply_code", None) != _PRECONDITION_FAILED:
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
