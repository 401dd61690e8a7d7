"""Faults of workers: processes that are killed, shut down, or stopped and continued."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.system_under_test import SLOTS, WORKERS

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest
    from proj.lab.processes.supervisor import Supervisor

#: How often a worker or a pool process is killed.
KILLS = 3
#: Seconds until a killed process must have ended.
GONE_TIMEOUT_S = 15.0
#: Seconds that a shutdown may take, with tasks of 0.1 s.
SHUTDOWN_TIMEOUT_S = 60.0
#: Seconds until the broker must have dropped a stopped worker. It takes two heartbeats, 10 s; with a load of 26 on two
#: cores it took more than 20.
DROPPED_TIMEOUT_S = 60.0


def kill_workers(system: SystemUnderTest) -> str:
    """SIGKILL the main process of each worker in turn, while it runs a task."""
    for number in range(KILLS):
        _end(system, number, signal.SIGKILL, timeout_s=GONE_TIMEOUT_S)
        system.wait_for_work()
    return f"main process killed {KILLS} times"


def kill_children(system: SystemUnderTest) -> str:
    """SIGKILL a pool process of each worker in turn, in the middle of its task."""
    for number in range(KILLS):
        worker = system.workers[number % WORKERS]
        with system.hitting(system.window):
            pid = system.wait_for_task_on(worker).pid
            os.kill(pid, signal.SIGKILL)
            _wait_until_gone(system, pid)
        _wait_for_pool(system, worker)
        system.wait_for_work()
    return f"pool process killed {KILLS} times"


def terminate_workers(system: SystemUnderTest) -> str:
    """SIGTERM each worker in turn: a warm shutdown."""
    slowest_s = max(_shut_down(system, number, signal.SIGTERM) for number in range(WORKERS))
    return f"SIGTERM {WORKERS} times, slowest exit {slowest_s:.1f} s"


def quit_workers(system: SystemUnderTest) -> str:
    """SIGQUIT each worker in turn: a cold shutdown."""
    slowest_s = max(_shut_down(system, number, signal.SIGQUIT) for number in range(WORKERS))
    return f"SIGQUIT {WORKERS} times, slowest exit {slowest_s:.1f} s"


def shut_down_softly(system: SystemUnderTest) -> str:
    """SIGQUIT each worker in turn, with `worker_soft_shutdown_timeout` set: a soft shutdown."""
    slowest_s = max(_shut_down(system, number, signal.SIGQUIT) for number in range(WORKERS))
    told = sum("Initiating Soft Shutdown" in worker.process.log_text() for worker in system.workers)
    if told < WORKERS:
        raise NotStruck(f"Only {told} of {WORKERS} workers shut down softly.")
    return f"soft shutdown {WORKERS} times, slowest exit {slowest_s:.1f} s"


def suspend_worker(system: SystemUnderTest) -> str:
    """SIGSTOP a worker and its pool until the broker has dropped it, then SIGCONT."""
    worker = system.workers[0]
    system.wait_for_task_on(worker)
    began = system.consumers()
    with system.hitting(system.window):
        os.killpg(worker.pid, signal.SIGSTOP)
        try:
            system.wait(
                lambda: system.consumers() < began,
                what="the broker to drop a stopped worker",
                timeout_s=DROPPED_TIMEOUT_S,
            )
        finally:
            os.killpg(worker.pid, signal.SIGCONT)
        system.wait_for_work()
    return f"stopped until the broker had dropped it ({began} consumers, then fewer), and continued"


def _shut_down(system: SystemUnderTest, number: int, how: signal.Signals) -> float:
    """The seconds from the signal to the end of the worker; its supervisor has started it again then."""
    took_s = _end(system, number, how, timeout_s=SHUTDOWN_TIMEOUT_S)
    system.wait_for_work()
    return took_s


def _end(system: SystemUnderTest, number: int, how: signal.Signals, *, timeout_s: float) -> float:
    worker = system.workers[number % WORKERS]
    # With all of its slots, so that it has messages to lose.
    _wait_for_pool(system, worker)
    with system.hitting(system.window):
        running = system.wait_for_task_on(worker)
        pid = worker.pid
        os.kill(pid, how)
        end = worker.wait_for_end(pid, timeout_s=timeout_s)
    if how == signal.SIGKILL and end.returncode != -signal.SIGKILL:
        raise NotStruck(f"The worker with task {running.task_id} ended with {end.returncode}, not by SIGKILL.")
    return end.time - system.hits[-1].began


def _wait_for_pool(system: SystemUnderTest, worker: Supervisor) -> None:
    system.wait(
        lambda: len(worker.children()) >= SLOTS, what=f"the pool of {worker.process.name}", timeout_s=SHUTDOWN_TIMEOUT_S
    )


def _wait_until_gone(system: SystemUnderTest, pid: int) -> None:
    system.wait(lambda: not _lives(pid), what=f"the end of process {pid}", timeout_s=GONE_TIMEOUT_S)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
