"""The queues that an app's configuration names, with their types, and the name of its dead-letter queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from celery.app.routes import MapRoute

from proj import queues
from proj.errors import InvalidConfiguration
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from celery import Celery


#: Names of tasks whose routes are remembered. Anyone who can publish could name any number.
MOST_ROUTES = 10_000


class _Routes(Protocol):
    """What celery-types does not know of a `MapRoute`: the queues by task name, and by pattern of task names."""

    map: Mapping[str, object]
    patterns: Mapping[Any, object]


def dead_letter_queue(app: Celery) -> str:
    """The name of the app's dead-letter queue: its setting `proj_dead_letter_queue`, else `dead_letters`."""
    return str(app.conf.get("proj_dead_letter_queue") or queues.DEAD_LETTERS)


def queue_types(app: Celery, additional: Iterable[str] = ()) -> dict[str, str]:
    """The type of each queue in `task_queues`, `task_routes` and `proj_adopt` and of the `additional` ones, by name.

    Without `task_queues` the app has its default queue. A queue that is not in `task_queues` has the type that Celery
    gives to a missing queue. Queues that only a router function names are not known.

    Raises:
        InvalidConfiguration: Celery cannot read `task_routes`.
    """
    types = {
        name: str((queue.queue_arguments or {}).get("x-queue-type", queues.CLASSIC))
        for name, queue in app.amqp.queues.items()
    }
    adopt = app.conf.get("proj_adopt")
    adopting = list(adopt) if isinstance(adopt, Mapping) else []
    missing_type = str(app.conf.task_create_missing_queue_type or queues.CLASSIC)
    for name in (*_routed(app), *adopting, *additional):
        types.setdefault(name, missing_type)
    return types


class Routes:
    """The queues to which the tables in `task_routes` send tasks; a router function or a caller may send elsewhere."""

    def __init__(self, app: Celery) -> None:
        """Read the tables of `app`; there are none where Celery cannot read them."""
        self._found: dict[str, str | None] = {}
        try:
            self._routes = _tables(app)
        except InvalidConfiguration:
            self._routes = []

    def queue_of(self, task: str | None, consumed: Collection[str]) -> str | None:
        """The queue of a task by its name; None when no table names it.

        A task that came to a worker which consumes other queues only (`consumed`; empty when it is not known which) was
        sent elsewhere.
        """
        if task is None or not self._routes:
            return None
        if task not in self._found:
            if len(self._found) >= MOST_ROUTES:
                self._found.clear()
            self._found[task] = next((name for table in self._routes if (name := _queue_name(table(task)))), None)
        queue = self._found[task]
        return None if consumed and queue not in consumed else queue


def _tables(app: Celery) -> list[MapRoute]:
    try:
        return [route for route in app.amqp.routes if isinstance(route, MapRoute)]
    except (TypeError, ValueError) as error:
        raise InvalidConfiguration(
            f"task_routes is {shown(app.conf.task_routes)}, but must be a table from names of tasks to queues, "
            'such as {"tasks.add": "sums"}, or a list of such tables.'
        ) from error


def _routed(app: Celery) -> Iterator[str]:
    """The queues in `task_routes`."""
    for table in cast("list[_Routes]", _tables(app)):
        for route in (*table.map.values(), *table.patterns.values()):
            name = _queue_name(route)
            if name:
                yield name


def _queue_name(route: object) -> str:
    """The queue's name in a route, which is a text, a kombu queue or a table with either; empty when it has none."""
    queue = route.get("queue") if isinstance(route, Mapping) else route
    name = getattr(queue, "name", queue)
    return name if isinstance(name, str) else ""
