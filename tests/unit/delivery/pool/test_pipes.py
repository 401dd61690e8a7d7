"""What the pool's pipes carry, taken apart."""

from __future__ import annotations

import struct

import pytest

from proj.delivery.pool.pipes import split

MESSAGES = [b"one", b"", b"a longer message"]
DATA = b"".join(struct.pack(">i", len(message)) + message for message in MESSAGES)


@pytest.mark.parametrize("cut", range(len(DATA) + 1))
def test_messages_are_whole_wherever_the_data_was_cut(cut: int) -> None:
    """A read may end within a message, or within its header; the rest comes with the next read."""
    first, rest = split(DATA[:cut])
    second, nothing = split(rest + DATA[cut:])

    assert first + second == MESSAGES
    assert nothing == b""
