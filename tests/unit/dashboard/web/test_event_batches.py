"""Events reach Flower's loop in order and all of them, and leave it time for pages."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from proj.dashboard.web.event_batches import SLICE_S, EventBatches
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """A loop that runs what it is given when it is told to."""

    def __init__(self) -> None:
        self.callbacks: deque[Callable[[], None]] = deque()

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def run_one(self) -> None:
        self.callbacks.popleft()()

    def run(self) -> None:
        while self.callbacks:
            self.run_one()


def handover(loop: Loop, take: Callable[[dict[str, Any]], None], *, event_s: float = 0.0) -> EventBatches:
    """One whose clock says that each event takes `event_s`."""
    clock = itertools.count(step=event_s)
    return EventBatches(loop, take, clock=lambda: next(clock))  # type: ignore[arg-type] # as much of a loop as it uses


def test_many_events_wake_the_loop_once() -> None:
    """A wake-up costs more than what Flower does with the event."""
    loop, taken = Loop(), list[dict[str, Any]]()
    handed = handover(loop, taken.append)

    for number in range(100):
        handed.put({"number": number})

    assert len(loop.callbacks) == 1
    loop.run()
    assert taken == [{"number": number} for number in range(100)]


def test_loop_has_a_turn_for_pages_between_slices_of_events() -> None:
    """A request does not wait for all events that came before it."""
    loop, taken = Loop(), list[dict[str, Any]]()
    handed = handover(loop, taken.append, event_s=SLICE_S / 10)
    for number in range(25):
        handed.put({"number": number})
    loop.add_callback(lambda: taken.append({"page": 1}))

    loop.run()

    assert taken.index({"page": 1}) == 10
    assert [event for event in taken if "number" in event] == [{"number": number} for number in range(25)]


def test_event_that_flower_stumbles_over_keeps_none_behind_it() -> None:
    """The loop logs the error; the others are taken."""
    taken: list[int] = []

    def take(event: dict[str, Any]) -> None:
        if event["number"] == 1:
            raise ValueError("what no page can show")
        taken.append(event["number"])

    loop = Loop()
    handed = handover(loop, take)
    for number in range(4):
        handed.put({"number": number})

    with pytest.raises(ValueError, match="no page"):
        loop.run_one()
    loop.run()

    assert taken == [0, 2, 3]


def test_no_event_is_left_when_it_is_put_while_the_loop_takes_others() -> None:
    """The two threads never miss each other."""
    loop, taken = Loop(), list[dict[str, Any]]()
    handed = EventBatches(loop, taken.append)  # type: ignore[arg-type] # as much of a loop as it uses
    putting = threading.Thread(target=lambda: [handed.put({"number": number}) for number in range(20_000)])
    putting.start()

    wait_until(lambda: loop.run() or not putting.is_alive(), what="all events to be put", timeout_s=60)
    loop.run()

    assert taken == [{"number": number} for number in range(20_000)]
