"""kombu's serializers: the functions that an app has registered, which kombu itself calls by name only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu.serialization import registry  # type: ignore[attr-defined] # celery-types lacks it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kombu.serialization import codec

#: What encodes for each serializer, by its name; kombu's own, so it changes with what is registered.
encoders: Mapping[str, codec] = registry._encoders  # noqa: SLF001 no public name
#: What decodes each content type; kombu's own, too.
decoders: Mapping[str, Callable[[bytes | str], Any]] = registry._decoders  # noqa: SLF001 no public name
