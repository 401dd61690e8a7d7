"""What the broker will not have, as one sentence: never, which another attempt cannot mend, or not now."""

from __future__ import annotations

import re

from proj.delivery.mismatch import mismatch
from proj.errors import PublishRefused, QueueFull, Unroutable

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
