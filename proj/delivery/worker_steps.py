"""The bootsteps that keep a worker at work, and let it leave in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proj.delivery.recovery.monitoring_events import send_events_once
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from celery import Celery


def watch_worker(app: Celery) -> None:
    """Give the workers of `app` a watchdog, an orderly exit, and an answer to the broker's consumer timeout.

    The setting `proj_consumer_timeout_s` says after how many seconds the broker takes a task back that was not
    acknowledged; None for a broker that has no such timeout.
    """
    send_events_once(app)
    provide_defaults(app)
    # By their names, for a client that publishes needs nothing of a worker's modules.
    app.steps["worker"].update(
        {"proj.delivery.shutdown.warm_shutdown:WarmShutdown", "proj.delivery.recovery.watchdog:WatchConnections"}
    )
    app.steps["consumer"].update(
        {
            "proj.delivery.recovery.lost_consumers:WatchConsumers",
            "proj.delivery.consuming.prefetch:AdjustPrefetch",
            "proj.delivery.consuming.lease:TakeLeases",
        }
    )
