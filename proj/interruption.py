"""Interruptions: a signal only leaves a note, and the next wait of the main thread ends the command.

Python runs a signal handler between any two bytecodes of the main thread. An exception raised there can be lost in a
destructor, can leave a lock locked (cpython#74174), and can make a library lose what it has half read: py-amqp loses
the head of a frame, and then waits for as many bytes as the frame's body seems to announce. So the handler raises
nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

#: Seconds after the first signal from which another one ends the command wherever it is: it hangs in a call.
PATIENCE_S = 2.0

#: When each signal came that no wait has noticed yet (`time.monotonic`).
_noted: list[float] = []


def note_signal(_number: int, _frame: FrameType | None) -> None:
    """The handler of a signal that ends the command.

    Raises:
        KeyboardInterrupt: an earlier signal has not been noticed for `PATIENCE_S`.
    """
    now = time.monotonic()
    _noted.append(now)
    if now - _noted[0] > PATIENCE_S:
        raise KeyboardInterrupt


def raise_if_interrupted() -> None:
    """Let a wait of the main thread end when a signal came, once for each time; other threads go on.

    Raises:
        KeyboardInterrupt: a signal came since the last call.
    """
    if _noted and threading.current_thread() is threading.main_thread():
        _noted.clear()
        raise KeyboardInterrupt


def forget_signals() -> None:
    """Forget the signals that no wait has noticed: the command has ended, or begins."""
    _noted.clear()
