"""How long work stood still, computed from the evidence alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, SENDING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proj.lab.drills.system.evidence import Record


def longest_pause(records: Iterable[Record], since: float, until: float) -> float:
    """The longest time without the end of a task between two moments (seconds since the epoch), in seconds."""
    ends = sorted(record.time for record in records if record.kind == FINISHED and since < record.time < until)
    return max(after - before for before, after in pairwise([since, *ends, max(since, until)]))


def is_new_work_done(records: Iterable[Record], moment: float) -> bool:
    """Whether a task has ended whose publish began after this moment."""
    records = list(records)
    new = {record.task_id for record in records if record.kind == SENDING and record.time > moment}
    return any(record.kind == FINISHED and record.task_id in new for record in records)


def unfinished(records: Iterable[Record], moment: float) -> set[str]:
    """The tasks that were confirmed before this moment, and have not ended until now."""
    records = list(records)
    confirmed = {record.task_id for record in records if record.kind == CONFIRMED and record.time < moment}
    return confirmed - {record.task_id for record in records if record.kind == FINISHED}


def rest_done_after(records: Iterable[Record], moment: float) -> float | None:
    """The seconds until every task that was confirmed before this moment had ended; None when one has not."""
    records = sorted(records, key=lambda record: record.time)
    if unfinished(records, moment):
        return None
    first_ends: dict[str, float] = {}
    for record in records:
        if record.kind == FINISHED:
            first_ends.setdefault(record.task_id, record.time)
    before = (record.task_id for record in records if record.kind == CONFIRMED and record.time < moment)
    return max([0.0, *(first_ends[task_id] - moment for task_id in before)])
