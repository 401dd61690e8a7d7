"""A drill reports a loss; its supervisors and brokers do what it needs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.broker.version import BrokerVersion
from proj.errors import DeadlinePassed, ProcessEnded
from proj.lab.broker import Broker
from proj.lab.drills.drill import Drill, Result
from proj.lab.drills.faults.catalogue import BY_NAME, Fault
from proj.lab.drills.run_drills import run_drills
from proj.lab.processes.process import Process
from proj.lab.processes.supervisor import Supervisor
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version


def test_drill_reports_a_loss(broker: Broker, guard: Guard) -> None:
    """The negative control: with early acknowledgement the task of a killed process is lost."""
    drill = Drill(
        BY_NAME["child-killed"],
        queue_type="classic",
        dispatch="round-robin",
        broker=broker,
        guard=guard,
        cancel=threading.Event(),
    )

    result = drill.run()

    assert result.struck, result.did
    assert len(result.verdict.lost) > 0
    assert "confirmed tasks are lost" in result.complaints[0]


def test_fault_that_cannot_happen_is_skipped_with_the_reason(guard: Guard) -> None:
    """It has no result, so it can neither succeed nor fail."""

    class Impossible(Fault):
        def obstacle(self, version: BrokerVersion, queue_type: str, nodes: int = 1) -> str:
            return f"not on {queue_type} queues" if nodes == 1 and version > BrokerVersion(0, 0) else ""

    fault = Impossible(name="impossible", strike=lambda _: pytest.fail("It was injected."))
    skipped: list[tuple[str, str, str]] = []

    class Skips:
        def begin(self, fault: Fault, queue_type: str) -> None:
            pytest.fail(f"{fault.name} on {queue_type} began")

        def end(self, result: Result) -> None:
            pytest.fail(f"{result.fault} ended")

        def skip(self, fault: Fault, queue_type: str, reason: str) -> None:
            skipped.append((fault.name, queue_type, reason))

    results = run_drills(
        {"classic": [fault]},
        dispatch="fair",
        guard=guard,
        progress=Skips(),
    )

    assert results == []
    assert skipped == [("impossible", "classic", "not on classic queues")]


def test_supervisor_starts_a_process_again_after_every_end(guard: Guard) -> None:
    """Each new process has another id, the exit status of each is known, and its process group ends with it."""
    program = "import subprocess, signal; subprocess.Popen(['sleep', '600']); signal.pause()"
    process = Process(
        "supervised",
        [sys.executable, "-c", program],
        guard=guard,
        environment={"PATH": os.environ["PATH"]},
        log=guard.folder / "supervised.log",
    )
    with Supervisor(process) as supervisor:
        first = supervisor.pid
        wait_until(supervisor.children, what="a child", timeout_s=60)
        (child,) = supervisor.children()

        os.kill(first, signal.SIGKILL)

        end = supervisor.wait_for_end(first, timeout_s=60)
        wait_until(lambda: process.running, what="another life", timeout_s=60)
        second = supervisor.pid
        assert (end.pid, end.returncode) == (first, -signal.SIGKILL)
        assert second != first
        wait_until(lambda: not is_alive(child), what="the end of the child", timeout_s=60)
    assert not is_alive(second)
    assert not process.running


def test_broker_takes_an_order_that_the_api_does_not_know(broker: Broker) -> None:
    """`rabbitmqctl` runs the command; when it fails, the error has its output."""
    assert broker.order("eval", "1 + 1.").strip() == "2"
    with pytest.raises(ProcessEnded, match="no_such_order"):
        broker.order("no_such_order")


def test_order_that_does_not_end_in_time_is_an_error_of_ours(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drill reports it, and the other drills go on."""
    monkeypatch.setattr("proj.lab.broker.ORDER_TIMEOUT_S", 0.01)

    with pytest.raises(DeadlinePassed, match="rabbitmqctl eval"):
        broker.order("eval", "1 + 1.")


def test_broker_is_configured_with_the_settings_it_is_given(guard: Guard) -> None:
    """A drill may need a shorter consumer timeout."""
    broker = Broker(guard, settings={"consumer_timeout": "4000"})

    assert "consumer_timeout = 4000" in (broker.folder / "rabbitmq.conf").read_text().splitlines()


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
