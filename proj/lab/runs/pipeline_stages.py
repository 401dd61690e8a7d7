"""The stages of the lab's pipeline, the ids of a message in each stage, and what the last stage printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proj.delivery.stage import output_id
from proj.errors import InvalidSetting
from proj.queues import PRINT_QUEUE, UPPERCASE_QUEUE
from proj.tasks import PRINT_DOTS, UPPERCASE_DOTS, printer, to_upper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from proj.lab.processes.process import Process


@dataclass(frozen=True, kw_only=True)
class PipelineStage:
    """One stage: a task with its own queue."""

    name: str
    #: The name of its task.
    task: str
    queue: str
    #: Dots of work for each message.
    dots: int
    #: The first letter of its workers' names, as in the tutorials: T1, P1, P2.
    letter: str


#: The stages in the order of a message's way.
STAGES = (
    PipelineStage(name="to_upper", task=to_upper.name, queue=UPPERCASE_QUEUE, dots=UPPERCASE_DOTS, letter="T"),
    PipelineStage(name="printer", task=printer.name, queue=PRINT_QUEUE, dots=PRINT_DOTS, letter="P"),
)

#: The most workers of one stage; the option takes three digits.
MOST_WORKERS = 999

#: A line of a worker's log that a stage wrote: the time, the task's id, the text.
_LINE = r"^\[([^\]]+): INFO/[^\]]*\] {task}\[([^\]]+)\]: (.*)$"


@dataclass(frozen=True, kw_only=True, order=True)
class Printed:
    """One line that a printer printed; lines sort by time."""

    #: As in the log, to the millisecond.
    time: str
    #: Such as "P1: GOODBYE".
    line: str
    task_id: str


def chosen_workers(settings: Iterable[str]) -> dict[str, int]:
    """The number of workers of each stage, by the stage's name, from options such as `printer=2`; 1 by default.

    Raises:
        InvalidSetting: there is no such stage, the number is not allowed, or a stage is given twice.
    """
    stages = [stage.name for stage in STAGES]
    workers: dict[str, int] = {}
    for setting in settings:
        name, _, count = setting.partition("=")
        if name not in stages or not re.fullmatch(r"[1-9][0-9]{0,2}", count):
            allowed = f"NAME=WORKERS, such as printer=2, of {', '.join(stages)}, with 1 to {MOST_WORKERS} workers"
            raise InvalidSetting("--stage", setting, allowed)
        if name in workers:
            raise InvalidSetting("--stage", setting, f"given once for {name}, which has {workers[name]} already")
        workers[name] = int(count)
    return {name: workers.get(name, 1) for name in stages}


def ids_by_stage(input_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the tasks of each stage, by the stage's name, in the order of the inputs."""
    ids = list(input_ids)
    known = {STAGES[0].name: ids}
    for stage in STAGES[1:]:
        ids = [output_id(one, stage.task) for one in ids]
        known[stage.name] = ids
    return known


def printed(workers: Iterable[Process]) -> list[Printed]:
    """What the workers of the last stage printed, in order of time."""
    line = re.compile(_LINE.format(task=re.escape(STAGES[-1].task)), re.MULTILINE)
    return sorted(
        Printed(time=when, line=text, task_id=task_id)
        for worker in workers
        for when, task_id, text in line.findall(worker.log_text())
    )


def lost(expected: Mapping[str, str], lines: Iterable[Printed]) -> list[str]:
    """The messages that were not printed; `expected` are all messages by their id in the last stage."""
    there = {line.task_id for line in lines}
    return [message for task_id, message in expected.items() if task_id not in there]


def doubled(expected: Mapping[str, str], lines: Iterable[Printed]) -> list[str]:
    """The messages that were printed more than once, each listed once for each extra time."""
    seen: set[str] = set()
    again = []
    for line in lines:
        if line.task_id in seen:
            again.append(expected.get(line.task_id, line.line))
        seen.add(line.task_id)
    return again
