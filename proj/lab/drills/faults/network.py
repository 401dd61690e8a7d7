"""Faults of the network, by a proxy: cut connections, half-open connections, and handshakes that never end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.system_under_test import WORKERS

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest
    from proj.lab.processes.proxy import Proxy

#: Seconds without a network.
CUT_S = 3.0
#: Bytes from the client after which handshakes freeze: at the first frame, before and after the login, and while the
#: first channel opens. An AMQP client sends 8 bytes, then about 400, and then a few dozen for each step.
HANDSHAKES_BYTES = (0, 8, 300, 450, 600, 1000)
#: Seconds until every worker must work again: two heartbeats of a drill's workers, and the restart of a worker by its
#: supervisor, on a busy machine.
AGAIN_TIMEOUT_S = 30.0


def cut(system: SystemUnderTest) -> str:
    """Reset every connection, and refuse new ones for `CUT_S` seconds."""
    proxy = _proxy(system)
    with system.hitting(system.all_windows):
        proxy.refuse()
        closed = proxy.cut()
        system.pause(CUT_S)
        proxy.admit()
    _refuse_few(closed)
    _again(system, proxy.accepted)
    return f"{closed} connections cut for {CUT_S:g} s, {proxy.refused} new ones refused"


def freeze(system: SystemUnderTest) -> str:
    """Freeze every connection, as a NAT table that forgets them does; new connections pass."""
    proxy = _proxy(system)
    with system.hitting(system.all_windows):
        frozen = proxy.freeze()
        _refuse_few(frozen)
        _again(system, proxy.accepted)
        took_s = system.wait_for_work_everywhere(AGAIN_TIMEOUT_S)
    return f"{frozen} connections frozen, work went on after {took_s:.0f} s"


def freeze_handshakes(system: SystemUnderTest) -> str:
    """Reset every connection, and freeze the new ones in the middle of their handshake."""
    proxy = _proxy(system)
    with system.hitting(system.all_windows):
        proxy.freeze_handshakes(HANDSHAKES_BYTES)
        _refuse_few(proxy.cut())
        system.wait(lambda: proxy.frozen_handshakes >= WORKERS, what="frozen handshakes", timeout_s=AGAIN_TIMEOUT_S)
        took_s = system.wait_for_work_everywhere(AGAIN_TIMEOUT_S)
    return f"{proxy.frozen_handshakes} handshakes frozen, work went on after {took_s:.0f} s"


def _proxy(system: SystemUnderTest) -> Proxy:
    if system.proxy is None:
        raise NotStruck("The system under test has no proxy.")
    return system.proxy


def _refuse_few(connections: int) -> None:
    if connections < WORKERS + 1:
        raise NotStruck(f"Only {connections} connections went through the proxy.")


def _again(system: SystemUnderTest, before: int) -> None:
    proxy = _proxy(system)
    system.wait(lambda: proxy.accepted > before, what="a new connection", timeout_s=AGAIN_TIMEOUT_S)
