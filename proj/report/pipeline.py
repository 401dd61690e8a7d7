"""Pipelines as text: the timeline of each stage, the table of the stages, and which stage is the bottleneck."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from proj.metrics.span import end_of_record, start
from proj.report.chart import FAILED, IDLE, LOST, WIDTH, draw_bar, short_name, time_axis
from proj.report.tables import Table, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.metrics import Lane, PipelineFigures

#: Columns of the legend.
LEGEND_WIDTH = 100
#: The signs of messages in every row; a message without a sign of its own gets `FURTHER`.
SIGNS = "123456789" + string.ascii_letters
FURTHER = "█"
#: The signs of attempts that did not succeed, instead of their message's.
ENDS = {"failed": FAILED, "lost": LOST, "rejected": LOST}


def signs(task_ids: Iterable[Sequence[str]]) -> dict[str, str]:
    """The sign of each task by its id; the tasks of all stages for one message have the same sign.

    Args:
        task_ids: for each message, the ids of its tasks.
    """
    return {
        task_id: SIGNS[place] if place < len(SIGNS) else FURTHER
        for place, ids in enumerate(task_ids)
        for task_id in ids
    }


def legend(messages: Sequence[str]) -> str:
    """The messages with their signs, in one line that is cut at `LEGEND_WIDTH` columns."""
    line = "  ".join(f"{sign} {message}" for sign, message in zip(SIGNS, messages, strict=False))
    whole = len(line) <= LEGEND_WIDTH and len(messages) <= len(SIGNS)
    return line if whole else line[: LEGEND_WIDTH - 1] + "…"


def timeline(stages: Mapping[str, Sequence[Lane]], marks: Mapping[str, str]) -> list[str]:
    """One line for each slot of each stage, on one scale of time; `marks` are the signs by task id."""
    attempts = [attempt for lanes in stages.values() for lane in lanes for attempt in lane.attempts]
    begins = [time for attempt in attempts for time in (attempt.sent, start(attempt)) if time is not None]
    origin = min(begins, default=0.0)
    end = max(end_of_record(attempts), origin)
    span_s = (end - origin) or 1.0
    names = [short_name(lane.worker) for lanes in stages.values() for lane in lanes]
    margin = max([len(name) for name in names] + [2]) + 3
    lines = []
    for stage, lanes in stages.items():
        lines.append(stage)
        for lane in lanes:
            cells = [IDLE] * WIDTH
            for attempt in lane.attempts:
                begun = start(attempt)
                if begun is None:
                    continue
                sign = ENDS.get(attempt.state, marks.get(attempt.task_id, FURTHER))
                draw_bar(cells, begun - origin, (attempt.finished or end) - origin, sign, span_s=span_s)
            lines.append(f"  {short_name(lane.worker):<{margin - 2}}" + "".join(cells))
    return [*lines, time_axis(margin, end - origin)]


def stages_table(figures: PipelineFigures) -> Table:
    """One row for each stage, and one for the whole pipeline."""
    rows = [
        (
            stage.name,
            f"{stage.slots}",
            f"{stage.done:,}",
            seconds(stage.service_s),
            _rate(stage.capacity_per_s),
            _rate(stage.throughput_per_s),
            percent(stage.utilisation),
        )
        for stage in figures.stages
    ]
    last = figures.stages[-1]
    whole = ("pipeline", "", f"{last.done:,}", "", _rate(figures.capacity_per_s), _rate(figures.throughput_per_s), "")
    head = ("stage", "workers", "done", "seconds each", "can do", "did", "utilisation")
    return Table(caption="Stages", head=head, rows=(*rows, whole))


def verdict(figures: PipelineFigures) -> str:
    """Sentences that tell which stage is the bottleneck, and how many workers would balance the pipeline."""
    slow = [stage for stage in figures.stages if stage.name in figures.bottlenecks]
    others = [stage for stage in figures.stages if stage.demand_s and stage not in slow]
    if not others:
        can_do = ", ".join(f"{stage.name} can do {_rate(stage.capacity_per_s)}" for stage in slow)
        return f"The stages keep pace: {can_do}." if figures.is_balanced else "Not every stage has done work."
    slowest_other = min(others, key=lambda stage: stage.capacity_per_s)
    sentences = [
        f"{'The' if len(slow) == 1 else 'A'} bottleneck is {stage.name}: with {_workers(stage.slots)} it can do "
        f"{_rate(stage.capacity_per_s)}, {slowest_other.name} {_rate(slowest_other.capacity_per_s)}; "
        f"{_workers(stage.balanced_slots)} would keep up with {slowest_other.name}."
        for stage in slow
    ]
    sentences += [
        f"Otherwise {stage.balanced_slots} of the {stage.slots} workers of {stage.name} are enough."
        for stage in others
        if stage.balanced_slots < stage.slots
    ]
    return " ".join(sentences)


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"


def _rate(per_s: float) -> str:
    return f"{per_s:.2f}/s"
