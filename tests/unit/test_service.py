"""Waiting for an event that another thread sets."""

from __future__ import annotations

import threading

from proj.lab.processes.waiting import wait_until
from proj.service import await_event


def test_event_is_awaited_without_its_lock() -> None:
    """A wait that is interrupted in the middle could keep the event's lock, and no thread could set the event."""
    event, answers = threading.Event(), []

    def wait() -> None:
        answers.append(await_event(event, 0.05))
        answers.append(await_event(event, 5))

    waiting = threading.Thread(target=wait)
    with event._cond:  # type: ignore[attr-defined] # noqa: SLF001 what an interrupted wait would leave taken
        waiting.start()
        wait_until(lambda: answers == [False], what="the first answer", timeout_s=5)
    event.set()
    waiting.join(5)

    assert answers == [False, True]
