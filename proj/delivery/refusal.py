"""Which of the broker's errors another attempt cannot mend, as one sentence."""

from __future__ import annotations

from proj.errors import PublishRefused, Unroutable

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
#: What RabbitMQ says with one of these codes of something that passes: a queue whose node is away, and too many
#: connections or channels at the moment.
PASSING = ("down or inaccessible", "limit")


def refusal(error: BaseException, what: str) -> PublishRefused | None:
    """The error to raise at once; None when another attempt may succeed."""
    code = getattr(error, "reply_code", None)
    text = str(getattr(error, "reply_text", None) or error)
    if code == NO_ROUTE:
        return Unroutable(f"{what} was not accepted: {text}.")
    if code not in FINAL or (code in {NOT_FOUND, NOT_ALLOWED} and any(word in text for word in PASSING)):
        return None
    if code == NOT_FOUND:
        return Unroutable(f"{what} was not accepted: the broker says {text!r}.")
    return PublishRefused(f"{what} was not accepted: the broker says {text!r}, and would again.")
