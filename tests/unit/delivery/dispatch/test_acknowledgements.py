"""Which frames acknowledge which messages, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from proj.broker.version import BrokerVersion
from proj.delivery.dispatch.acknowledgements import Acknowledgements

if TYPE_CHECKING:
    from collections.abc import Callable


class Worker(SimpleNamespace):
    """A consumer that has received messages with the tags 1 to 5; `frames` has what its channel wrote."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bool]] = []
        self.turns: list[Callable[[], None]] = []
        channel = SimpleNamespace(basic_ack=lambda tag, *, multiple=False: self.frames.append((tag, multiple)))
        super().__init__(
            channel=channel,
            connection_errors=(ConnectionError,),
            dispatcher=None,
            held=SimpleNamespace(unsettled={}),
            hub=SimpleNamespace(call_soon=self.turns.append, call_later=lambda _s, turn: self.turns.append(turn)),
            broker_version=BrokerVersion(3, 10),
        )
        for tag in range(1, 6):
            self.held.unsettled[tag] = self.message(tag)

    def message(self, tag: int) -> Any:
        def settle() -> None:
            del self.held.unsettled[tag]

        def ack() -> None:
            self.channel.basic_ack(tag)
            settle()

        return SimpleNamespace(
            delivery_tag=tag,
            settlement=None,
            acknowledged=False,
            channel=self.channel,
            was_acknowledged=settle,
            ack=ack,
        )


@pytest.mark.parametrize(
    ("ended", "frames"),
    [
        ([1, 2, 3], [(3, True)]),
        ([3, 1, 2], [(3, True)]),
        ([1], [(1, False)]),
        ([1, 2, 4], [(2, True), (4, False)]),
        ([2, 3], [(2, False), (3, False)]),
    ],
)
def test_one_frame_acknowledges_several_messages_only_up_to_the_first_that_goes_on(
    ended: list[int], frames: list[tuple[int, bool]]
) -> None:
    """A frame for several takes in every earlier message, and one of a running task would be lost with its worker."""
    worker: Any = Worker()
    acknowledgements = Acknowledgements(worker)

    for tag in ended:
        acknowledgements.add(worker.held.unsettled[tag])
    worker.turns[0]()

    assert worker.frames == frames
    assert set(worker.held.unsettled) == {1, 2, 3, 4, 5} - set(ended)


@pytest.mark.parametrize(
    ("version", "may_hold_s", "is_written"),
    [
        (BrokerVersion(3, 10), 0.04, True),
        (BrokerVersion(3, 10), 0.01, False),
        (BrokerVersion(3, 10), -0.01, False),
        (BrokerVersion(4, 3), 0.01, True),
    ],
)
def test_nothing_is_acknowledged_shortly_before_held_messages_are_given_back(
    version: BrokerVersion, may_hold_s: float, *, is_written: bool
) -> None:
    """A quorum queue would count what comes for it while the consumer is cancelled, except that of RabbitMQ 4.3."""
    worker: Any = Worker()
    worker.broker_version = version
    worker.dispatcher = SimpleNamespace(budget_s=0.05, may_hold_s=may_hold_s, acknowledges_at=1, plan=lambda: None)
    acknowledgements = Acknowledgements(worker)
    acknowledgements.add(worker.held.unsettled[1])

    # The turn of the loop, and then the timer.
    for _ in range(2):
        if worker.turns:
            worker.turns.pop(0)()
    assert (worker.frames == [(1, False)]) is is_written

    # They were given back, or a slot is free.
    worker.dispatcher.may_hold_s = 0.05
    while worker.turns:
        worker.turns.pop(0)()
    assert worker.frames == [(1, False)]
