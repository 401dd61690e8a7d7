"""The bootsteps that keep a worker working and let it stop without losing a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.recovery.monitoring_events import send_events_once
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from celery import Celery


def watch_worker(app: Celery) -> None:
    """Give the workers of `app` a watchdog, an orderly warm shutdown, leases on long tasks, and cheap events.

    The setting `proj_consumer_timeout_s` says after how many seconds the broker takes back a message that is not
    acknowledged, its consumer timeout; 0 for a broker that has none.
    """
    send_events_once(app)
    provide_defaults(app)
    # By their names, because a client that publishes needs nothing of a worker's modules.
    app.steps["worker"].update(
        {
            "proj.delivery.shutdown.warm_shutdown:WarmShutdown",
            "proj.delivery.shutdown.interrupted_loop:InterruptedLoop",
            "proj.delivery.recovery.watchdog:WatchConnections",
        }
    )
    app.steps["consumer"].update(
        {
            "proj.delivery.recovery.optional_steps:GoOnWithout",
            "proj.delivery.recovery.lost_consumers:LostConsumers",
            "proj.delivery.recovery.event_flushes:CoalesceEvents",
            "proj.delivery.dispatch.adapt:AdaptDispatch",
            "proj.delivery.consuming.prefetch:AdjustPrefetch",
            "proj.delivery.consuming.lease:TakeLeases",
        }
    )
