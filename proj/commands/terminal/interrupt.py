"""Interruptions: SIGTERM and a hang-up end a command as Ctrl-C does, in order."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: What a shell reports of a command that Ctrl-C ended.
EXIT_INTERRUPTED = 130


class Interrupted(click.ClickException):
    """The user, or the system, asked the command to end."""

    exit_code = EXIT_INTERRUPTED


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Let the block be ended by Ctrl-C, SIGTERM or SIGHUP alike: it unwinds, then `message` is said.

    Raises:
        Interrupted: it was.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    earlier = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except KeyboardInterrupt as interruption:
        raise Interrupted(message) from interruption
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
