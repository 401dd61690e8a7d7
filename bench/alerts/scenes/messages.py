"""Scenes of tasks and messages that become dead letters or quarantined, or are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from celery.utils import uuid
from kombu import Connection, Producer

from alerts.scenes.workers import EVERY_S, HOURS_S
from proj.delivery.send_many import send_many
from proj.errors import NoManagement, PublishRefused
from proj.lab.drills.faults.messages import ABSENT, MALFORMED, POISONED
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerts.system import System

#: Slots of the worker of a scene, and seconds until a worker or the queue of dead letters must have done its part.
SLOTS, PART_S = 2, 300.0
#: Messages that expire; tasks that are sent at once; and seconds between two times.
EXPIRING, TOGETHER, AGAIN_S = 10, 50, 20.0


def poison(queue: str, task: str, *, is_killed: bool = False) -> Callable[..., Iterator[None]]:
    """One such task; where it kills its worker, that is started again."""

    def play(system: System) -> Iterator[None]:
        worker = system.worker(queue)
        if is_killed:
            system.supervise(worker)
        system.publish(queue, "work", 0.1, every_s=EVERY_S)
        yield
        system.publish(queue, task)

    return play


def suspects(system: System) -> Iterator[None]:
    """A task kills the whole worker twice, and then all slots have tasks of hours, so no worker can run it alone."""
    supervisor = system.supervise(system.worker("suspects"))

    def keep_busy() -> None:
        wait_until(lambda: supervisor.ends[1:], what="the second end of the worker", timeout_s=PART_S)
        for _ in range(SLOTS):
            system.publish("suspects", "work", HOURS_S)

    yield
    system.publish("suspects", "kill_main")
    system.every(0, keep_busy)


def malformed(system: System) -> Iterator[None]:
    """Messages come that no worker can run."""
    system.worker("malformed")
    system.publish("malformed", "work", 0.1, every_s=EVERY_S)
    yield
    usual = {"lang": "py", "task": "alerts.app.work", "root_id": None, "parent_id": None, "group": None, "retries": 0}
    with Connection(system.broker.url(system.host)) as connection:
        for difference in MALFORMED.values():
            headers = {**usual, "id": uuid(), "timelimit": [None, None], **difference.get("headers", {})}
            Producer(connection).publish(
                difference.get("body", json.dumps([[0.1], {}, {}]).encode()),
                exchange="",
                routing_key="malformed",
                headers={name: value for name, value in headers.items() if value is not ABSENT},
                **{"content_type": "application/json", "content_encoding": "utf-8", **difference.get("properties", {})},
            )


def stage_raises(system: System) -> Iterator[None]:
    """A stage of a pipeline raises an error for some messages."""
    system.worker("stage-raises")
    system.publish("stage-raises", "last", 0.1, every_s=EVERY_S)
    yield
    for _ in range(3):
        system.publish("stage-raises", "balk")


def dead_letters_gone(system: System) -> Iterator[None]:
    """The queue of dead letters is deleted; messages expire after the worker has made it again."""
    system.worker("dead-letters-gone")
    system.publish("dead-letters-gone", "work", 0.1, every_s=EVERY_S)
    # Nobody consumes from it.
    policy = {"pattern": "^expiring$", "definition": {"dead-letter-exchange": DEAD_LETTERS}, "apply-to": "queues"}
    system.request("PUT", "policies/expiring", policy)

    def is_there() -> bool:
        try:
            return bool(system.request("GET", f"bindings/e/{DEAD_LETTERS}/q/{DEAD_LETTERS}"))
        except NoManagement:
            return False

    def expire() -> None:
        wait_until(is_there, what="the queue of dead letters", timeout_s=PART_S)
        for _ in range(EXPIRING):
            system.publish("expiring", "work", 0.1, expiration=0.001)

    yield
    system.request("DELETE", f"queues/{DEAD_LETTERS}")
    system.every(0, expire)


def poisoned_bulk(system: System) -> Iterator[None]:
    """Of the tasks of one send_many some are refused, again and again."""
    system.worker("poisoned-bulk")
    system.publish("poisoned-bulk", "work", 0.1, every_s=EVERY_S)
    more = [{}] * TOGETHER + list(POISONED)

    def send() -> None:
        signatures = (
            system.app.signature("alerts.app.work", args=(0.01,)).set(queue="poisoned-bulk", headers=dict(headers))
            for headers in more
        )
        try:
            send_many(signatures, app=system.app)
        except PublishRefused as refusal:
            print(f"  refused: {len(refusal.task_ids)} of {len(more)}", flush=True)

    yield
    system.every(AGAIN_S, send)
