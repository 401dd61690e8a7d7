"""What services share: how one waits for what another thread says."""

from __future__ import annotations

import threading

from proj.lab.processes.waiting import wait_until
from proj.service import await_event


def test_event_is_awaited_without_its_lock() -> None:
    """An interruption in the middle of a wait would keep the lock, and nobody could set the event any more."""
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
