"""When the results of a worker's tasks are published, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.results import worker_results
from proj.delivery.results.worker_results import LONGEST_S, TOGETHER, WorkerResults

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """The worker's loop, whose turns and time the test plays."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.later.append((seconds, call))

    def turn(self) -> None:
        calls, self.soon = self.soon, []
        for call in calls:
            call()


class Sender:
    """A sender that only notes how many results it publishes together."""

    def __init__(self, _app: object, _on_lost: object) -> None:
        self.waiting = 0
        self.published: list[int] = []

    def add(self, results: list[object], _settled: object) -> None:
        self.waiting += len(results)

    def wake(self) -> None:
        self.published.append(self.waiting)
        self.waiting = 0


class Worker(SimpleNamespace):
    """A worker that holds messages while `is_busy`."""

    def __init__(self) -> None:
        loop: Any = Loop()
        anything: Any = SimpleNamespace(connection_for_write=lambda: None)
        super().__init__(loop=loop, is_busy=True)
        self.results = WorkerResults(anything, loop, anything, requests=(), may_wait=lambda: self.is_busy)
        self.sender: Sender = self.results._sender  # type: ignore[assignment] # noqa: SLF001 the one of the test

    def end_task(self) -> None:
        result: Any = object()
        self.results.send([result], lambda: None)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(worker_results, "can_hand_over", lambda *_: True)
    monkeypatch.setattr(worker_results, "hand_over", lambda *_: None)
    monkeypatch.setattr(worker_results, "Sender", Sender)
    return Worker()


def test_result_is_published_at_once_when_the_worker_has_nothing_else_to_do(worker: Worker) -> None:
    """Its caller waits for it, and no other result comes."""
    worker.is_busy = False

    worker.end_task()
    worker.loop.turn()

    assert worker.sender.published == [1]


def test_results_are_published_together_while_the_worker_holds_messages(worker: Worker) -> None:
    """The sender's thread is not woken for each of them."""
    for _ in range(TOGETHER):
        worker.end_task()
        worker.loop.turn()

    assert worker.sender.published == [TOGETHER]


def test_result_waits_for_others_for_a_few_milliseconds_only(worker: Worker) -> None:
    """One timer is set, and what has come until then is published."""
    for _ in range(2):
        worker.end_task()
        worker.loop.turn()

    ((seconds, due),) = worker.loop.later
    assert seconds == LONGEST_S
    assert worker.sender.published == []
    due()
    assert worker.sender.published == [2]


def test_last_result_takes_those_with_it_that_wait(worker: Worker) -> None:
    """When nothing is held any more, nothing waits for the timer."""
    worker.end_task()
    worker.loop.turn()
    worker.is_busy = False
    worker.end_task()
    worker.loop.turn()

    assert worker.sender.published == [2]
