"""The stack of a thread or a greenlet, seen from another thread: what call of a broker connection it is in."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kombu.utils.compat import detect_environment

from proj.broker.frame_reader import FrameReader

if TYPE_CHECKING:
    from types import FrameType

#: The module in which py-amqp reads and writes its sockets.
TRANSPORT_MODULE = "amqp.transport"
#: What reads the socket that a worker consumes from: only this part of the reader may take long.
_RECEIVE = FrameReader.receive.__code__


class TransportCall(NamedTuple):
    """A call that reads or writes a socket of py-amqp; equal for as long as it makes no progress."""

    #: The frame itself and not its address, which the next call may have again.
    frame: FrameType
    #: The index of its last instruction.
    instruction: int
    #: Bytes that it has read.
    received: int
    transport: object


def transport_call(frame: FrameType | None) -> TransportCall | None:
    """The innermost call that reads or writes a socket on the stack that `frame` is the top of; None without one."""
    while frame is not None:
        is_transport = frame.f_globals.get("__name__") == TRANSPORT_MODULE and "self" in frame.f_locals
        if is_transport or frame.f_code is _RECEIVE:
            variables = frame.f_locals
            return TransportCall(frame, frame.f_lasti, len(variables.get("rbuf", b"")), variables["self"])
        frame = frame.f_back
    return None


class WatchedStack(Protocol):
    """The stack of what is watched."""

    @property
    def has_ended(self) -> bool:
        """Whether what is watched has ended."""

    def top(self) -> FrameType | None:
        """The innermost frame; None when there is none."""


class StackOfThread:
    """The stack of a thread."""

    def __init__(self, thread: threading.Thread) -> None:
        """Watch `thread`, and not its id, which the next thread may have when it has ended."""
        self._thread = thread

    @property
    def has_ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def top(self) -> FrameType | None:
        """Its innermost frame; None when it has ended."""
        frame = sys._current_frames().get(self._thread.ident or 0)  # noqa: SLF001 its only name
        # After the look, because the id may have been given away until then.
        return None if self.has_ended else frame


class StackOfGreenlet:
    """The stack of a greenlet, in a worker with the pool gevent or eventlet."""

    def __init__(self, greenlet: Greenlet) -> None:
        """Watch `greenlet`."""
        self._greenlet = greenlet

    @property
    def has_ended(self) -> bool:
        """Whether the greenlet has ended."""
        return self._greenlet.dead

    def top(self) -> FrameType | None:
        """Its innermost frame; None when it has ended, or runs now and so waits for nobody."""
        return self._greenlet.gr_frame


class Greenlet(Protocol):
    """What is used of `greenlet.greenlet`."""

    @property
    def dead(self) -> bool:
        """Whether it has ended."""

    @property
    def gr_frame(self) -> FrameType | None:
        """Its innermost frame while it is suspended."""


def stack_of_caller() -> WatchedStack:
    """The stack of the calling thread, or of the calling greenlet where gevent or eventlet run threads as greenlets."""
    if detect_environment() == "default":
        return StackOfThread(threading.current_thread())
    # Both libraries have it.
    return StackOfGreenlet(import_module("greenlet").getcurrent())
