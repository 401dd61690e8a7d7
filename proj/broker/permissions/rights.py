"""Rights: which permission a user of the broker lacks, read from the broker's refusal."""

from __future__ import annotations

import re
from typing import NamedTuple

from amqp.exceptions import AccessRefused

#: RabbitMQ's text; before 3.12 without the right. AMQP cuts it after 255 bytes.
#: Source: rabbit_access_control:check_resource_access
_REFUSAL = re.compile(
    r"ACCESS_REFUSED - (?:(?P<right>configure|write|read) )?access to (?P<kind>queue|exchange|topic) '(?P<name>.*?)'"
    r" in (?:exchange .*? in )?vhost '(?:(?P<vhost>.*?)' refused for user '(?P<user>.*?)'.*|.*)",
    re.DOTALL,
)
#: The right that a method of AMQP needs, where the broker does not name it. A binding needs write on the queue and read
#: on the exchange.
#: Source: https://www.rabbitmq.com/docs/access-control#authorisation
_NEEDED = {"Basic.publish": "write", "Basic.consume": "read", "Basic.get": "read", "Queue.purge": "read"}
#: How the configuration, the writing and the reading are called in a sentence.
_VERBS = {"configure": "make or delete", "write": "write to", "read": "read"}


class MissingRight(NamedTuple):
    """A permission that the broker asks for."""

    #: configure, write or read.
    right: str
    #: queue, exchange or topic.
    kind: str
    #: Of the queue or the exchange, perhaps cut.
    name: str
    #: None where the broker's text was cut.
    user: str | None
    vhost: str | None

    @property
    def sentence(self) -> str:
        """What the user may not do, and which permission is missing, without a full stop."""
        user = f"the user {self.user!r}" if self.user is not None else "this user"
        where = f" in the virtual host {self.vhost!r}" if self.vhost not in {None, "/"} else ""
        name = "the default exchange" if self.name == "amq.default" else f"the {self.kind} {self.name!r}"
        return f"{user} may not {_VERBS[self.right]} {name}{where} (the permission {self.right!r} on {self.name!r})"


def missing_right(error: BaseException) -> MissingRight | None:
    """The permission because of which the broker refuses; None when `error` says something else."""
    text = str(getattr(error, "reply_text", None) or "")
    found = _REFUSAL.match(text) if isinstance(error, AccessRefused) else None
    if found is None:
        return None
    right = found["right"] or _needed(str(getattr(error, "method_name", "")), found["kind"])
    return MissingRight(right, found["kind"], found["name"], found["user"], found["vhost"])


def _needed(method: str, kind: str) -> str:
    if method in {"Queue.bind", "Queue.unbind"}:
        return "write" if kind == "queue" else "read"
    return _NEEDED.get(method, "configure")
