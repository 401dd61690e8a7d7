"""Several consumers in threads of one process."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from proj.messaging.consumer import Consumer


def launch(*consumers: Consumer) -> None:
    """Run each in a thread of its own, and return when all have ended.

    None begins before all consume: a pill that waits already would else end the first before the second is there, and
    that one would wait for ever.

    Ctrl-C and SIGTERM stop them in order: what each has in hand is finished. A second one ends the process as ever, and
    what was in hand goes back. When one fails, the others are stopped.

    Raises:
        what the first that failed has raised.
    """
    errors: list[BaseException] = []
    here: set[int] = set()

    def run(number: int, consumer: Consumer) -> None:
        def all_are_here() -> bool:
            here.add(number)
            return len(here) == len(consumers)

        consumer.input.may_begin = all_are_here
        try:
            consumer.start()
        except BaseException as error:  # noqa: BLE001 it is raised again by the thread that waits
            errors.append(error)
            _stop(consumers)
        finally:
            # Who has ended is waited for no more.
            here.add(number)

    # Daemons, so that a second Ctrl-C ends the process.
    threads = [
        threading.Thread(target=run, args=(number, one), name=one.name, daemon=True)
        for number, one in enumerate(consumers)
    ]
    with _stopped_by_signals(consumers):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for consumer in consumers:
        # Those that had ended when the others were stopped would end at once the next time.
        consumer.input.forget_stop()
    if errors:
        raise errors[0]


def _stop(consumers: Sequence[Consumer]) -> None:
    for consumer in consumers:
        consumer.stop()


@contextmanager
def _stopped_by_signals(consumers: Sequence[Consumer]) -> Iterator[None]:
    """Only the main thread may set what a signal does; elsewhere whoever launched calls `stop`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier: dict[signal.Signals, Any] = {}

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        _stop(consumers)

    earlier.update({number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)})
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
