"""The fault of descriptors: a worker that can open no further file and no socket."""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.system_under_test import SLOTS, WORKERS

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest
    from proj.lab.processes.supervisor import Supervisor

#: Descriptors above this number cannot be opened: all that a worker opens are.
FEW = 3
#: The text of the system's error (EMFILE).
ERROR = "Too many open files"
#: Seconds until a worker must have its pool, and must have met the error.
TIMEOUT_S = 60.0


def exhaust(system: SystemUnderTest) -> str:
    """Let each worker in turn open nothing more, and cut its connections; until it has met the error.

    Raises:
        NotStruck: there is no proxy.
    """
    ends = sum(_exhaust(system, worker) for worker in system.workers[:WORKERS])
    return f"{WORKERS} workers without a free descriptor, {ends} of them ended"


def _exhaust(system: SystemUnderTest, worker: Supervisor) -> bool:
    """Whether the worker ended because of it."""
    if system.proxy is None:
        raise NotStruck("The system under test has no proxy.")
    system.wait(lambda: len(worker.children()) >= SLOTS, what=f"the pool of {worker.process.name}", timeout_s=TIMEOUT_S)
    pid, ended, told = worker.pid, len(worker.ends), worker.process.log_text().count(ERROR)
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with system.hitting(system.all_windows):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, usual[1]))
        system.proxy.cut()
        system.wait(
            lambda: worker.process.log_text().count(ERROR) > told or len(worker.ends) > ended,
            what=f"{worker.process.name} to lack a descriptor",
            timeout_s=TIMEOUT_S,
        )
    # It may have ended.
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    system.wait_for_work_everywhere(TIMEOUT_S)
    return len(worker.ends) > ended
