"""Workloads: the messages of an experiment."""

from __future__ import annotations

from proj.dots import DOT, weigh

#: Dots of a heavy message and of a light one: far enough apart that the heavy half is nearly all the work.
HEAVY_DOTS, LIGHT_DOTS = 20, 1


def odd_heavy(count: int) -> list[str]:
    """RabbitMQ's own example: "all odd messages are heavy and even messages are light".

    Source: https://www.rabbitmq.com/tutorials/tutorial-two-python#fair-dispatch
    """
    return [
        f"heavy {number}" + DOT * HEAVY_DOTS if number % 2 else f"light {number}" + DOT * LIGHT_DOTS
        for number in range(1, count + 1)
    ]


def is_light(message: str) -> bool:
    """Whether a message of `odd_heavy` is one of the light ones."""
    return weigh(message) == LIGHT_DOTS
