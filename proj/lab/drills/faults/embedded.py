"""Faults of workers that are threads of someone's process: their end must not become the end of the process."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from proj.errors import ProjError
from proj.lab.drills.faults.network import freeze
from proj.lab.drills.system.embedded import BEGUN, NEXT
from proj.lab.drills.system.processes import HEARTBEAT_S

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest
    from proj.lab.processes.supervisor import Supervisor

#: How often the worker of each process is ended.
ENDS = 2
#: Seconds until another worker must have begun.
BEGIN_TIMEOUT_S = 30.0
#: Seconds after which a watchdog gives a worker up: twice the two heartbeats after which it closes the connection, and
#: a look.
GIVEN_UP_S = 4.0 * HEARTBEAT_S + 4.0


def end_workers(system: SystemUnderTest) -> str:
    """End the worker of each process in the middle of a task, and begin another; then freeze every connection.

    Raises:
        ProjError: a process ended.
    """
    pids = [worker.pid for worker in system.workers]
    for worker in system.workers * ENDS:
        begun = _begun(worker)
        with system.hitting(system.window):
            system.wait_for_task_on(worker)
            os.kill(worker.pid, NEXT)
            system.wait(
                partial(_has_begun, worker, begun), what="another worker in the process", timeout_s=BEGIN_TIMEOUT_S
            )
        system.wait_for_work()
    frozen = freeze(system)
    system.pause(GIVEN_UP_S)
    ends = [end for worker in system.workers for end in worker.ends]
    if ends or pids != [worker.pid for worker in system.workers]:
        raise ProjError(f"A process ended with its worker: exit codes {[end.returncode for end in ends]}.")
    return f"{len(pids) * ENDS} workers ended in {len(pids)} processes, which went on; {frozen}"


def _begun(worker: Supervisor) -> int:
    return worker.process.log_text().count(BEGUN)


def _has_begun(worker: Supervisor, before: int) -> bool:
    return _begun(worker) > before
