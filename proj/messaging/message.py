"""One message from a queue: its body, its properties, and its acknowledgement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from proj.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settlement(Protocol):
    """The connection a message came from, which acknowledges or requeues it."""

    def ack(self, tag: int) -> None:
        """Acknowledge the message."""
        ...

    def give_back(self, tag: int) -> None:
        """Requeue the message."""
        ...


class Message:
    """A message that this process has, until it is acknowledged or given back."""

    def __init__(
        self, body: bytes, properties: Mapping[str, Any], *, tag: int, redelivered: bool, settlement: Settlement
    ) -> None:
        """Hold what the broker has delivered."""
        self.body = body
        #: AMQP's, by py-amqp's names: `message_id`, `content_type`, `application_headers` and so on.
        self.properties = properties
        #: Whether it was delivered before; that consumer may have worked on it.
        self.redelivered = redelivered
        #: Whether it was acknowledged or given back.
        self.settled = False
        self._tag = tag
        self._settlement = settlement

    @property
    def text(self) -> str:
        """The body as text.

        Raises:
            InvalidMessage: it is not UTF-8.
        """
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise InvalidMessage(
                f"The message {self.body[:80]!r} is not UTF-8 text; its `body` has the bytes."
            ) from None

    @property
    def headers(self) -> Mapping[str, Any]:
        """Its headers; an empty mapping when it has none."""
        return self.properties.get("application_headers") or {}

    def ack(self) -> None:
        """Acknowledge it: the work is done, and the broker deletes it. A second call does nothing.

        When the connection was lost meanwhile, this has no effect: the broker delivers the message again.
        """
        if not self.settled:
            self.settled = True
            self._settlement.ack(self._tag)

    def give_back(self) -> None:
        """Requeue it for the next consumer, which may be this one. After `ack`, or a second time, it does nothing."""
        if not self.settled:
            self.settled = True
            self._settlement.give_back(self._tag)

    def __str__(self) -> str:
        """The text for people: bytes that are not UTF-8 are replaced."""
        return self.body.decode(errors="replace")

    def __repr__(self) -> str:
        """Its class and the start of its body."""
        return f"<{type(self).__name__} {self.body[:80]!r}>"
