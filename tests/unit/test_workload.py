"""Workloads."""

from __future__ import annotations

from proj.dots import weigh
from proj.lab.workload import is_light, odd_heavy


def test_odd_messages_are_heavy_and_even_ones_light() -> None:
    """RabbitMQ's own example, counted from one."""
    messages = odd_heavy(5)

    assert [weigh(message) for message in messages] == [20, 1, 20, 1, 20]
    assert [is_light(message) for message in messages] == [False, True, False, True, False]
    assert len(set(messages)) == 5
