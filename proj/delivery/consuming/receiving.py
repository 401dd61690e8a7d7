"""Receiving: the worker's message class, which keeps the body as it came and carries what was found in it.

kombu would decompress a body to any size, and py-amqp drops the bytes of a body that it decodes to text.
"""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kombu.transport.pyamqp import Message as PyamqpMessage
from kombu.utils import json as kombu_json

from proj.broker.nack import give_back
from proj.delivery.header_names import EXCHANGE, ROUTING_KEY
from proj.delivery.serializers import decoders
from proj.delivery.validation.limits import inflates_beyond
from proj.delivery.validation.message import TooLarge
from proj.printable import shown
from proj.queues import home_queue

if TYPE_CHECKING:
    import amqp
    from kombu.transport.pyamqp import Channel

    from proj.delivery.consuming.disposition import Disposition
    from proj.delivery.consuming.redeliveries import History
    from proj.delivery.consuming.request import Request
    from proj.delivery.dispatch.dispatcher import Dispatcher
    from proj.delivery.dispatch.sources import Source
    from proj.delivery.validation.message import Contents, Refusal


JSON = "application/json"
#: kombu makes one for each message.
_decode_json = json.JSONDecoder(object_hook=kombu_json.object_hook).decode


class Settlement(Protocol):
    """What acknowledges or rejects a message in place of the channel that it came from."""

    def ack(self) -> None:
        """Acknowledge the message."""

    def reject(self, *, requeue: bool) -> None:
        """Reject the message."""


class Delivery(NamedTuple):
    """What is known of a message when it arrives; computed once."""

    #: The queue that the message came from.
    queue: str
    history: History
    #: The message as Celery reads it; None when it names no task.
    contents: Contents | None
    #: Why the message is not run; None when it is.
    refusal: Refusal | None

    @property
    def home(self) -> str:
        """The work queue that the message belongs to: its own one, or the one that it was quarantined from."""
        return home_queue(self.queue)


class KeptMessage(PyamqpMessage):
    """A message that keeps the bytes of its body, and of which only the first acknowledgement or rejection counts.

    The end of its task and the confirm of its copy both settle it, in any order.
    """

    body: Any
    #: The body as it came.
    raw_body: bytes
    #: Why the body could not be decompressed.
    body_error: BaseException | None = None
    delivery: Delivery
    #: What is done with the message besides running it.
    disposition: Disposition
    #: Set when the message is no longer acknowledged on its channel.
    settlement: Settlement | None = None
    #: Whether a copy of it is on its way to another queue, after which it is acknowledged.
    is_moving = False
    #: Celery's request for it; None before there is one.
    request: Request | None = None
    #: What gives it to the pool when a slot is free; None where Celery gives it at once.
    dispatcher: Dispatcher | None = None
    #: The consumer that it came over; None when it may not be given back to its queue.
    source: Source | None = None
    #: Whether it counts against the dispatcher's window.
    is_load = False

    def __init__(
        self,
        raw: amqp.Message,
        channel: amqp.Channel | None = None,
        *,
        disposition: Disposition,
        unsettled: dict[object, KeptMessage],
        largest_bytes: int,
    ) -> None:
        """Read py-amqp's message, whose body is not decoded yet; one above `largest_bytes` is dropped.

        A copy that a worker published says where the first sender published it.
        """
        # A message without a body has an empty text in its place.
        body: Any = raw.body or b""
        self.raw_body = body
        self.disposition = disposition
        self._unsettled = unsettled
        codec = (raw.properties.get("application_headers") or {}).get("compression")
        too_large = len(body) > largest_bytes or (codec and inflates_beyond(body, codec, largest_bytes))
        raw.body = b"" if too_large else _decoded(body, raw.properties.get("content_encoding"))
        super().__init__(raw, channel=channel)
        if too_large:
            self.body_error = TooLarge()
        elif self.errors:
            self.body_error = self.errors[0][1]
        # For a message with errors kombu would call another handler, and that twice when it raises.
        self.errors = []
        exchange, routing_key = self.headers.get(EXCHANGE), self.headers.get(ROUTING_KEY)
        if isinstance(exchange, str) and isinstance(routing_key, str):
            self.delivery_info.update(exchange=exchange, routing_key=routing_key)

    def _decode(self) -> object:
        """The body as its content type says; JSON as kombu decodes it, in half of the time."""
        accepted = self.accept is not None and self.content_type == JSON and JSON in self.accept
        # An app may have registered a decoder of its own.
        if accepted and isinstance(self.body, str) and decoders.get(JSON) is kombu_json.loads:
            with suppress(Exception):
                return _decode_json(self.body)
        # Also for what cannot be decoded: kombu's errors become the reasons.
        return super()._decode()

    @property
    def label(self) -> str:
        """The message in a log line: its task's id, or its delivery tag when it has none."""
        return shown(self.headers.get("id", self.delivery_tag))

    @property
    def can_be_settled(self) -> bool:
        """Whether the message is still ours: the broker takes it back when its channel closes."""
        if self.settlement is not None:
            return True
        return self.channel is not None and bool(self.channel.is_open)

    def ack(self, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 kombu's signature
        """Acknowledge the message, unless it is settled; kombu's own would raise then, and end the worker's loop."""
        if self.acknowledged:
            return
        if self.settlement is None:
            super().ack(multiple)
            self._settled()
        else:
            self.settlement.ack()
            self._state = "ACK"

    def was_acknowledged(self) -> None:
        """Note that a frame for several messages has acknowledged this one; the dispatcher plans after all of them."""
        self._state = "ACK"
        self._unsettled.pop(self.delivery_tag, None)
        if self.dispatcher is not None:
            self.dispatcher.note_settled(self)

    def reject(self, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 kombu's signature
        """Reject the message, unless it is settled."""
        if self.acknowledged:
            return
        if self.settlement is not None:
            self.settlement.reject(requeue=requeue)
            self._state = "REJECTED"
            return
        if requeue:
            channel: Any = self.channel
            tag: Any = self.delivery_tag
            give_back(channel, tag)
            self._state = "REQUEUED"
        else:
            super().reject(requeue)
        self._settled()

    def move_settlement(self, settlement: Settlement) -> None:
        """Acknowledge the message on its channel; from now on `settlement` is asked to acknowledge or reject it."""
        channel: Any = self.channel
        channel.basic_ack(self.delivery_tag)
        self.settlement = settlement
        self._settled()

    def requeue(self) -> None:
        """Reject the message, so that the broker delivers it again."""
        self.reject(requeue=True)

    def _settled(self) -> None:
        self._unsettled.pop(self.delivery_tag, None)
        if self.dispatcher is not None:
            self.dispatcher.settled(self)


def receive_kept_messages(
    channel: Channel, *, disposition: Disposition, unsettled: dict[object, KeptMessage], largest_bytes: int
) -> None:
    """Let kombu make every message of the channel a `KeptMessage`, which is in `unsettled` until it is settled."""
    # py-amqp would decode a body as its content encoding says, and drop the bytes.
    channel.auto_decode = False
    channel.Message = partial(  # type: ignore[assignment] # kombu only calls it
        KeptMessage, disposition=disposition, unsettled=unsettled, largest_bytes=largest_bytes
    )


def _decoded(body: bytes, encoding: str | None) -> bytes | str:
    """The body as py-amqp's channel decodes it; where that fails, the bytes are left to the content type's decoder."""
    try:
        if encoding == "utf-8":
            return body.decode()
        # These two take the square of the body's length.
        if encoding is None or codecs.lookup(encoding).name in {"idna", "punycode"}:
            return body
        return body.decode(encoding)
    except Exception:  # noqa: BLE001 a codec raises anything, and most of these bodies are no text
        return body
