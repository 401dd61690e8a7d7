"""Plain Celery apps, which have nothing of ours: `celery -A dispatch.stock:NAME worker`.

What they do not set is Celery's default: results are off, no events, a message is acknowledged before its task runs,
and four are prefetched a slot. `--prefetch-multiplier` and `--task-events` set the rest.
"""

from __future__ import annotations

from celery import Celery

from dispatch import tasks  # noqa: F401 its tasks belong to every app


def plain(name: str, **settings: object) -> Celery:
    """An app with these settings; the broker is that of CELERY_BROKER_URL."""
    app = Celery(name, set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=True, **settings)
    return app


LATE = {"task_acks_late": True, "task_reject_on_worker_lost": True}
QUORUM = {"task_default_queue_type": "quorum"}

default = plain("default")
rpc = plain("rpc", result_backend="rpc://")
late = plain("late", **LATE)
late_quorum = plain("late_quorum", **LATE, **QUORUM)
#: With the heartbeat of our settings, for which an idle worker wakes up too.
late_quorum_heartbeat = plain("late_quorum_heartbeat", broker_heartbeat=10, **LATE, **QUORUM)
