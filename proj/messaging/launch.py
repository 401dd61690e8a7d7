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
    """Run each consumer in a thread of its own, and return when all have ended.

    No consumer starts its work before all of them consume. Otherwise a pill that waits already would end the first
    consumer before the second consumes, and the second would wait for ever.

    Ctrl-C and SIGTERM stop the consumers in order: each finishes its current message. A second signal ends the process
    at once, and the current messages go back to their queues. When one consumer fails, the others are stopped.

    Raises:
        Exception: what the first consumer that failed has raised.
    """
    errors: list[BaseException] = []
    ready: set[int] = set()

    def run(number: int, consumer: Consumer) -> None:
        def all_are_ready() -> bool:
            ready.add(number)
            return len(ready) == len(consumers)

        consumer.input.may_begin = all_are_ready
        try:
            consumer.start()
        except BaseException as error:  # noqa: BLE001 the waiting thread raises it again
            errors.append(error)
            _stop(consumers)
        finally:
            # The others need not wait for a consumer that has ended.
            ready.add(number)

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
        # A consumer that had ended before the others were stopped would otherwise end at once at its next start.
        consumer.input.forget_stop()
    if errors:
        raise errors[0]


def _stop(consumers: Sequence[Consumer]) -> None:
    for consumer in consumers:
        consumer.stop()


@contextmanager
def _stopped_by_signals(consumers: Sequence[Consumer]) -> Iterator[None]:
    """Let signals stop the consumers in this block; only the main thread may do this, other threads call `stop`."""
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
