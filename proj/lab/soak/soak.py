"""A soak: many tasks for minutes, a random fault every few seconds, and what became of every task."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from proj.errors import DeadlinePassed, ProjError
from proj.lab.drills.faults.catalogue import FAULTS
from proj.lab.drills.system.strike import Cancelled, NotStruck
from proj.lab.drills.system.system_under_test import Needs
from proj.lab.drills.verdict import in_flight
from proj.lab.soak.soaked_system import SoakedSystem
from proj.lab.soak.trend import Trend, trends
from proj.lab.soak.watch import Watch

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from proj.lab.broker import Broker
    from proj.lab.drills.faults.catalogue import Fault
    from proj.lab.processes.guard import Guard

#: The faults of a soak: those that need no settings and in which no task is guilty.
SOAKING = tuple(
    fault
    for fault in FAULTS
    if fault.needs in (Needs(), Needs(through_proxy=True)) and not fault.has_guilty and not fault.is_timeout
)
#: Seconds until every worker must work again after a fault.
RECOVERY_TIMEOUT_S = 60.0
#: Seconds before a fault whose records are kept, because tasks that ended just before it may run again.
BEFORE_S = 1.0
#: Seconds between two looks while no fault strikes.
LOOK_S = 1.0
#: Seconds that the last publish may take, and seconds without a new end after which open tasks count as lost.
PUBLISH_TIMEOUT_S = 120.0
PATIENCE_S = 60.0


class Progress(Protocol):
    """Is told what happens."""

    def struck(self, stroke: Stroke, finished: int) -> None:
        """A fault has struck, and so many tasks have finished."""


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """One fault of a soak."""

    fault: str
    #: Seconds since the soak began.
    at_s: float
    #: What the fault did, or why it had no effect.
    did: str
    #: What did not happen in time, in one sentence; empty when all did.
    late: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a soak."""

    queue_type: str
    dispatch: str
    seed: int
    #: Seconds for which tasks were published.
    seconds: float
    strokes: tuple[Stroke, ...]
    confirmed: int
    raised: int
    #: The error of the first publish that raised.
    error: str
    unanswered: int
    finished: int
    #: Starts beyond the first of each task, and the most that the faults allow.
    executed_twice: int
    in_flight: int
    #: The reason of each dead letter, by task id: no task deserves one.
    dead: Mapping[str, str]
    lost: tuple[str, ...]
    trends: tuple[Trend, ...]

    @property
    def complaints(self) -> tuple[str, ...]:
        """Each broken promise, in one sentence."""
        said = [f"{stroke.fault} after {stroke.at_s:.0f} s: {stroke.late}" for stroke in self.strokes if stroke.late]
        if self.lost:
            said.append(f"{len(self.lost)} confirmed tasks are lost, such as {self.lost[0]}.")
        if self.unanswered:
            said.append(f"{self.unanswered} publishes neither returned nor raised.")
        if self.dead:
            task_id, reason = next(iter(self.dead.items()))
            said.append(f"{len(self.dead)} innocent tasks were dead-lettered, such as {task_id}: {reason}.")
        if self.executed_twice > self.in_flight:
            said.append(f"{self.executed_twice} tasks were executed again, but only {self.in_flight} were in flight.")
        return tuple(said)


class Soak:
    """A soak of one type of queue."""

    def __init__(
        self,
        *,
        broker: Broker,
        guard: Guard,
        queue_type: str,
        dispatch: str,
        seconds: float,
        every_s: float,
        seed: int,
        cancel: threading.Event,
    ) -> None:
        """Publish for `seconds`, with a fault every `every_s` seconds; `seed` chooses their order."""
        self._queue_type, self._dispatch, self._seed = queue_type, dispatch, seed
        self._seconds, self._every_s = seconds, every_s
        self._system = SoakedSystem(
            "soak", broker=broker, guard=guard, queue_type=queue_type, dispatch=dispatch, cancel=cancel
        )

    def run(self, progress: Progress) -> Outcome:
        """Let it run, and return what became of every task.

        Raises:
            Cancelled: the soak was interrupted.
            ProjError: something did not start.
        """
        system = self._system
        strokes: list[Stroke] = []
        allowed = 0
        with system, Watch(system.processes) as watch:
            began = time.monotonic()
            for fault, at_s in zip(_shuffled(random.Random(self._seed)), self._times(), strict=False):  # noqa: S311 no secret
                while time.monotonic() < began + at_s - BEFORE_S:
                    system.evidence.forget()
                    system.pause(min(LOOK_S, max(0.0, began + at_s - BEFORE_S - time.monotonic())))
                system.evidence.forget()
                system.pause(BEFORE_S)
                stroke = self._strike(fault, time.monotonic() - began)
                allowed += in_flight(system.evidence.read(), system.hits)
                system.hits.clear()
                strokes.append(stroke)
                progress.struck(stroke, system.evidence.tally.finished)
            while time.monotonic() < began + self._seconds:
                system.evidence.forget()
                system.pause(LOOK_S)
            published_s = time.monotonic() - began
            self._end_publishing()
            self._await_the_rest()
            dead = system.client.dead()
        tally = system.evidence.tally
        return Outcome(
            queue_type=self._queue_type,
            dispatch=self._dispatch,
            seed=self._seed,
            seconds=published_s,
            strokes=tuple(strokes),
            confirmed=tally.confirmed,
            raised=tally.raised,
            error=tally.error,
            unanswered=tally.unanswered,
            finished=tally.finished,
            executed_twice=tally.executed_twice,
            in_flight=allowed,
            dead=dead,
            lost=tally.lost(dead),
            trends=tuple(trends(watch.measures)),
        )

    def _times(self) -> Iterator[float]:
        """When faults are due, in seconds since the beginning: the last one leaves time for its recovery."""
        at_s = self._every_s
        while at_s < self._seconds:
            yield at_s
            at_s += self._every_s

    def _strike(self, fault: Fault, at_s: float) -> Stroke:
        did = late = ""
        try:
            did = fault.strike(self._system)
            self._system.wait_for_work_everywhere(RECOVERY_TIMEOUT_S)
        except NotStruck as error:
            did = f"no effect: {error.message}"
        except Cancelled:
            raise
        # Something hangs, or ended by itself. The rest of the soak is still wanted.
        except (ProjError, OSError) as error:
            late = str(error)
        return Stroke(fault=fault.name, at_s=at_s, did=did, late=late)

    def _end_publishing(self) -> None:
        """Stop the publisher after its last batch. The evidence shows a publish that never ends."""
        publisher = self._system.publisher
        publisher.terminate()
        try:
            self._system.wait(lambda: not publisher.running, what="the publisher", timeout_s=PUBLISH_TIMEOUT_S)
        except DeadlinePassed:
            publisher.kill()

    def _await_the_rest(self) -> None:
        """Return when every confirmed task has finished, or nothing new has happened for long."""
        evidence = self._system.evidence
        known, changed = -1, time.monotonic()
        while time.monotonic() < changed + PATIENCE_S:
            evidence.forget()
            if not evidence.tally.open or not evidence.tally.lost(self._system.client.dead()):
                return
            if evidence.tally.finished != known:
                known, changed = evidence.tally.finished, time.monotonic()
            self._system.pause(LOOK_S)


def _shuffled(chance: random.Random) -> Iterator[Fault]:
    """The faults in a random order, again and again: each comes once before one comes again."""
    while True:
        yield from chance.sample(SOAKING, len(SOAKING))
