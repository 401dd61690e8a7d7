"""The names of reply queues and control queues, without a broker."""

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


def test_worker_is_told_by_the_name_of_each_of_its_control_queues() -> None:
    """A worker takes commands over another queue where a node that is down keeps the usual one."""
    with Celery(broker="memory://", set_as_current=False) as app:
        mailbox = control_bus._Control(app).mailbox  # noqa: SLF001 as above
        names = [
            str(control_bus.numbered(mailbox, number).get_queue("w1@x").name) for number in (1, *control_bus.OTHERS)
        ]

    assert names == [f"w1@x{mark}.celery.pidbox" for mark in ("", "~2", "~3", "~4")]
    assert {control_bus.node_of_mailbox(name, "celery") for name in names} == {"w1@x"}
    assert control_bus.node_of_mailbox("123.reply.celery.pidbox", "celery") is None
    assert control_bus.node_of_mailbox("task_queue", "celery") is None
