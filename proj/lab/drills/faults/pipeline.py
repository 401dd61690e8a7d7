"""Faults of the stages of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.utils import uuid

from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.tasks import BALKED

if TYPE_CHECKING:
    from proj.lab.drills.system.system_under_test import SystemUnderTest

#: Messages for which each stage raises an error.
RAISES = 3
#: Seconds until all of them must be dead-lettered.
DEAD_LETTER_TIMEOUT_S = 30.0


def raise_in_stages(system: SystemUnderTest) -> str:
    """Let each stage raise an error for some messages; the dead letters must have the error as their reason."""
    guilty: set[str] = {uuid() for _ in range(RAISES * len(system.queues))}
    system.guilty |= guilty
    for number, task_id in enumerate(sorted(guilty)):
        system.client.send("balk", task_id=task_id, queue=system.queues[number % len(system.queues)])
        system.pause(0.1)
    system.wait(
        lambda: guilty <= system.client.dead().keys(),
        what="the messages of failed tasks to be dead-lettered",
        timeout_s=DEAD_LETTER_TIMEOUT_S,
    )
    reasons = system.client.dead()
    if unreadable := {reasons[task_id] for task_id in guilty if BALKED not in reasons[task_id]}:
        raise NotStruck(f"The reason of a dead letter is not what its stage raised: {unreadable.pop()}")
    system.wait_for_work(20)
    return f"each stage raised {RAISES} times, and the dead letters have the reason"
