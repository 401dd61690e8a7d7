"""Where a message enters the worker: what py-amqp and kombu do with it before Celery, made safe.

py-amqp reads a message's properties while it reads frames. Some it cannot read (a time in the year 292 billion, tables
in a thousand tables, a text property that is not UTF-8): that is an error of the connection's reader, and ends the
worker. kombu decompresses a body whatever it becomes.
"""

from __future__ import annotations

import base64
import codecs
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from kombu.transport.pyamqp import Message as KombuMessage

from proj.delivery.header_names import RAW_PROPERTIES, UNREADABLE
from proj.delivery.printable import shown
from proj.delivery.validation.limits import inflates_beyond
from proj.delivery.validation.message import TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

#: AMQP's type of a frame with a message's properties, and the bytes in it before them: class, weight and body size.
#: Source: AMQP 0-9-1, 4.2.6.1.
_HEADER_FRAME = 2
_HEADER_PREFIX_BYTES = 12
#: Bytes of unreadable properties that are kept: in base64 they must fit into one frame again.
_KEPT_BYTES = 49_152


class KeptMessage(KombuMessage):
    """A message that may be settled twice: by its task's end, and when its copy is safe, in whichever order."""

    def ack_log_error(self, logger: Any, errors: Any, multiple: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 kombu's signature
        """As kombu's, once; a second time it would raise into the worker's loop, and end it."""
        if not self.acknowledged:
            super().ack_log_error(logger, errors, multiple)

    def reject_log_error(self, logger: Any, errors: Any, requeue: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002 kombu's signature
        """As kombu's, once."""
        if not self.acknowledged:
            super().reject_log_error(logger, errors, requeue)


def tolerate(connection: Any) -> None:  # noqa: ANN401 py-amqp's connection
    """Let the connection give out a message with unreadable properties, with a header that says so in their place."""
    stock = connection.on_inbound_frame

    def on_inbound_frame(frame: tuple[int, int, Any]) -> Any:  # noqa: ANN401 py-amqp's own answer
        kind, channel, content = frame
        if kind != _HEADER_FRAME:
            return stock(frame)
        try:
            return stock(frame)
        except Exception as error:  # noqa: BLE001 whatever a stranger's properties make a parser raise
            # The reader has changed nothing yet but the body's size, so it can be given the frame once more.
            return stock((kind, channel, _readable(bytes(content), error)))

    connection.on_inbound_frame = on_inbound_frame


def receiver(
    consumer: Any,  # noqa: ANN401 kombu's consumer
    *,
    largest_bytes: int,
    label: Callable[[Any], None],
) -> Callable[[Any], None]:
    """In place of `kombu.Consumer._receive_callback`; `label` is given each message before anything else is.

    The message keeps its body as it came, for a copy must have the same.
    """
    # py-amqp would decode it as its content encoding says, and drop the bytes.
    consumer.channel.auto_decode = False
    consumer.channel.Message = KeptMessage

    def receive(raw: Any) -> None:  # noqa: ANN401 py-amqp's message
        # A message without a body has an empty text in its place.
        body = raw.body or b""
        codec = (raw.properties.get("application_headers") or {}).get("compression")
        too_large = len(body) > largest_bytes or (codec and inflates_beyond(body, codec, largest_bytes))
        raw.body = b"" if too_large else _decoded(body, raw.properties.get("content_encoding"))
        message = consumer.channel.message_to_python(raw)
        message.raw_body = body
        if too_large:
            message.errors[:] = [(TooLarge, TooLarge(), None)]
        message.accept = consumer.accept
        label(message)
        consumer.on_message(message)

    return receive


def _decoded(body: bytes, encoding: Any) -> bytes | str:  # noqa: ANN401 a stranger's property
    """As py-amqp's channel decodes it: where that fails, the bytes are left to the decoder of their content type."""
    try:
        # Both take the square of the body's length.
        if codecs.lookup(encoding).name in {"idna", "punycode"}:
            return body
        return body.decode(encoding)
    except Exception:  # noqa: BLE001 a codec raises what it likes, and most of these bodies are no text
        return body


def _readable(content: bytes, error: Exception) -> bytes:
    """A frame of the same message with one table of headers, which says what was wrong with its properties."""
    kept = base64.b64encode(content[_HEADER_PREFIX_BYTES:][:_KEPT_BYTES]).decode()
    substitute = Message(application_headers={UNREADABLE: shown(error), RAW_PROPERTIES: kept})
    properties: bytes = substitute._serialize_properties()  # type: ignore[attr-defined] # unlike celery-types # noqa: SLF001 nothing public writes properties alone
    return content[:_HEADER_PREFIX_BYTES] + properties
