"""The names of reply queues, without a broker."""

from __future__ import annotations

from celery import Celery
from kombu import Connection

from proj.broker import control_bus


def test_each_control_bus_has_a_reply_queue_of_its_own() -> None:
    """Also one that lies in memory where the last one lay; the broker may still be deleting the last one's queue."""
    with Celery(broker="memory://", set_as_current=False) as app, Connection("memory://") as connection:
        control = control_bus._Control(app)  # noqa: SLF001 nothing public shows the queue before it exists
        # Each mailbox is gone before the next is made.
        names = {control.mailbox(connection).reply_queue.name for _ in range(30)}

    assert len(names) == 30
