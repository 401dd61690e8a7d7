"""Which frames acknowledge which messages, without a broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

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
            hub=SimpleNamespace(call_soon=self.turns.append),
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
