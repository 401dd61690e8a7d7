"""Flower types: Flower's classes that the dashboard extends, with types for the attributes that it uses.

Flower ships no types. At run time the names are Flower's own; tests/unit/dashboard/test_flower_contract.py checks that
it has each attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping

    from celery import Celery
    from celery.events.state import Task
    from tornado.ioloop import IOLoop, PeriodicCallback
    from tornado.options import OptionParser
    from tornado.routing import URLSpec
    from tornado.web import Application
    from tornado.web import RequestHandler as BaseHandler

    class Series(Protocol):
        """Flower's own series on /metrics."""

        def remove_workers(self, names: Iterable[str]) -> None:
            """Remove the series of these workers."""

    class EventsState(Protocol):
        """What Flower's pages show; it belongs to the thread of its loop."""

        workers: MutableMapping[str, object]
        tasks: Mapping[str, Task]
        counter: MutableMapping[str, object]
        tasks_by_worker: MutableMapping[str, object]
        metrics: Series
        #: The class of the tasks that come from now on.
        Task: type[Task]

        def event(self, event: dict[str, Any]) -> object:
            """Take an event."""

    class Events(Protocol):
        """The thread that receives events, and their state."""

        state: EventsState
        on_event: Callable[[object], None]
        timer: PeriodicCallback
        events_enable_interval: float

        async def on_enable_events(self) -> None:
            """Tell workers to send events."""

    class Inspector(Protocol):
        """Asks workers, and keeps their answers."""

        workers: Mapping[str, object]
        _on_update: Callable[[object, str, object], None]

    class Flower(Application):
        """Flower's application."""

        options: OptionParser
        io_loop: IOLoop
        events: Events
        inspector: Inspector

        def __init__(self, *, options: OptionParser, capp: Celery, **settings: object) -> None:
            """Make it for an app."""

        def start(self) -> None:
            """Serve until `stop`."""

        def start_http_server(self) -> int | None:
            """Listen; the port."""

        def stop(self) -> None:
            """End."""

    class TaskView(BaseHandler):
        """Flower's handler of the page of a task."""

        def get(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
            """Write it."""

    class Metrics(BaseHandler):
        """Flower's handler of /metrics."""

        def get(self, *args: str, **kwargs: str) -> Awaitable[None] | None:
            """Write them."""

    def rewrite_handler(rule: URLSpec, prefix: str) -> URLSpec:
        """The rule with the prefix before its address."""
else:
    from flower.app import Flower, rewrite_handler
    from flower.views import BaseHandler
    from flower.views.monitor import Metrics
    from flower.views.tasks import TaskView

__all__ = ["BaseHandler", "Flower", "Metrics", "TaskView", "rewrite_handler"]
