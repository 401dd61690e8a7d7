"""Scenes of the broker: alarm, restart, death, closed connections, a full queue, the consumer timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.app import CONSUMER_TIMEOUT_S
from alerts.scenes.workers import EVERY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerts.system import System

#: The memory above which RabbitMQ blocks publishers: as good as none, and what it was.
NO_MEMORY, USUAL_MEMORY = "0.00000001", "0.4"
#: Seconds between two times that connections are closed.
CLOSE_EVERY_S = 25.0
#: Messages that a full queue has.
FULL = 10
#: Seconds of a task that takes longer than the consumer timeout, and seconds between two of them.
LONG_S, LONG_EVERY_S = CONSUMER_TIMEOUT_S + 30.0, CONSUMER_TIMEOUT_S + 60.0


def memory_alarm(system: System) -> Iterator[None]:
    """The broker accepts no message, because its memory is full."""
    yield
    system.broker.order("set_vm_memory_high_watermark", NO_MEMORY)
    yield
    system.broker.order("set_vm_memory_high_watermark", USUAL_MEMORY)


def restarted(system: System) -> Iterator[None]:
    """The broker is stopped in order, and started again."""
    yield
    system.broker.restart()


def killed(system: System) -> Iterator[None]:
    """The broker is killed, and nobody starts it again."""
    yield
    system.broker.kill()


def connections_closed(system: System) -> Iterator[None]:
    """The connections of a worker are closed again and again over the management API."""
    worker = system.worker("connections-closed", slots=1)
    system.publish("connections-closed", "work", 0.1, every_s=EVERY_S)
    yield
    system.every(CLOSE_EVERY_S, lambda: system.close_connections(worker))


def queue_full(system: System) -> Iterator[None]:
    """A queue has as many messages as it may have, and rejects others."""
    system.worker("queue-full", slots=1)
    system.publish("queue-full", "work", 0.1, every_s=EVERY_S)
    yield
    definition = {"max-length": FULL, "overflow": "reject-publish"}
    policy = {"pattern": "^queue-full$", "definition": definition, "priority": 9, "apply-to": "queues"}
    system.request("PUT", "policies/queue-full", policy)
    system.publish("queue-full", "work", EVERY_S * 5, every_s=EVERY_S)


def consumer_timeout(system: System) -> Iterator[None]:
    """Tasks take longer than the broker's consumer timeout, of which the worker does not know."""
    system.worker("consumer-timeout", settings={"proj_consumer_timeout_s": "(float)0"})
    _long(system, "consumer-timeout")
    yield
    system.publish("consumer-timeout", "linger", LONG_S, 0.1, every_s=LONG_EVERY_S)


def long_task(system: System) -> Iterator[None]:
    """Tasks take longer than the broker's consumer timeout, of which the worker knows."""
    system.worker("long-task")
    _long(system, "long-task")
    yield
    system.publish("long-task", "linger", LONG_S, 0.1, every_s=LONG_EVERY_S)


def _long(system: System, queue: str) -> None:
    """Publish short tasks beside the long ones, for the other slot."""
    system.publish(queue, "work", 0.1, every_s=EVERY_S)
