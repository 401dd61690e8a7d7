"""The roll call: workers of the lab asked what they are and how much they have begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.broker.connection import connected
from proj.journal.records import Worker
from proj.journal.worker_info import dispatch
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celery import Celery

#: Seconds that a worker may take to answer; all have in milliseconds, and then nobody is waited for.
TIMEOUT_S = 5.0


def roll_call(app: Celery, nodes: Sequence[str], *, started_seen: Mapping[str | None, int]) -> list[Worker]:
    """What each worker says of itself, beside the starts of it whose events reached us; without those that are silent.

    The journal's census waits its full time for whoever may answer; here it is known who there is.

    Raises:
        NoBroker: the broker is gone.
    """
    with connected(app.connection_for_write()) as connection:
        inspect = app.control.inspect(
            destination=list(nodes), timeout=TIMEOUT_S, connection=connection, limit=len(nodes)
        )
        stats, queues, settings = (answer() or {} for answer in (inspect.stats, inspect.active_queues, inspect.conf))
    return [
        Worker(
            name=node,
            slots=stats[node]["pool"]["max-concurrency"],  # type: ignore[call-overload] # unlike celery-types
            queues=tuple(queue["name"] for queue in queues[node] if not is_plumbing(queue["name"])),  # type: ignore[index] # unlike celery-types
            dispatch=dispatch(settings[node]),
            processed=sum(stats[node]["total"].values()),  # type: ignore[call-overload] # unlike celery-types
            started_seen=started_seen.get(node, 0),
        )
        for node in nodes
        if node in stats and node in queues and node in settings
    ]
