"""What the workers of a measured run say of themselves, beside the starts whose events reached us."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from proj.journal.worker_info import ask_workers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery

    from proj.journal.records import Worker

#: Seconds that a worker may take to reply. All reply in milliseconds, and then nobody waits.
TIMEOUT_S = 5.0


def ask_run_workers(app: Celery, nodes: Collection[str], *, started_seen: Mapping[str | None, int]) -> list[Worker]:
    """The named workers, with the task starts that they count and those that we saw; without those that are silent.

    Raises:
        NoBroker: the broker is gone.
    """
    return [
        replace(worker, started_seen=started_seen.get(worker.name, 0))
        for worker in ask_workers(app, nodes, timeout_s=TIMEOUT_S)
        if worker.slots and worker.queues and worker.dispatch
    ]
