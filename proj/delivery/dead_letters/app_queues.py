"""The queues that an app's configuration names, wherever it does, with the type of each as the app declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celery.app.routes import MapRoute

from proj import queues
from proj.delivery.printable import shown
from proj.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery


def named_queues(app: Celery, also: Iterable[str] = ()) -> dict[str, str]:
    """The type, by its name, of each queue of `task_queues`, `task_routes` and `proj_adopt`, and of those `also`.

    Without `task_queues` the default queue is the app's. What a router function would say is not known; a queue that is
    not among `task_queues` has the type that Celery gives a missing one.

    Raises:
        InvalidConfiguration: `task_routes` is nothing that Celery can read.
    """
    declared = {
        name: str((queue.queue_arguments or {}).get("x-queue-type", queues.CLASSIC))
        for name, queue in app.amqp.queues.items()
    }
    adopt = app.conf.get("proj_adopt")
    adopting = list(adopt) if isinstance(adopt, Mapping) else []
    missing_type = str(app.conf.task_create_missing_queue_type or queues.CLASSIC)
    for name in (*_routed(app), *adopting, *also):
        declared.setdefault(name, missing_type)
    return declared


def _routed(app: Celery) -> Iterator[str]:
    try:
        tables = [route for route in app.amqp.routes if isinstance(route, MapRoute)]
    except (TypeError, ValueError) as error:
        raise InvalidConfiguration(
            f"task_routes is {shown(app.conf.task_routes)}, but must be a table from names of tasks to queues, "
            'such as {"tasks.add": "sums"}, or a list of such tables.'
        ) from error
    for table in tables:
        for route in (*table.map.values(), *table.patterns.values()):  # type: ignore[attr-defined] # unlike celery-types
            name = _queue(route)
            if name:
                yield name


def _queue(route: Any) -> str:  # noqa: ANN401 whatever stands in the configuration
    """The queue's name in a route: a text, or a table that has it or a kombu queue; empty when it names none."""
    queue = route.get("queue") if isinstance(route, Mapping) else route
    name = getattr(queue, "name", queue)
    return name if isinstance(name, str) else ""
