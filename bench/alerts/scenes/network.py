"""Scenes of the network: cut, half-open, and frozen connections, of a worker and of the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.scenes.workers import EVERY_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alerts.system import System
    from proj.lab.processes.proxy import Proxy

#: Bytes of a handshake that pass, after which it freezes; and handshakes that do.
PASSED_BYTES, HANDSHAKES = 300, 10_000
#: Seconds between two times that connections freeze: longer than the worker needs to see it.
FREEZE_EVERY_S = 100.0
#: Seconds for which the dashboard is cut off.
DEAF_S = 10.0


def _worker(system: System, queue: str) -> Proxy:
    """The way of the queue's only worker to the broker."""
    proxy = system.new_proxy()
    system.worker(queue, slots=1, proxy=proxy)
    system.publish(queue, "work", 0.1, every_s=EVERY_S)
    return proxy


def cut(system: System) -> Iterator[None]:
    """The only worker of a queue is cut off."""
    proxy = _worker(system, "network-cut")
    yield
    proxy.refuse()
    proxy.cut()


def half_open(system: System) -> Iterator[None]:
    """The connections of a worker freeze again and again, as in a NAT table that forgets them; new ones pass."""
    proxy = _worker(system, "half-open")
    yield
    system.every(FREEZE_EVERY_S, proxy.freeze)


def handshake_frozen(system: System) -> Iterator[None]:
    """The connections of a worker are cut, and each new one freezes in its handshake."""
    proxy = _worker(system, "handshake-frozen")
    yield
    proxy.freeze_handshakes([PASSED_BYTES] * HANDSHAKES)
    proxy.cut()


def dashboard_cut(system: System) -> Iterator[None]:
    """The dashboard is cut off for some seconds, in which tasks begin."""
    system.worker("dashboard-cut")
    system.publish("dashboard-cut", "work", 0.05, every_s=0.2)
    yield
    system.proxy.refuse()
    system.proxy.cut()
    system.pause(DEAF_S)
    system.proxy.admit()
