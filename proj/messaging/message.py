"""One message as it came from a queue: its body, and what is to become of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from proj.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Mapping


class Settlement(Protocol):
    """Where a message came from, and is settled."""

    def ack(self, tag: int) -> None:
        """Tell the broker that the message is done."""
        ...

    def give_back(self, tag: int) -> None:
        """Tell the broker to give the message to whoever is next."""
        ...


class Message:
    """A message that this process has, until it is acknowledged or given back."""

    def __init__(
        self, body: bytes, properties: Mapping[str, Any], *, tag: int, redelivered: bool, settlement: Settlement
    ) -> None:
        """Take what the broker has said of it."""
        self.body = body
        #: AMQP's, by py-amqp's names: `message_id`, `content_type`, `application_headers` and so on.
        self.properties = properties
        #: Whether it was given to a consumer before; that one may have worked on it.
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
        """Its headers, none when it has none."""
        return self.properties.get("application_headers") or {}

    def ack(self) -> None:
        """Acknowledge it: it is done, and the broker forgets it. Once; a second time does nothing.

        When the connection has been lost meanwhile, the broker gives the message out again, and this cannot help it.
        """
        if not self.settled:
            self.settled = True
            self._settlement.ack(self._tag)

    def give_back(self) -> None:
        """Let the broker give it to whoever is next, which may be this consumer. Once, and not after `ack`."""
        if not self.settled:
            self.settled = True
            self._settlement.give_back(self._tag)

    def __str__(self) -> str:
        """The text for people: what is not UTF-8 in it is replaced."""
        return self.body.decode(errors="replace")

    def __repr__(self) -> str:
        """Its kind and its body."""
        return f"<{type(self).__name__} {self.body[:80]!r}>"
