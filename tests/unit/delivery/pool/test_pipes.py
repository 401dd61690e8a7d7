"""What the pool's pipes carry, taken apart."""

from __future__ import annotations

import pickle
import select
import struct
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.pool.pipes import ResultHandler, in_one_write, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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

    # Made as Celery makes it: Python's thread, which it is, sets attributes of its own, such as `_handle` in 3.13.
    of_celery: Any = ResultHandler
    handler = of_celery(*[None] * 9, fileno_to_outq={}, on_process_alive=None)
    handler.on_state_change = on_state_change
    handle: Callable[[Iterator[bytes]], None] = handler._handle_all  # noqa: SLF001 the part that reads no pipe

    with pytest.raises(ConnectionError):
        handle(iter([pickle.dumps(each) for each in ("first", "lost", "last")]))
    assert handled == ["first", "lost", "last"]


@pytest.mark.parametrize("size", [1, 4000, 4092, 4093, 100_000])
def test_task_is_written_in_one_call_only_where_the_kernel_takes_all_or_nothing(size: int) -> None:
    """Celery goes on with the body when a header was written, also when that was only a part of both."""
    header, body = struct.pack(">I", size), b"x" * size

    first, second, left = in_one_write(memoryview(header), memoryview(body), size)

    assert bytes(first) + bytes(second) == header + body
    assert left == len(second)
    assert len(first) == 4 or len(first) <= select.PIPE_BUF
