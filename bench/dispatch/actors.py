"""The same tasks as actors of dramatiq: `dramatiq dispatch.actors`."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from dispatch.mark import write_mark

dramatiq.set_broker(RabbitmqBroker(url=os.environ["BENCH_BROKER_URL"]))


@dramatiq.actor
def nothing() -> None:
    """Do nothing."""


@dramatiq.actor
def mark(folder: str, which: str) -> None:
    """Write the time and the processor time."""
    write_mark(folder, which)
