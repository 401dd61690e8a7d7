"""A drill: injects one fault while tasks run and are published, and reports what became of each task."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.errors import DeadlinePassed, ProjError
from proj.lab.drills.system.evidence import RAISED, peak
from proj.lab.drills.system.pauses import longest_pause, rest_done_after
from proj.lab.drills.system.strike import Cancelled, NotStruck
from proj.lab.drills.system.system_under_test import SystemUnderTest
from proj.lab.drills.verdict import Verdict, missing, verdict

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.drills.faults.catalogue import Fault
    from proj.lab.processes.guard import Guard

#: Tasks that must finish before the fault, and again after it.
SOME_TASKS = 25
#: Seconds that the last publish may take after the fault: more than `proj_publish_timeout_s`.
PUBLISH_TIMEOUT_S = 90.0
#: Seconds without new evidence or a new dead letter after which the missing tasks count as lost.
PATIENCE_S = 30.0
#: Seconds for which the queues must be empty before the missing tasks count as lost. The count of unacknowledged
#: messages may be half a second old.
GIVE_UP_S = 5.0
#: Seconds after which missing tasks count as lost in any case, because a task that kills may do so for ever. One that
#: kills the main process is a dead letter after five deaths of a worker. With a load of 70 on two cores each new worker
#: took 20 s to start.
END_TIMEOUT_S = 240.0
#: Seconds until tasks must run in all slots again, and seconds of a probe task that checks this.
RECOVERY_TIMEOUT_S = 60.0
PROBE_S = 0.5
#: Seconds between two checks for missing tasks.
LOOK_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a drill."""

    fault: str
    queue_type: str
    dispatch: str
    #: What the fault did, or why it had no effect.
    did: str
    struck: bool
    #: What did not happen in time, in one sentence; empty when all did.
    late: str
    verdict: Verdict
    #: Slots in which tasks ran at the same time after the fault, and the number of all slots.
    slots: int
    all_slots: int
    #: The error of the first publish that raised, and the reason of each dead letter, by task id.
    raised: str
    reasons: Mapping[str, str]
    seconds: float
    #: The longest time without the end of a task while the fault was watched, and the seconds until all tasks had ended
    #: that were confirmed before; None where nothing was watched, or one has not ended.
    pause_s: float | None = None
    rest_s: float | None = None

    @property
    def complaints(self) -> tuple[str, ...]:
        """Each broken promise, in one sentence."""
        said = () if self.struck else (f"The fault had no effect: {self.did}",)
        wedged = (
            (f"Only {self.slots} of {self.all_slots} slots work after the fault.",)
            if self.slots < self.all_slots
            else ()
        )
        return (*said, *((self.late,) if self.late else ()), *self.verdict.complaints, *wedged)


class Drill:
    """A drill of one fault on one type of queue."""

    def __init__(
        self,
        fault: Fault,
        *,
        queue_type: str,
        dispatch: str,
        broker: Broker | Cluster,
        guard: Guard,
        cancel: threading.Event,
    ) -> None:
        """Prepare the system under test; nothing is started before `run`."""
        self.fault = fault
        self._queue_type = queue_type
        self._dispatch = dispatch
        self._system = SystemUnderTest(
            f"{fault.name}-{queue_type}",
            fault.needs,
            broker=broker,
            guard=guard,
            queue_type=queue_type,
            dispatch=dispatch,
            cancel=cancel,
        )

    def run(self) -> Result:
        """Inject the fault, and return what became of every task.

        Raises:
            Cancelled: the drill was interrupted.
        """
        began = time.monotonic()
        system = self._system
        struck, did, late, slots = False, "", "", 0
        reasons: dict[str, str] = {}
        try:
            with system:
                try:
                    system.wait_for_work(SOME_TASKS)
                    did = self.fault.strike(system)
                    struck = True
                    system.wait_for_work(SOME_TASKS)
                except NotStruck as error:
                    did = error.message
                # Something hangs. The verdict on the tasks is still wanted.
                except DeadlinePassed as error:
                    struck, late = True, error.message
                self._end_publishing()
                self._await_the_rest()
                slots = self._working_slots()
                if slots < system.all_slots:
                    system.print_stacks()
                reasons = system.client.dead()
        except Cancelled:
            raise
        # The error is a part of the result; the other drills go on.
        except (ProjError, OSError) as error:
            late = f"{late} {error}".strip()
        records = system.evidence.read()
        return Result(
            fault=self.fault.name,
            queue_type=self._queue_type,
            dispatch=self._dispatch,
            did=did,
            struck=struck,
            late=late,
            verdict=verdict(
                records,
                dead=reasons,
                guilty=system.guilty,
                hits=system.hits,
                window=system.window,
                ignore=system.probes,
            ),
            slots=slots,
            all_slots=system.all_slots,
            raised=next((record.detail for record in records if record.kind == RAISED), ""),
            reasons=reasons,
            seconds=time.monotonic() - began,
            pause_s=longest_pause(records, *system.watched) if system.watched else None,
            rest_s=rest_done_after(records, system.watched[0]) if system.watched else None,
        )

    def keep(self, folder: Path) -> None:
        """Copy the evidence and the logs into the folder."""
        self._system.keep(folder)

    def _end_publishing(self) -> None:
        """Stop the publisher after its last publish. The evidence shows a publish that never ends."""
        self._system.publisher.terminate()
        try:
            self._system.wait(
                lambda: not self._system.publisher.running, what="the publisher", timeout_s=PUBLISH_TIMEOUT_S
            )
        except DeadlinePassed:
            self._system.publisher.kill()

    def _await_the_rest(self) -> None:
        """Return when no task is missing, nothing new happens, or all queues are empty."""
        now = began = changed = held = time.monotonic()
        known = -1
        while now < began + END_TIMEOUT_S and now < changed + PATIENCE_S and now < held + GIVE_UP_S:
            records, dead = self._system.evidence.read(), self._system.client.dead()
            if not missing(records, dead):
                return
            if len(records) + len(dead) != known:
                known, changed = len(records) + len(dead), now
            if self._system.held() != 0:
                held = now
            self._system.pause(LOOK_S)
            now = time.monotonic()

    def _working_slots(self) -> int:
        """The number of slots in which probe tasks run at the same time; probes again until all do, or the deadline."""
        system = self._system
        end = time.monotonic() + RECOVERY_TIMEOUT_S
        most = 0
        while most < system.all_slots and time.monotonic() < end:
            batch = frozenset(
                system.client.send("note", PROBE_S, queue=system.queues[slot % len(system.queues)])
                for slot in range(system.all_slots)
            )
            system.probes |= batch

            def done(batch: frozenset[str] = batch) -> bool:
                return batch <= system.finished()

            with contextlib.suppress(DeadlinePassed):
                system.wait(done, what="tasks in all slots", timeout_s=max(1.0, end - time.monotonic()))
            most = max(most, peak(system.evidence.read(), batch))
        return most
