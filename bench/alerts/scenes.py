"""The faults, each on a queue of its own: what runs before it, and the stroke."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerts.system import System

#: A task of hours; and slots of a worker.
HOURS_S, SLOTS = 7200.0, 2
#: The memory above which RabbitMQ blocks publishers: as good as none, and what it was.
NO_MEMORY, USUAL_MEMORY = "0.00000001", "0.4"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A fault that lasts, and the alert that it must raise."""

    name: str
    #: Everything up to its `yield` comes before the fault, and the rest is the fault; after a second one it ends.
    play: Callable[[System], Iterator[None]]
    alert: str
    #: The queue that the alert names; empty when it names none.
    queue: str = ""
    #: Seconds within which it must fire.
    within_s: float


def killed(system: System) -> Iterator[None]:
    """The only worker of a queue is killed, and nobody starts it again."""
    worker = system.worker("killed")
    system.publish("killed", "work", 0.1, every_s=0.5)
    yield
    worker.kill()


def suspended(system: System) -> Iterator[None]:
    """The only worker of a queue is stopped by SIGSTOP: its connection stays until the broker misses its heartbeats."""
    worker = system.worker("suspended")
    system.publish("suspended", "work", 0.1, every_s=0.5)
    yield
    os.kill(worker.pid, signal.SIGSTOP)


def hung(system: System) -> Iterator[None]:
    """The processes of a worker's pool hang; the worker itself is alive."""
    worker = system.worker("hung")
    system.publish("hung", "work", 0.1, every_s=0.5)
    yield
    for child in psutil.Process(worker.pid).children():
        child.suspend()


def unfair(system: System) -> Iterator[None]:
    """Workers with ten messages in advance: one holds short tasks behind long ones, and the other is idle."""
    for name in ("unfair-1", "unfair-2"):
        system.worker("unfair", slots=1, name=name, prefetch=10)
    system.publish("unfair", "work", 0.1, every_s=5)
    yield
    for _ in range(4):
        system.publish("unfair", "work", 12.0, every_s=48)
        time.sleep(1)
        system.publish("unfair", "work", 0.1, every_s=48)
        time.sleep(1)


def old(system: System) -> Iterator[None]:
    """A task takes for hours in the only slot, and others wait."""
    system.worker("old", slots=1)
    system.publish("old", "work", 0.1)
    yield
    system.publish("old", "work", HOURS_S)
    system.publish("old", "work", 0.1, every_s=30)


def letters(system: System) -> Iterator[None]:
    """A task kills the process that runs it until it is a dead letter; a malformed message is one at once."""
    system.worker("letters")
    system.publish("letters", "work", 0.1, every_s=0.5)
    yield
    system.publish("letters", "kill_child")


def suspects(system: System) -> Iterator[None]:
    """A task kills the whole worker twice, and then all slots have tasks of hours, so no worker can run it alone."""
    supervisor = system.supervise(system.worker("suspects"))

    def keep_busy() -> None:
        wait_until(lambda: supervisor.ends[1:], what="the second end of the worker", timeout_s=300)
        for _ in range(SLOTS):
            system.publish("suspects", "work", HOURS_S)

    yield
    system.publish("suspects", "kill_main")
    threading.Thread(target=keep_busy, daemon=True).start()


def memory_alarm(system: System) -> Iterator[None]:
    """The broker accepts no message, because its memory is full."""
    yield
    system.broker.order("set_vm_memory_high_watermark", NO_MEMORY)
    yield
    system.broker.order("set_vm_memory_high_watermark", USUAL_MEMORY)


def broker_killed(system: System) -> Iterator[None]:
    """The broker is killed, and nobody starts it again."""
    yield
    system.broker.kill()


#: Those that go on side by side.
TOGETHER = (
    Scene(name="killed", play=killed, alert="CeleryNoConsumers", queue="killed", within_s=180),
    Scene(name="suspended", play=suspended, alert="CeleryNoConsumers", queue="suspended", within_s=240),
    Scene(name="hung", play=hung, alert="CeleryWorkersNotConsuming", queue="hung", within_s=330),
    Scene(name="unfair", play=unfair, alert="CeleryAvoidableWait", queue="unfair", within_s=300),
    Scene(name="old", play=old, alert="CeleryOldestMessage", queue="old", within_s=780),
    Scene(name="letters", play=letters, alert="CeleryDeadLettersRising", queue="dead_letters", within_s=150),
    Scene(name="suspects", play=suspects, alert="CeleryQuarantine", queue="suspects", within_s=540),
)
#: Those that strike everything, in turn.
ALONE = (
    Scene(name="memory-alarm", play=memory_alarm, alert="CeleryBrokerAlarm", within_s=180),
    Scene(name="broker-killed", play=broker_killed, alert="CeleryBrokerAway", within_s=120),
)
