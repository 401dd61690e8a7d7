"""The verdict on a drill: what became of every task, from the evidence alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, RAISED, SENDING, STARTED
from proj.lab.drills.system.strike import Hit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from proj.lab.drills.system.evidence import Record

#: Seconds after its end for which a task counts as in flight: its acknowledgement is on the way from the pool over the
#: worker to the broker's disk, and AMQP confirms no acknowledgement.
ACKNOWLEDGED_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of the tasks of a drill; of tasks that a fault consists of, `guilty` ones, too."""

    #: Publishes that returned, that raised, and that did neither although the publisher has ended.
    confirmed: int
    raised: int
    unanswered: int
    #: Tasks whose code came to its end; tasks that are in the dead-letter queue.
    finished: int
    dead_lettered: int
    #: Starts of innocent tasks beyond the first of each, and how many the hits allow: the tasks in flight at each, and
    #: what one of these had handed on to the next stage before it was done again.
    executed_twice: int
    in_flight: int
    #: How often guilty tasks were started.
    guilty_starts: int
    #: Confirmed, and neither finished nor dead-lettered.
    lost: tuple[str, ...]
    #: Innocent, and dead-lettered.
    condemned: tuple[str, ...]

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is not as promised, each in one sentence."""
        said = []
        if self.lost:
            said.append(f"{len(self.lost)} confirmed tasks are lost, such as {self.lost[0]}.")
        if self.unanswered:
            said.append(f"{self.unanswered} publishes neither returned nor raised.")
        if self.condemned:
            said.append(f"{len(self.condemned)} innocent tasks were dead-lettered, such as {self.condemned[0]}.")
        if self.executed_twice > self.in_flight:
            said.append(f"{self.executed_twice} tasks were executed again, but only {self.in_flight} were in flight.")
        return tuple(said)


def verdict(
    records: Sequence[Record],
    *,
    dead: Collection[str],
    guilty: Collection[str],
    hits: Iterable[Hit],
    slots: int,
    ignore: Collection[str] = (),
) -> Verdict:
    """What the evidence says.

    Args:
        records: all lines of the drill, in any order.
        dead: ids of the tasks that the dead-letter queue has had.
        guilty: ids of the tasks that are the fault; each start of one is a hit too.
        hits: when the fault struck.
        slots: those of one worker, which is as many tasks as a guilty one can harm.
        ignore: ids of tasks that are no part of the drill.
    """
    ids: dict[str, set[str]] = {kind: set() for kind in (SENDING, CONFIRMED, RAISED, STARTED, FINISHED)}
    for record in records:
        if record.task_id not in ignore:
            ids[record.kind].add(record.task_id)
    innocent = [record for record in records if record.task_id not in guilty and record.task_id not in ignore]
    starts = Counter(record.task_id for record in innocent if record.kind == STARTED)
    guilty_starts = [record.time for record in records if record.kind == STARTED and record.task_id in guilty]
    blows = [*hits, *(Hit(began=time, ended=time + ACKNOWLEDGED_S, window=slots) for time in guilty_starts)]
    buried = set(dead)
    return Verdict(
        confirmed=len(ids[CONFIRMED]),
        raised=len(ids[RAISED]),
        unanswered=len(ids[SENDING] - ids[CONFIRMED] - ids[RAISED]),
        finished=len(ids[FINISHED]),
        dead_lettered=len(buried),
        executed_twice=sum(starts.values()) - len(starts),
        in_flight=in_flight(innocent, blows) + handed_on_again(innocent),
        guilty_starts=len(guilty_starts),
        lost=tuple(sorted(ids[CONFIRMED] - ids[FINISHED] - buried)),
        condemned=tuple(sorted(buried - set(guilty))),
    )


def in_flight(records: Iterable[Record], hits: Iterable[Hit]) -> int:
    """How many executions the hits could reach, summed over the hits.

    These are the ones that were under way at a hit, or over but hardly acknowledged, and never more than the window of
    the workers that were struck. One that never ended was ended by the first hit after its start.
    """
    spans = executions(records)
    total = 0
    for hit in sorted(hits, key=lambda hit: hit.ended):
        reached = [
            (began, ended)
            for began, ended in spans
            if began <= hit.ended and (ended is None or ended + ACKNOWLEDGED_S >= hit.began)
        ]
        total += len(reached) if hit.window is None else min(len(reached), hit.window)
        spans = [span for span in spans if span[1] is not None or span not in reached]
    return total


def handed_on_again(records: Iterable[Record]) -> int:
    """How many tasks were published once more under the same id: by a stage that was done again."""
    sent = Counter(record.task_id for record in records if record.kind == SENDING)
    return sum(sent.values()) - len(sent)


def executions(records: Iterable[Record]) -> list[tuple[float, float | None]]:
    """When each execution of a task began, and when it came to its end; None when it never did."""
    open_spans: dict[tuple[str, int], float] = {}
    spans: list[tuple[float, float | None]] = []
    for record in sorted(records, key=lambda record: record.time):
        key = (record.task_id, record.pid)
        if record.kind == STARTED:
            open_spans[key] = record.time
        elif record.kind == FINISHED and key in open_spans:
            spans.append((open_spans.pop(key), record.time))
    return sorted([*spans, *((began, None) for began in open_spans.values())], key=lambda span: span[0])


def missing(records: Iterable[Record], dead: Mapping[str, str]) -> set[str]:
    """The confirmed tasks that have neither finished nor been dead-lettered by now."""
    confirmed, finished = set(), set()
    for record in records:
        if record.kind == CONFIRMED:
            confirmed.add(record.task_id)
        elif record.kind == FINISHED:
            finished.add(record.task_id)
    return confirmed - finished - dead.keys()
