"""All events reach Flower's loop in order, and leave it time for requests."""

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
    """A loop that runs its callbacks when a test says so."""

    def __init__(self) -> None:
        self.callbacks: deque[Callable[[], None]] = deque()

    def add_callback(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def run_one(self) -> None:
        self.callbacks.popleft()()

    def run(self) -> None:
        while self.callbacks:
            self.run_one()


def batches_of(loop: Loop, take: Callable[[dict[str, Any]], None], *, event_s: float = 0.0) -> EventBatches:
    """Batches whose clock says that each event takes `event_s`."""
    clock = itertools.count(step=event_s)
    return EventBatches(loop, take, clock=lambda: next(clock))


def test_many_events_wake_the_loop_once() -> None:
    """A wake-up costs more than the processing of an event."""
    loop, taken = Loop(), list[dict[str, Any]]()
    batches = batches_of(loop, taken.append)

    for number in range(100):
        batches.put({"number": number})

    assert len(loop.callbacks) == 1
    loop.run()
    assert taken == [{"number": number} for number in range(100)]


def test_loop_serves_requests_between_slices_of_events() -> None:
    """A request does not wait for all events before it."""
    loop, taken = Loop(), list[dict[str, Any]]()
    batches = batches_of(loop, taken.append, event_s=SLICE_S / 10)
    for number in range(25):
        batches.put({"number": number})
    loop.add_callback(lambda: taken.append({"page": 1}))

    loop.run()

    assert taken.index({"page": 1}) == 10
    assert [event for event in taken if "number" in event] == [{"number": number} for number in range(25)]


def test_event_that_fails_in_flower_does_not_hold_up_the_next_ones() -> None:
    """The loop logs the error, and the other events are processed."""
    taken: list[int] = []

    def take(event: dict[str, Any]) -> None:
        if event["number"] == 1:
            raise ValueError("what no page can show")
        taken.append(event["number"])

    loop = Loop()
    batches = batches_of(loop, take)
    for number in range(4):
        batches.put({"number": number})

    with pytest.raises(ValueError, match="no page"):
        loop.run_one()
    loop.run()

    assert taken == [0, 2, 3]


def test_event_that_is_put_while_the_loop_takes_others_is_not_left() -> None:
    """No event of the other thread waits for ever."""
    loop, taken = Loop(), list[dict[str, Any]]()
    batches = EventBatches(loop, taken.append)
    putting = threading.Thread(target=lambda: [batches.put({"number": number}) for number in range(20_000)])
    putting.start()

    wait_until(lambda: loop.run() or not putting.is_alive(), what="all events to be put", timeout_s=60)
    loop.run()

    assert taken == [{"number": number} for number in range(20_000)]
