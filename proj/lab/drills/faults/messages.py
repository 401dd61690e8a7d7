"""Faults of tasks and messages: tasks that kill, and messages that no worker can run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celery.utils import uuid

from proj.lab.drills.system.strike import NotStruck

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.drills.system.system_under_test import SystemUnderTest

#: Seconds until a task that kills must have started.
STARTED_TIMEOUT_S = 30.0
#: Stands for a missing header.
ABSENT = object()
#: Messages that were seen to kill a worker, to block a slot, or to vanish: the difference from a valid message.
MALFORMED: dict[str, dict[str, Any]] = {
    "task is a list": {"headers": {"task": ["proj.lab.drills.system.tasks.note"]}},
    "id is a list": {"headers": {"id": ["a", "b"]}},
    "no id": {"headers": {"id": ABSENT}},
    "timelimit is a text": {"headers": {"timelimit": "soon"}},
    "timelimit of one element": {"headers": {"timelimit": [10]}},
    "stamped_headers is a number": {"headers": {"stamped_headers": 7}},
    "body is no JSON": {"body": b"\xff\xfe not JSON"},
    "unknown content type": {"properties": {"content_type": "application/x-unheard-of"}},
    "unknown compression": {"headers": {"compression": "application/x-unheard-of"}},
    "nested 3,000 deep": {"body": b"[" * 3000 + b"]" * 3000},
    "kwargs are a number": {"body": b'[[0.1], 7, {"callbacks": null, "errbacks": null, "chain": null}]'},
    "no task of this name": {"headers": {"task": "proj.lab.drills.system.tasks.nobody"}},
    "wrong arguments": {"body": b'[[1, 2, 3, 4], {}, {"callbacks": null, "errbacks": null, "chain": null}]'},
}
#: Tasks that are sent at once, and headers that make RabbitMQ close the connection of whoever sends them.
TOGETHER = 300
POISONED: tuple[dict[str, Any], ...] = ({"large": "x" * 150_000}, {"share": float("nan")})


def poison(task: str) -> Callable[[SystemUnderTest], str]:
    """A fault: one such task among the others."""

    def strike(system: SystemUnderTest) -> str:
        task_id: str = uuid()
        system.guilty.add(task_id)
        system.client.send(task, task_id=task_id)
        system.wait(lambda: system.starts(task_id), what=f"a start of {task}", timeout_s=STARTED_TIMEOUT_S)
        system.wait_for_work(20)
        return f"one task {task} among the others"

    return strike


def send_malformed(system: SystemUnderTest) -> str:
    """Publish every malformed message among the valid ones."""
    for number, difference in enumerate(MALFORMED.values()):
        task_id = uuid()
        system.guilty.add(task_id)
        headers = {
            "lang": "py",
            "task": "proj.lab.drills.system.tasks.note",
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "timelimit": [None, None],
        }
        system.client.send_raw(
            task_id,
            difference.get("body", json.dumps([[0.1], {}, {}]).encode()),
            headers={
                name: value
                for name, value in {**headers, **difference.get("headers", {})}.items()
                if value is not ABSENT
            },
            properties=difference.get("properties"),
        )
        if number % 4 == 0:
            system.pause(0.1)
    if not system.guilty:
        raise NotStruck("No malformed message was sent.")
    return f"{len(MALFORMED)} malformed messages among the others"


def send_poisoned(system: SystemUnderTest) -> str:
    """Send many tasks at once, some with headers that would close the connection: only these are refused.

    Raises:
        NotStruck: other ones were refused, or none.
    """
    usual: list[dict[str, Any]] = [{} for _ in range(TOGETHER - len(POISONED))]
    middle = len(usual) // 2
    refused = system.client.send_together("note", [*usual[:middle], *POISONED, *usual[middle:]], 0.0)
    if len(refused) != len(POISONED):
        raise NotStruck(f"{len(refused)} of {TOGETHER} tasks were refused instead of {len(POISONED)}.")
    system.wait_for_work(TOGETHER // 2)
    return f"{len(refused)} of {TOGETHER} tasks of one send_many refused for their headers"
