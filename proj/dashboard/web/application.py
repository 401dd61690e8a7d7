"""Application: Flower with the Dispatch page, and with filters before its events, replies and pages."""

from __future__ import annotations

import errno
import gc
import logging
import signal
from base64 import b64decode
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AccessRefused
from tornado.ioloop import PeriodicCallback
from tornado.web import OutputTransform, RequestHandler

from proj.dashboard.live.monitor import Monitor, Settings
from proj.dashboard.prometheus.collector import DispatchCollector
from proj.dashboard.web import allowed_hosts, provenance
from proj.dashboard.web.actions.routes import Hands, action_routes
from proj.dashboard.web.alert_webhook import WINDOW_S, AlertWebhook
from proj.dashboard.web.allowed_hosts import is_allowed
from proj.dashboard.web.event_batches import EventBatches
from proj.dashboard.web.event_filter import EventFilter
from proj.dashboard.web.evicted_tasks import AcyclicTask
from proj.dashboard.web.finding.finder import Finder, Place
from proj.dashboard.web.finding.handlers import Flowers, finding_routes
from proj.dashboard.web.flower_types import Flower, rewrite_handler
from proj.dashboard.web.handlers import Finds, routes
from proj.dashboard.web.options import checked_options
from proj.dashboard.web.provenance import says_where_it_comes_from
from proj.dashboard.web.reply_filter import is_reply
from proj.dashboard.web.template_loader import TemplateLoader
from proj.errors import ProjError
from proj.interruption import note_signal

if TYPE_CHECKING:
    from types import FrameType

    from celery import Celery
    from tornado.httputil import HTTPHeaders, HTTPServerRequest
    from tornado.options import OptionParser
    from tornado.web import _HandlerDelegate

    from proj.dashboard.live.status import Readings

logger = logging.getLogger(__name__)

#: For Flower's pages, which have inline scripts and styles: they load from and send to this host only, and no other
#: page may frame them.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
#: Thresholds of the garbage collector that leave out full collections. With Python's own, one came every other second
#: at 6,000 events a second, and took 400 ms in which no request was answered.
COLLECTION = (10_000, 20, 1_000_000)
#: Seconds between two full collections.
COLLECT_S = 120.0


class Dashboard(Flower):
    """Flower with the Dispatch page."""

    def __init__(self, options: OptionParser, capp: Celery, **settings: object) -> None:
        """Make it from what Flower's command has read.

        Raises:
            ProjError: an option cannot be used.
        """
        checked = checked_options(options)
        settings.setdefault("template_loader", TemplateLoader(str(settings["template_path"])))
        super().__init__(options=options, capp=capp, **settings)
        self._hosts = checked.hosts
        self._live = checked.recorded is None
        self._collector = DispatchCollector(self._readings)
        self.monitor = Monitor(
            capp,
            Settings(
                keep=checked.history,
                journal=checked.journal,
                recorded=checked.recorded,
                arguments=checked.arguments,
                broker_api=options.broker_api,
            ),
            observer=self._collector.observe,
        )
        self._webhook = (
            AlertWebhook(checked.alert_webhook, partial(self.monitor.now, WINDOW_S)) if checked.alert_webhook else None
        )
        has_password = bool(options.basic_auth or options.auth)
        place = Place(checked.journal or checked.recorded, arguments=checked.arguments)
        finder = Finder(self.monitor, place)
        self._hands = Hands.of(
            capp,
            broker_api=options.broker_api,
            journal=checked.journal,
            attempts=finder.task,
            flowers=self._kept_by_flower,
        )
        rules = [
            *finding_routes(
                finder,
                Flowers(lambda task_id: task_id in self.events.state.tasks, options.max_tasks),
            ),
            *routes(
                self.monitor,
                public_metrics=checked.public_metrics,
                acts=has_password and not options.read_only,
                finds=Finds(place.words, place.arguments),
            ),
            *action_routes(self._hands, read_only=options.read_only, has_password=has_password),
        ]
        if options.url_prefix:
            rules = [rewrite_handler(rule, options.url_prefix) for rule in rules]
        self.add_handlers(".*", list(rules))
        if not (options.read_only or options.basic_auth or options.auth):
            logger.warning(
                "Every button will answer 401 (Unauthorized): Flower lets nobody change anything without a password. "
                "Set one with --basic_auth=user:password, or hide the buttons with --read_only.",
                extra={"action": "buttons_need_password"},
            )
        self.add_transform(_Headers)
        self._collecting = PeriodicCallback(_collect, COLLECT_S * 1000)
        self.events.state.Task = AcyclicTask
        # In place of Flower's own `on_event`, which wakes its loop for every event.
        self._batches: EventBatches[dict[str, Any] | set[str]] = EventBatches(self.io_loop, self._take)
        # Behind the events that were accepted before, which would bring forgotten senders back.
        self._filter = EventFilter(senders=options.max_workers, forget=self._batches.put)
        self.events.timer = PeriodicCallback(self._enable_events, self.events.events_enable_interval)
        self._tells_workers = True
        # Flower's threads look both methods up on the instances.
        self.events.on_event = self._hear
        self._keep_reply = self.inspector._on_update  # noqa: SLF001 every reply goes through it, and nothing public does
        self.inspector._on_update = self._filter_reply  # noqa: SLF001 as above

    def find_handler(self, request: HTTPServerRequest, **options: object) -> _HandlerDelegate:
        """The handler of a request; one that refuses it, if its host name is not allowed."""
        if not is_allowed(request.headers.get("Host"), self._hosts):
            return self.get_handler_delegate(request, _UnknownHost)
        if not says_where_it_comes_from(request.method or "", request.headers):
            return self.get_handler_delegate(request, _OfUnknownOrigin)
        if not _is_comparable(request.headers.get("Authorization", "")):
            del request.headers["Authorization"]
        return super().find_handler(request, **options)

    def start_http_server(self) -> int | None:
        """Listen, as Flower does.

        Raises:
            ProjError: the port is in use, or the address cannot be used.
        """
        try:
            return super().start_http_server()
        except OSError as error:
            where = self.options.unix_socket or f"{self.options.address or '*'}:{self.options.port}"
            if error.errno == errno.EADDRINUSE:
                raise ProjError(
                    f"{where} is in use; choose another port with --port=N, or any free one with --port=0."
                ) from error
            raise ProjError(f"Cannot listen on {where}: {error.strerror or error}.") from error

    def start(self) -> None:
        """Serve until `stop`, Ctrl-C or SIGTERM."""
        # An exception that a handler raises while `ThreadPoolExecutor` starts a thread leaves one that never ends.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)
        gc.set_threshold(*COLLECTION)
        self._collecting.start()
        self.monitor.start()
        self._collector.register()
        if self._webhook is not None:
            self._webhook.start()
        try:
            super().start()
        finally:
            # Flower's command does it when Python ends, and the process may end before that (`dashboard/ending.py`).
            self.stop()

    def stop(self) -> None:
        """End; safe to call twice."""
        self._collecting.stop()
        self._collector.unregister()
        if self._webhook is not None:
            self._webhook.stop()
        self._hands.stop()
        self.monitor.stop()
        super().stop()

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Let the loop end when it is next free, or as soon as it runs."""
        note_signal(number, frame)
        self.io_loop.add_callback_from_signal(self.io_loop.stop)

    def _kept_by_flower(self, task_id: str) -> dict[str, Any] | None:
        # `data` is the dictionary in Celery's LRUCache: to get from the cache itself would move the task in it.
        task = getattr(self.events.state.tasks, "data", {}).get(task_id)
        return (
            None if task is None else {name: getattr(task, name, None) for name in ("state", "name", "args", "kwargs")}
        )

    def _readings(self) -> Readings:
        return self.monitor.readings()

    async def _enable_events(self) -> None:
        """Tell workers to send events, as Flower does, until the broker refuses that to the user."""
        if not self._tells_workers:
            return
        try:
            await self.events.on_enable_events()
        except AccessRefused as error:
            self._tells_workers = False
            logger.warning(
                "Workers are not told to send events (%s). Start them with -E, or set worker_send_task_events = True.",
                error.reply_text,
                extra={"action": "events_not_enabled"},
            )

    def _hear(self, event: object) -> None:
        """Filter an event, in the thread that receives it, and give it on."""
        accepted = self._filter.accept(event)
        if accepted is None:
            self.monitor.refuse()
            return
        if self._live:
            self.monitor.hear(event)
        self._batches.put(accepted)

    def _take(self, event_or_names: dict[str, Any] | set[str]) -> None:
        """Give an event to Flower's state, or remove senders from it; in the thread of Flower's loop."""
        state = self.events.state
        if isinstance(event_or_names, dict):
            state.event(event_or_names)
            return
        for name in event_or_names:
            state.workers.pop(name, None)
            state.counter.pop(name, None)
            state.tasks_by_worker.pop(name, None)
        state.metrics.remove_workers(event_or_names)

    def _filter_reply(self, worker: object, method: str, response: object) -> None:
        """Keep a worker's reply to an inspection, unless Flower's pages could not show it."""
        known = self.inspector.workers
        if is_reply(worker, method, response) and (worker in known or len(known) < self.options.max_workers):
            self._keep_reply(worker, method, response)


def _collect() -> None:
    gc.collect()


class _Refused(RequestHandler):
    """Refuses any request in one sentence."""

    status: HTTPStatus
    sentence: str

    def check_xsrf_cookie(self) -> None:
        """Let the sentence be the answer."""

    def prepare(self) -> None:
        self.set_status(self.status)
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(self.sentence)


class _UnknownHost(_Refused):
    status = HTTPStatus.MISDIRECTED_REQUEST
    sentence = allowed_hosts.REFUSED


class _OfUnknownOrigin(_Refused):
    status = HTTPStatus.FORBIDDEN
    sentence = provenance.REFUSED


class _Headers(OutputTransform):
    """Adds security headers that Flower's answers lack."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        finishing: bool,  # noqa: FBT001 Tornado's signature
    ) -> tuple[int, HTTPHeaders, bytes]:
        headers.setdefault("Content-Security-Policy", POLICY)
        headers.setdefault("X-Frame-Options", "DENY")
        # Flower 2.2 sends it itself.
        headers.setdefault("X-Content-Type-Options", "nosniff")
        return super().transform_first_chunk(status_code, headers, chunk, finishing)


def _is_comparable(authorization: str) -> bool:
    """Whether Flower can compare the credentials with its own; it answers 500 for those that are not ASCII."""
    kind, _, credentials = authorization.partition(" ")
    try:
        return kind.lower() != "basic" or b64decode(credentials).isascii()
    except ValueError:
        # Flower refuses these itself.
        return True
