"""Flower's application, with the Dispatch page in it and doors before its events and its pages."""

from __future__ import annotations

import errno
import gc
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from flower.app import Flower, rewrite_handler
from tornado.ioloop import PeriodicCallback
from tornado.web import OutputTransform, RequestHandler

from proj.dashboard.live.monitor import Analyst, Settings
from proj.dashboard.prometheus.collector import Exposition
from proj.dashboard.web.allowed_hosts import REFUSED, is_allowed
from proj.dashboard.web.event_batches import Handover
from proj.dashboard.web.event_filter import Door
from proj.dashboard.web.handlers import routes
from proj.dashboard.web.options import chosen
from proj.dashboard.web.reply_filter import is_reply
from proj.dashboard.web.template_loader import TwoFolders
from proj.errors import ProjError

if TYPE_CHECKING:
    from celery import Celery
    from tornado.httputil import HTTPHeaders, HTTPServerRequest

    from proj.dashboard.live.status import Readings

#: For Flower's own pages, which have scripts and styles in their text: what is loaded comes from here, what is sent
#: goes here, and no other page may frame them.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
MISDIRECTED = 421
#: Thresholds of the garbage collector: by these it never goes through all that is kept by itself. By Python's own it
#: does so every other second at 6,000 events a second, for 400 ms, and nobody is answered meanwhile.
COLLECTION = (10_000, 20, 1_000_000)
#: Seconds between two such rounds, which free what little the others leave.
COLLECT_S = 120.0


class Dashboard(Flower):  # type: ignore[misc] # Flower has no types
    """Flower with one page more."""

    def __init__(self, options: Any, capp: Celery, **settings: Any) -> None:  # noqa: ANN401 Flower's own
        """Make it of what Flower's command read.

        Raises:
            ProjError: something that was set cannot be used.
        """
        choice = chosen(options)
        settings.setdefault("template_loader", TwoFolders(settings["template_path"]))
        super().__init__(options=options, capp=capp, **settings)
        self._hosts = choice.hosts
        self._live = choice.recorded is None
        self._exposition = Exposition(self._readings)
        self.analyst = Analyst(
            capp,
            Settings(
                keep=choice.history, journal=choice.journal, recorded=choice.recorded, broker_api=options.broker_api
            ),
            observer=self._exposition.observe,
        )
        rules = routes(self.analyst)
        if options.url_prefix:
            rules = [rewrite_handler(rule, options.url_prefix) for rule in rules]
        self.add_handlers(".*", rules)
        self.add_transform(_Headers)
        self._collecting = PeriodicCallback(_collect, COLLECT_S * 1000)
        self._door = Door(senders=options.max_workers, forget=self._forget_later)
        # In the place of Flower's own `on_event`, which wakes its loop for each.
        self._to_flower = Handover(self.io_loop, self.events.state.event).put
        # Flower's thread looks these up on the instance.
        self.events.on_event = self._hear
        self._of_inspector = self.inspector._on_update  # noqa: SLF001 it has no other door
        self.inspector._on_update = self._take_reply  # noqa: SLF001 as above

    def find_handler(self, request: HTTPServerRequest, **options: Any) -> Any:  # noqa: ANN401 Tornado's own
        """The handler of an address; of none, for a request under a name that is not ours."""
        if not is_allowed(request.headers.get("Host"), self._hosts):
            return self.get_handler_delegate(request, _Misdirected)
        if not _can_be_compared(request.headers.get("Authorization", "")):
            del request.headers["Authorization"]
        return super().find_handler(request, **options)

    def start_http_server(self) -> int | None:
        """Listen, as Flower does.

        Raises:
            ProjError: the port is taken, or nothing can listen there.
        """
        try:
            port: int | None = super().start_http_server()
        except OSError as error:
            where = self.options.unix_socket or f"{self.options.address or '*'}:{self.options.port}"
            if error.errno == errno.EADDRINUSE:
                raise ProjError(
                    f"{where} is in use; choose another port with --port=N, or 0 for any that is free."
                ) from error
            raise ProjError(f"Nothing can listen on {where}: {error.strerror or error}.") from error
        return port

    def start(self) -> None:
        """Analyse and serve, until it is stopped."""
        gc.set_threshold(*COLLECTION)
        self._collecting.start()
        self.analyst.start()
        self._exposition.register()
        super().start()

    def stop(self) -> None:
        """End; safe to call twice."""
        self._collecting.stop()
        self._exposition.unregister()
        self.analyst.stop()
        super().stop()

    def _readings(self) -> Readings:
        return self.analyst.readings()

    def _hear(self, event: Any) -> None:  # noqa: ANN401 whatever was on the bus
        """Let an event in, in the thread that receives it."""
        admitted = self._door.admit(event)
        if admitted is None:
            self.analyst.refuse()
            return
        if self._live:
            self.analyst.hear(event)
        self._to_flower(admitted)

    def _forget_later(self, names: set[str]) -> None:
        # Flower's state belongs to the thread of its loop.
        self.io_loop.add_callback(self._forget, names)

    def _forget(self, names: set[str]) -> None:
        state = self.events.state
        for name in names:
            state.workers.pop(name, None)
            state.counter.pop(name, None)
            state.tasks_by_worker.pop(name, None)
        state.metrics.remove_workers(names)

    def _take_reply(self, worker: Any, method: str, response: Any) -> None:  # noqa: ANN401 whatever was answered
        """Let in what a worker answered to an inspection, unless a page would stumble over it."""
        known = self.inspector.workers
        if is_reply(worker, method, response) and (worker in known or len(known) < self.options.max_workers):
            self._of_inspector(worker, method, response)


def _collect() -> None:
    """Free what refers to itself."""
    gc.collect()


class _Misdirected(RequestHandler):
    """One sentence, to any request."""

    def prepare(self) -> None:
        self.set_status(MISDIRECTED)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(REFUSED)


class _Headers(OutputTransform):
    """Adds to every answer what Flower's lack."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,  # noqa: ARG002, FBT001 Tornado's own
    ) -> tuple[int, HTTPHeaders, bytes]:
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("X-Frame-Options", "DENY")
        # Flower 2.2 sends it itself.
        headers.setdefault("X-Content-Type-Options", "nosniff")
        return status_code, headers, chunk


def _can_be_compared(authorization: str) -> bool:
    """Whether Flower can compare the credentials with its own, for which it needs ASCII; it answers 500 otherwise."""
    kind, _, credentials = authorization.partition(" ")
    try:
        return kind.lower() != "basic" or b64decode(credentials).isascii()
    except ValueError:
        # Flower answers this one itself.
        return True
