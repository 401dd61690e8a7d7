"""Scenes of workers that are killed, stopped, hung or unfair, and of workers that go on."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from itertools import cycle
from typing import TYPE_CHECKING

import psutil

from proj.lab.drills.faults.descriptors import FEW
from proj.lab.drills.system.embedded import NEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alerts.system import System
    from proj.lab.processes.process import Process
    from proj.lab.processes.supervisor import Supervisor

#: A task of hours; seconds between two tasks; and between two strokes of a fault that is mended each time.
HOURS_S, EVERY_S, AGAIN_S = 7200.0, 2.0, 45.0


def lasting(
    queue: str, stroke: Callable[[Process], object], **options: dict[str, str]
) -> Callable[..., Iterator[None]]:
    """The only worker of a queue is struck, and nobody starts it again."""

    def play(system: System) -> Iterator[None]:
        worker = system.worker(queue, slots=1, **options)
        system.publish(queue, "work", 0.1, every_s=EVERY_S)
        yield
        stroke(worker)

    return play


def send(number: signal.Signals) -> Callable[[Process], None]:
    """A stroke: the signal."""
    return lambda worker: os.kill(worker.pid, number)


def hang(worker: Process) -> None:
    """The processes of the pool hang; the worker itself is alive."""
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
        system.pause(1)
        system.publish("unfair", "work", 0.1, every_s=48)
        system.pause(1)


def old(system: System) -> Iterator[None]:
    """A task takes for hours in the only slot, and others wait."""
    system.worker("old", slots=1)
    system.publish("old", "work", 0.1)
    yield
    system.publish("old", "work", HOURS_S)
    system.publish("old", "work", 0.1, every_s=30)


def no_descriptors(system: System) -> Iterator[None]:
    """A worker can open no further file and no socket, and its connections are cut."""
    proxy = system.new_proxy()
    worker = system.worker("no-descriptors", slots=1, proxy=proxy)
    system.publish("no-descriptors", "work", 0.1, every_s=EVERY_S)
    yield
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (FEW, hard))
    proxy.cut()


def killed_again(system: System) -> Iterator[None]:
    """The only worker of a queue is killed again and again, and is started again each time."""
    worker = system.supervise(system.worker("worker-killed", slots=1))
    system.publish("worker-killed", "work", 0.1, every_s=EVERY_S)
    yield
    system.every(AGAIN_S, lambda: os.kill(worker.pid, signal.SIGKILL))


def children_killed(system: System) -> Iterator[None]:
    """A pool process is killed again and again, most often in the middle of its task."""
    worker = system.worker("child-killed")
    system.publish("child-killed", "work", 0.8, every_s=EVERY_S)
    yield
    system.every(AGAIN_S, lambda: _kill_child(worker))


def stages_killed(system: System) -> Iterator[None]:
    """The workers of two stages are killed in turn, and are started again each time."""
    turn = cycle(_stages(system, "stage-killed"))
    yield
    system.every(AGAIN_S, lambda: os.kill(next(turn).pid, signal.SIGKILL))


def stage_children_killed(system: System) -> Iterator[None]:
    """A pool process of each of two stages is killed in turn."""
    turn = cycle(_stages(system, "stage-child-killed"))
    yield
    system.every(AGAIN_S, lambda: _kill_child(next(turn)))


def embedded(system: System) -> Iterator[None]:
    """A worker in a thread of someone's process ends again and again, and another one begins there."""
    process = system.embedded_worker("embedded-worker")
    system.publish("embedded-worker", "work", 0.1, every_s=EVERY_S)
    yield
    system.every(AGAIN_S, lambda: os.kill(process.pid, NEXT))


def _stages(system: System, queue: str) -> Sequence[Supervisor]:
    found = [system.supervise(system.worker(f"{queue}{place}", slots=1)) for place in ("", ".last")]
    system.publish(queue, "first", 0.2, f"{queue}.last", every_s=EVERY_S)
    return found


def _kill_child(worker: Process | Supervisor) -> None:
    with suppress(IndexError, psutil.NoSuchProcess):
        psutil.Process(worker.pid).children()[0].kill()
