"""Which messages a worker leases, without a broker."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.consuming import lease
from proj.delivery.consuming.lease import SHARE, Leases
from proj.delivery.recovery.unblocked_publisher import PublishersBlocked
from tests.unit.delivery.consuming.received import received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.consuming.receiving import KeptMessage

TIMEOUT_S = 1000.0


class Worker:
    """Leases, the clock that they read, and the messages that the worker holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.unsettled: dict[object, KeptMessage] = {}
        self.asked: list[object] = []
        consumer: Any = SimpleNamespace(
            app=None,
            held=SimpleNamespace(unsettled=self.unsettled),
            prefetch=SimpleNamespace(adjust=lambda: None),
        )
        timeouts: Any = SimpleNamespace(of=lambda _message: SimpleNamespace(lease_within_s=TIMEOUT_S))
        self.leases = Leases(consumer, timeouts, TIMEOUT_S)
        vars(self.leases)["_thread"] = SimpleNamespace(ask=self.asked.append, start=lambda: None)

    def look(self, now: float) -> int:
        """Look at a time, and count the leases that are taken."""
        self.now = now
        before = len(self.asked)
        self.leases.look()
        return len(self.asked) - before


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def test_message_is_leased_when_it_may_have_been_held_for_most_of_its_timeout(worker: Worker) -> None:
    """It counts from the last look before it was seen: it may have come just after that."""
    worker.look(100)
    worker.unsettled[1] = received()

    assert worker.look(200) == 0
    assert worker.look(100 + SHARE * TIMEOUT_S - 1) == 0
    assert worker.look(100 + SHARE * TIMEOUT_S) == 1


def test_message_of_a_new_connection_counts_from_the_connection_on(worker: Worker) -> None:
    """Nobody looked while the worker had none, and delivery tags begin again."""
    worker.unsettled[1] = received()
    worker.look(100)
    worker.now = 5000
    worker.leases.begin()

    assert worker.look(5100) == 0
    assert worker.look(5000 + SHARE * TIMEOUT_S) == 1


@pytest.mark.parametrize("is_moving", [True, False])
def test_message_that_is_about_to_be_settled_is_not_leased(worker: Worker, *, is_moving: bool) -> None:
    """A copy of it is on its way, or its task has ended."""
    message: Any = received()
    message.is_moving = is_moving
    message.request = SimpleNamespace(acknowledged=not is_moving)
    worker.unsettled[1] = message

    assert worker.look(5000) == 0


def test_lease_is_held_when_the_broker_takes_no_copy_and_is_renewed_when_it_does(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that a consumer holds does not expire, and a second copy of it would be a second run."""
    done: list[str] = []
    is_blocked = True

    @contextmanager
    def publisher() -> Iterator[None]:
        if is_blocked:
            raise PublishersBlocked
        yield None

    held: Any = SimpleNamespace(renew=lambda *_: done.append("renewed"), hold=lambda _: done.append("held"))
    monkeypatch.setattr(worker.leases, "publisher", publisher)
    monkeypatch.setattr(worker.leases, "adjust_prefetch", lambda: None)
    worker.leases.held["lease"] = held

    for now in (1000, 2000, 3000):
        assert worker.look(now) == 1
        renew: Any = worker.asked[-1]
        renew(None)
        is_blocked = now < 2000

    assert done == ["held", "held", "renewed"]
