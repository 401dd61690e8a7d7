"""What the pool's pipes carry, taken apart."""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.pool.pipes import ResultHandler, split

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = [b"one", b"", b"a longer message"]
DATA = b"".join(struct.pack(">i", len(message)) + message for message in MESSAGES)


@pytest.mark.parametrize("cut", range(len(DATA) + 1))
def test_messages_are_whole_wherever_the_data_was_cut(cut: int) -> None:
    """A read may end within a message, or within its header; the rest comes with the next read."""
    first, rest = split(DATA[:cut])
    second, nothing = split(rest + DATA[cut:])

    assert first + second == MESSAGES
    assert nothing == b""


def test_message_after_one_that_failed_is_handled() -> None:
    """Both were read together, and the process sends neither again."""
    handled: list[Any] = []

    def on_state_change(message: Any) -> None:
        handled.append(message)
        if message == "lost":
            raise ConnectionError

    handler: Any = object.__new__(ResultHandler)
    handler.on_state_change = on_state_change
    handle: Callable[[list[bytes]], None] = handler._handle  # noqa: SLF001 the part that reads no pipe

    with pytest.raises(ConnectionError):
        handle([pickle.dumps(each) for each in ("first", "lost", "last")])
    assert handled == ["first", "lost", "last"]
