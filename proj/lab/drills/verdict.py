"""The verdict on a drill: what became of every task, computed from the evidence alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, RAISED, SENDING, STARTED
from proj.lab.drills.system.strike import Hit

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from proj.lab.drills.system.evidence import Record

#: Seconds after its end for which a task counts as in flight: its acknowledgement is on the way from the pool process
#: to the broker, and AMQP does not confirm acknowledgements.
ACKNOWLEDGED_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of the tasks of a drill. A guilty task is one that is itself the fault; the others are innocent."""

    #: Publishes that returned, that raised, and that did neither before the publisher ended.
    confirmed: int
    raised: int
    unanswered: int
    #: Tasks whose code ran to its end, and tasks in the dead-letter queue.
    finished: int
    dead_lettered: int
    #: Starts of innocent tasks beyond the first of each, and the most that the hits allow: the tasks in flight at each
    #: hit, and the tasks that one of these had handed on to the next stage before it ran again.
    executed_twice: int
    in_flight: int
    #: Starts of guilty tasks.
    guilty_starts: int
    #: Ids of tasks that were confirmed and neither finished nor dead-lettered.
    lost: tuple[str, ...]
    #: Ids of innocent tasks that were dead-lettered.
    condemned: tuple[str, ...]

    @property
    def complaints(self) -> tuple[str, ...]:
        """Each broken promise, in one sentence."""
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
    window: int,
    ignore: Collection[str] = (),
) -> Verdict:
    """The verdict from the evidence.

    Args:
        records: all lines of the drill, in any order.
        dead: ids of the tasks that were dead-lettered.
        guilty: ids of the tasks that are the fault; each of their starts is a hit too.
        hits: when the fault struck.
        window: messages that one worker holds at most, and so the most tasks that a guilty one can hit.
        ignore: ids of tasks that are not part of the drill.
    """
    ids: dict[str, set[str]] = {kind: set() for kind in (SENDING, CONFIRMED, RAISED, STARTED, FINISHED)}
    for record in records:
        if record.task_id not in ignore:
            ids[record.kind].add(record.task_id)
    innocent = [record for record in records if record.task_id not in guilty and record.task_id not in ignore]
    starts = Counter(record.task_id for record in innocent if record.kind == STARTED)
    guilty_starts = [record.time for record in records if record.kind == STARTED and record.task_id in guilty]
    blows = [*hits, *(Hit(began=time, ended=time + ACKNOWLEDGED_S, window=window) for time in guilty_starts)]
    dead_lettered = set(dead)
    return Verdict(
        confirmed=len(ids[CONFIRMED]),
        raised=len(ids[RAISED]),
        unanswered=len(ids[SENDING] - ids[CONFIRMED] - ids[RAISED]),
        finished=len(ids[FINISHED]),
        dead_lettered=len(dead_lettered),
        executed_twice=sum(starts.values()) - len(starts),
        in_flight=in_flight(innocent, blows) + handed_on_again(innocent),
        guilty_starts=len(guilty_starts),
        lost=tuple(sorted(ids[CONFIRMED] - ids[FINISHED] - dead_lettered)),
        condemned=tuple(sorted(dead_lettered - set(guilty))),
    )


def in_flight(records: Iterable[Record], hits: Iterable[Hit]) -> int:
    """The number of executions that the hits may have cut short, summed over the hits.

    A hit reaches the executions that run during it and those that ended less than `ACKNOWLEDGED_S` before it, at most
    as many as the prefetch window of the workers it struck. An execution that never ended was ended by the first hit
    after its start.

    A hit on the broker itself also reaches what the broker may not have written. Acknowledgements wait for the disk
    behind one another and behind publishes, so those that arrived before a confirmed publish are written. A publish
    without a confirm is sent again, and the broker may have written the first copy too.
    """
    records = list(records)
    spans = executions(records)
    total = 0
    for hit in sorted(hits, key=lambda hit: hit.ended):
        safe = hit.began if hit.window is not None else written_until(records, hit.began)
        reached = [
            (began, ended)
            for began, ended in spans
            if began <= hit.ended and (ended is None or ended + ACKNOWLEDGED_S >= safe)
        ]
        total += len(reached) if hit.window is None else min(len(reached), hit.window)
        total += unanswered_at(records, hit.began) if hit.window is None else 0
        spans = [span for span in spans if span[1] is not None or span not in reached]
    return total


def unanswered_at(records: Iterable[Record], time: float) -> int:
    """The number of publishes that had begun by `time` and had neither returned nor raised."""
    sending: set[str] = set()
    for record in sorted(records, key=lambda record: record.time):
        if record.time > time:
            break
        if record.kind == SENDING:
            sending.add(record.task_id)
        elif record.kind in (CONFIRMED, RAISED):
            sending.discard(record.task_id)
    return len(sending)


def written_until(records: Iterable[Record], time: float) -> float:
    """The time until which the broker has shown, by `time`, that it wrote what it got; `time` when it got no publish.

    It is the beginning of the last publish that was confirmed. With a disk that stood still for a second before the
    broker was killed, two to four tasks ran again that had ended more than `ACKNOWLEDGED_S` before.
    """
    last: dict[str, float] = {}
    written = None
    for record in sorted(records, key=lambda record: record.time):
        if record.time > time:
            break
        if record.kind == SENDING:
            last[record.task_id] = record.time
        elif record.kind == CONFIRMED and record.task_id in last:
            written = max(written or 0.0, last[record.task_id])
    if not last:
        return time
    return 0.0 if written is None else written


def handed_on_again(records: Iterable[Record]) -> int:
    """How many tasks were published again under the same id, by a stage that ran again."""
    sent = Counter(record.task_id for record in records if record.kind == SENDING)
    return sum(sent.values()) - len(sent)


def executions(records: Iterable[Record]) -> list[tuple[float, float | None]]:
    """The start and the end of each execution of a task; None for an end that never came."""
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
    """The confirmed tasks that are neither finished nor dead-lettered so far."""
    confirmed, finished = set(), set()
    for record in records:
        if record.kind == CONFIRMED:
            confirmed.add(record.task_id)
        elif record.kind == FINISHED:
            finished.add(record.task_id)
    return confirmed - finished - dead.keys()
