"""What kombu and py-amqp encode with, and tell nobody: the registered serializers, and a message's properties."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from kombu.serialization import registry  # type: ignore[attr-defined] # celery-types lacks it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu.serialization import codec

#: What encodes for each serializer, by its name; kombu's own, so it changes with what is registered.
encoders: Mapping[str, codec] = registry._encoders  # noqa: SLF001 no public name
#: What decodes each content type; kombu's own, too.
decoders: Mapping[str, Callable[[bytes | str], Any]] = registry._decoders  # noqa: SLF001 no public name


class _Serializable(Protocol):
    """What celery-types leaves out of py-amqp's messages."""

    def _serialize_properties(self) -> bytes: ...


def encoded_properties(message: object) -> bytes:
    """The properties of a message of py-amqp, or of one that stands in for it, as they follow the body's size."""
    return cast("_Serializable", message)._serialize_properties()  # noqa: SLF001 py-amqp's writer calls it too
