"""Ends a command in order when Ctrl-C, SIGTERM or a hang-up asks for it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from proj.interruption import forget_signals, note_signal, raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The exit code of a command that Ctrl-C ended, as shells report it.
EXIT_INTERRUPTED = 130


class Interrupted(click.ClickException):
    """The user or the system asked the command to end."""

    exit_code = EXIT_INTERRUPTED


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """A block that Ctrl-C, SIGTERM and SIGHUP end alike: its next wait raises `KeyboardInterrupt`.

    Raises:
        Interrupted: a signal came; the error says `message`.
    """
    forget_signals()
    earlier = {number: signal.signal(number, note_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
        raise_if_interrupted()
    except KeyboardInterrupt as interruption:
        raise Interrupted(message) from interruption
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        forget_signals()
