"""How large a compressed body would become: a few kilobytes can ask for all of a worker's memory."""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: What kombu's header `compression` may say, of the codecs that every Python has. The others are optional
#: packages, which the owner of the worker chose to install.
_DECOMPRESSORS: Mapping[str, Callable[[], Any]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
}


def inflates_beyond(body: bytes, codec: object, limit_bytes: int) -> bool:
    """Whether the body is compressed with a known codec and has more than `limit_bytes` when it is not."""
    make = _DECOMPRESSORS.get(codec) if isinstance(codec, str) else None
    if make is None:
        return False
    try:
        return len(make().decompress(body, limit_bytes + 1)) > limit_bytes
    except (EOFError, OSError, ValueError, lzma.LZMAError, zlib.error):
        # Not compressed at all; kombu finds that out too, and its error is the reason.
        return False
