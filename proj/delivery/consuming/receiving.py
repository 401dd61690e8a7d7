"""Where a message enters the worker: kombu would decompress its body to any size, and drop the bytes as they came."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from kombu.transport.pyamqp import Message as KombuMessage

from proj.delivery.validation.limits import inflates_beyond
from proj.delivery.validation.message import TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable


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
