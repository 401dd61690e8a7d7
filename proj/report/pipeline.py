"""A pipeline in words and letters: its timeline by stage, its figures, and which stage is the bottleneck."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from proj.metrics.span import end_of_record, start
from proj.report.tables import Table, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.metrics import Lane, PipelineFigures

#: Columns of the timeline.
WIDTH = 60
LEGEND_WIDTH = 100
#: What stands for a message in every lane: the first one is 1; those for which there is no sign are a block.
SIGNS = "123456789" + string.ascii_letters
FURTHER = "█"
IDLE = "·"
#: What stands for work that did not end well.
ENDS = {"failed": "!", "lost": "×", "rejected": "×"}  # noqa: RUF001 a cross, as in the other pictures


def signs(task_ids: Iterable[Sequence[str]]) -> dict[str, str]:
    """The sign of each task: those of all stages that are about the same message have the same.

    Args:
        task_ids: for each message, the ids of its tasks.
    """
    return {
        task_id: SIGNS[place] if place < len(SIGNS) else FURTHER
        for place, ids in enumerate(task_ids)
        for task_id in ids
    }


def legend(messages: Sequence[str]) -> str:
    """Which sign stands for which message, in one line that may be cut."""
    line = "  ".join(f"{sign} {message}" for sign, message in zip(SIGNS, messages, strict=False))
    whole = len(line) <= LEGEND_WIDTH and len(messages) <= len(SIGNS)
    return line if whole else line[: LEGEND_WIDTH - 1] + "…"


def timeline(stages: Mapping[str, Sequence[Lane]], marks: Mapping[str, str]) -> list[str]:
    """A line for each slot of each stage, on one scale of time; `marks` are the signs by the id of the task."""
    attempts = [attempt for lanes in stages.values() for lane in lanes for attempt in lane.attempts]
    begins = [time for attempt in attempts for time in (attempt.sent, start(attempt)) if time is not None]
    origin = min(begins, default=0.0)
    end = max(end_of_record(attempts), origin)
    scale = WIDTH / ((end - origin) or 1.0)
    names = [lane.worker.partition("@")[0] for lanes in stages.values() for lane in lanes]
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
                first = min(round((begun - origin) * scale), WIDTH - 1)
                after = max(first + 1, round(((attempt.finished or end) - origin) * scale))
                sign = ENDS.get(attempt.state, marks.get(attempt.task_id, FURTHER))
                cells[first:after] = [sign] * (min(after, WIDTH) - first)
            lines.append(f"  {lane.worker.partition('@')[0]:<{margin - 2}}" + "".join(cells[:WIDTH]))
    return [*lines, " " * margin + "0" + seconds(end - origin).rjust(WIDTH - 1)]


def stages_table(figures: PipelineFigures) -> Table:
    """One row a stage, and one for the whole."""
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
    """Which stage is the bottleneck, and how many workers would balance it, in words."""
    slow = [stage for stage in figures.stages if stage.name in figures.bottlenecks]
    others = [stage for stage in figures.stages if stage.demand_s and stage not in slow]
    if not others:
        can_do = ", ".join(f"{stage.name} can do {_rate(stage.capacity_per_s)}" for stage in slow)
        return f"The stages keep pace: {can_do}." if figures.is_balanced else "Not all stages have done anything."
    rival = min(others, key=lambda stage: stage.capacity_per_s)
    said = [
        f"{'The' if len(slow) == 1 else 'A'} bottleneck is {stage.name}: with {_workers(stage.slots)} it can do "
        f"{_rate(stage.capacity_per_s)}, {rival.name} {_rate(rival.capacity_per_s)}; "
        f"{_workers(stage.balanced_slots)} would keep up with {rival.name}."
        for stage in slow
    ]
    said += [
        f"As it is, {stage.balanced_slots} of the {stage.slots} workers of {stage.name} would be enough."
        for stage in others
        if stage.balanced_slots < stage.slots
    ]
    return " ".join(said)


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"


def _rate(per_s: float) -> str:
    return f"{per_s:.2f}/s"
