"""Faults of workers: processes that are killed, told to leave, or stopped and continued."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.system_under_test import SLOTS, WORKERS

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import Scene
    from proj.lab.processes.supervisor import Supervisor

#: How often a worker, or a process of its pool, is killed.
KILLS = 3
#: Seconds until a killed process must be gone.
GONE_TIMEOUT_S = 15.0
#: Seconds that a worker which was told to leave may take, with tasks of a tenth of a second.
LEAVE_TIMEOUT_S = 60.0
#: Seconds until the broker must have dropped a stopped worker: twice the heartbeat, and as much again.
DROPPED_TIMEOUT_S = 20.0


def kill_workers(scene: Scene) -> str:
    """SIGKILL the main process of the workers in turn, each while it works."""
    for number in range(KILLS):
        _end(scene, number, signal.SIGKILL, timeout_s=GONE_TIMEOUT_S)
        scene.wait_for_work()
    return f"main process killed {KILLS} times"


def kill_children(scene: Scene) -> str:
    """SIGKILL a pool process in the middle of its task, of the workers in turn."""
    for number in range(KILLS):
        worker = scene.workers[number % WORKERS]
        with scene.hitting():
            pid = scene.wait_for_task_on(worker).pid
            os.kill(pid, signal.SIGKILL)
            _wait_until_gone(scene, pid)
        _wait_for_pool(scene, worker)
        scene.wait_for_work()
    return f"pool process killed {KILLS} times"


def terminate_workers(scene: Scene) -> str:
    """SIGTERM every worker in turn: a warm shutdown, as in every deployment."""
    slowest_s = max(_leave(scene, number, signal.SIGTERM) for number in range(WORKERS))
    return f"SIGTERM {WORKERS} times, slowest exit {slowest_s:.1f} s"


def quit_workers(scene: Scene) -> str:
    """SIGQUIT every worker in turn: a cold shutdown."""
    slowest_s = max(_leave(scene, number, signal.SIGQUIT) for number in range(WORKERS))
    return f"SIGQUIT {WORKERS} times, slowest exit {slowest_s:.1f} s"


def leave_softly(scene: Scene) -> str:
    """SIGQUIT every worker in turn while `worker_soft_shutdown_timeout` is set: a soft shutdown."""
    slowest_s = max(_leave(scene, number, signal.SIGQUIT) for number in range(WORKERS))
    told = sum("Initiating Soft Shutdown" in worker.process.log_text() for worker in scene.workers)
    if told < WORKERS:
        raise NotStruck(f"Only {told} of {WORKERS} workers shut down softly.")
    return f"soft shutdown {WORKERS} times, slowest exit {slowest_s:.1f} s"


def suspend_worker(scene: Scene) -> str:
    """SIGSTOP a worker and its pool until the broker has dropped it, then SIGCONT."""
    worker = scene.workers[0]
    scene.wait_for_task_on(worker)
    began = scene.consumers()
    with scene.hitting():
        os.killpg(worker.pid, signal.SIGSTOP)
        try:
            scene.wait(
                lambda: scene.consumers() < began,
                what="the broker to drop a stopped worker",
                timeout_s=DROPPED_TIMEOUT_S,
            )
        finally:
            os.killpg(worker.pid, signal.SIGCONT)
        scene.wait_for_work()
    return f"stopped until the broker had dropped it ({began} consumers, then fewer), and continued"


def _leave(scene: Scene, number: int, how: signal.Signals) -> float:
    """Seconds that the worker took to end after the signal; it is back when this returns."""
    took_s = _end(scene, number, how, timeout_s=LEAVE_TIMEOUT_S)
    scene.wait_for_work()
    return took_s


def _end(scene: Scene, number: int, how: signal.Signals, *, timeout_s: float) -> float:
    worker = scene.workers[number % WORKERS]
    # All of its slots, so that there is somebody who can lose something.
    _wait_for_pool(scene, worker)
    with scene.hitting():
        running = scene.wait_for_task_on(worker)
        pid = worker.pid
        os.kill(pid, how)
        end = worker.wait_for_end(pid, timeout_s=timeout_s)
    if how == signal.SIGKILL and end.returncode != -signal.SIGKILL:
        raise NotStruck(f"The worker with task {running.task_id} ended with {end.returncode}, not by SIGKILL.")
    return end.time - scene.hits[-1].began


def _wait_for_pool(scene: Scene, worker: Supervisor) -> None:
    scene.wait(
        lambda: len(worker.children()) >= SLOTS, what=f"the pool of {worker.process.name}", timeout_s=LEAVE_TIMEOUT_S
    )


def _wait_until_gone(scene: Scene, pid: int) -> None:
    scene.wait(lambda: not _lives(pid), what=f"the end of process {pid}", timeout_s=GONE_TIMEOUT_S)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
