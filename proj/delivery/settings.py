"""The settings of delivery and their defaults, which the app's own configuration overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from proj.delivery.validation.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery
    from celery.app.utils import Settings

_LIMITS = Limits()
#: Every setting of `proj.delivery` with its default. None switches a time limit off.
DEFAULTS: dict[str, Any] = {
    # Seconds until a publish raises `Unconfirmed`: a restart of the broker takes at most a minute, and half a minute is
    # added for the publish itself.
    "proj_publish_timeout_s": 90.0,
    # Seconds until a publish to a full queue raises `QueueFull`: long enough for a peak to pass, and shorter than the
    # timeout of most web requests.
    "proj_queue_full_timeout_s": 10.0,
    # Seconds for which the result of a task that has run is tried to be stored in a backend that is away: a restart of
    # it takes at most a minute. After that the task has ended without it.
    "proj_result_timeout_s": 60.0,
    # Seconds after which the broker takes back an unacknowledged message: the broker's `consumer_timeout`. This is
    # RabbitMQ's own default since 3.8.17. On RabbitMQ 4.3 the worker sets the timeout, to this or longer.
    "proj_consumer_timeout_s": 1800.0,
    # "adaptive" for adaptive dispatch (`proj.delivery.dispatch`); with any other value Celery's settings decide.
    "proj_dispatch": None,
    # Seconds for which a worker in adaptive dispatch holds a message that none of its slots is free for.
    "proj_dispatch_budget_s": 0.05,
    # The messages that a worker runs; see `proj.delivery.validation.limits`.
    "proj_deepest": _LIMITS.deepest,
    "proj_largest_bytes": _LIMITS.largest_bytes,
    "proj_latest_eta_s": _LIMITS.latest_eta_s,
    # Pool processes, or workers, that a message may kill before it is dead-lettered.
    "proj_strikes": 3,
    # How often a task may requeue its message: as often as a quorum queue of RabbitMQ 4 delivers a message.
    "proj_requeues": 20,
    # By the name of a queue, the task that runs its plain messages. A queue without one runs Celery's messages alone.
    "proj_adopt": {},
    # Whether queues, exchanges and bindings are declared; False where somebody else makes them (`queues topology`).
    "proj_declare": True,
    # Topic patterns. A worker with patterns consumes the tasks that match, and not those of its usual queues.
    "proj_bind": (),
}


def provide_defaults(app: Celery, values: Mapping[str, Any] = DEFAULTS) -> None:
    """Add `values` to `app.conf`, below the app's own configuration and above Celery's defaults.

    Celery's `add_defaults` would put them above a configuration that was read before.
    """

    def add(source: Settings, **_: object) -> None:
        # The stub allows None, which Celery never leaves there.
        maps = cast("list[Mapping[str, Any]]", source.maps)
        if not any(each is values for each in maps):
            # Celery takes the last one for its defaults.
            maps.insert(len(maps) - 1, values)

    if app.configured:  # type: ignore[attr-defined] # celery-types does not have it
        add(app.conf)
    else:
        app.on_after_configure.connect(add, weak=False)


def setting(app: Celery, name: str) -> Any:  # noqa: ANN401 a setting
    """The value of a setting of `DEFAULTS`, safe in any thread.

    Celery makes `app.conf` visible to other threads before the defaults are added.
    """
    return app.conf.get(name, DEFAULTS[name])
