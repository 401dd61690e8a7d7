"""How a broker differs from what must exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proj.delivery.topology.difference import Difference, Live, differences
from proj.delivery.topology.entities import Binding, Exchange, Part, Queue

PART = Part(
    name="tasks",
    without="",
    required=True,
    exchanges=(Exchange(name="e", type="topic"),),
    queues=(Queue(name="q", arguments={"x-queue-type": "quorum"}),),
    bindings=(Binding(source="e", destination="q", kind="queue", routing_key="k"),),
)
EXCHANGE = {"type": "topic", "durable": True}
QUEUE = {"type": "quorum", "durable": True, "arguments": {"x-queue-type": "quorum"}}


def live(exchange: Any = EXCHANGE, queue: Any = QUEUE, *, bound: bool = True) -> Live:
    return Live(
        exchanges={"e": exchange} if exchange else {},
        queues={"q": queue} if queue else {},
        bindings=frozenset({("e", "queue", "q", "k")}) if bound else frozenset(),
    )


def unlike(kind: str, name: str, *details: str) -> Difference:
    return Difference(missing=False, kind=kind, name=name, part="tasks", details=details)


def test_broker_that_has_it_all_does_not_differ() -> None:
    """Whatever else it has."""
    assert differences([PART], live()) == []


@pytest.mark.parametrize(
    ("there", "kind", "name"),
    [
        (live(exchange=None), "exchange", "e"),
        (live(queue=None), "queue", "q"),
        (live(bound=False), "binding", "e to q (queue) with 'k'"),
    ],
)
def test_what_is_missing_is_named(there: Live, kind: str, name: str) -> None:
    """One difference for each thing."""
    assert differences([PART], there) == [Difference(missing=True, kind=kind, name=name, part="tasks")]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (live(exchange={"type": "direct"}), unlike("exchange", "e", "type: direct instead of topic")),
        (
            live(queue={"type": "classic", "durable": True, "arguments": {}}),
            unlike("queue", "q", "x-queue-type: classic instead of quorum"),
        ),
        (
            live(queue={**QUEUE, "durable": False, "arguments": {"x-max-length": 7}}),
            unlike("queue", "q", "durable: False instead of True", "x-max-length: 7 instead of none"),
        ),
    ],
)
def test_what_is_unlike_is_named_with_both_values(there: Live, expected: Difference) -> None:
    """Also an argument that only the broker's queue has."""
    assert differences([PART], there) == [expected]


def test_queue_of_dead_letters_may_have_any_arguments() -> None:
    """A worker with `install` takes it as it is."""
    there = live(queue={"type": "classic", "durable": True, "arguments": {"x-max-length": 7}})

    assert differences([replace(PART, any_arguments=True)], there) == []
