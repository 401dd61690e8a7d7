"""Flower with the Dispatch page and without a broker; a test sets the data that its monitor gives."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery import Celery
from flower.app import Flower
from flower.urls import settings
from tornado.httpserver import HTTPServer
from tornado.options import options
from tornado.testing import bind_unused_port

from proj.dashboard.live.now.documents import Document
from proj.dashboard.web.actions.retry_actions import RetryActions, Sources
from proj.dashboard.web.actions.routes import Hands, action_routes
from proj.dashboard.web.finding.finder import Finder, Place
from proj.dashboard.web.finding.handlers import Flowers, finding_routes
from proj.dashboard.web.handlers import Finds, routes
from proj.dashboard.web.template_loader import TemplateLoader
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.journal.attempt import Attempt
    from tests.acceptance.chromium import Tab


class Told:
    """In place of a monitor: gives the data that a test sets."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.asked: list[str | None] = []
        self.age_s = 0.0
        #: The attempts of each task in memory, and the ids of the tasks that Flower remembers.
        self.tasks: list[list[Attempt]] = []
        self.in_flower: set[str] = set()
        #: What is said of now, and the windows that were asked for.
        self.now_said: dict[str, Any] = {}
        self.windows: list[int | None] = []

    def now(self, window_s: int | None) -> Document:
        self.windows.append(window_s)
        if not self.now_said:
            return Document()
        return Document(json.dumps({**self.now_said, "as_of": time.time() - self.age_s}).encode())

    def remembered(self) -> list[list[Attempt]]:
        return self.tasks

    def attempts_of(self, task_id: str) -> list[Attempt]:
        return next((own for own in self.tasks if own[0].task_id == task_id), [])

    def snapshot(self, run: str | None = None) -> Document:
        self.asked.append(run)
        known = [one["name"] for one in self.said["runs"]]
        shown = run if run in known else self.said["run"]
        return Document(json.dumps({**self.said, "run": shown, "as_of": time.time() - self.age_s}).encode())


class Server:
    """Flower with the page; only the monitor is replaced."""

    def __init__(self, actions: Any = None, letters: Any = None, workers: Any = None) -> None:
        self.monitor = Told()
        self._actions = actions
        self._letters = letters
        self._workers = workers
        self.loop = asyncio.new_event_loop()
        self._socket, self.port = bind_unused_port(address="127.0.0.1")
        self.http: HTTPServer | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        """The view Now."""
        return f"http://127.0.0.1:{self.port}/dispatch"

    @property
    def race(self) -> str:
        """The view Race."""
        return f"{self.url}?view=race"

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        flower = Flower(
            capp=Celery("theirs", set_as_current=False),
            options=options,
            **{**settings, "template_loader": TemplateLoader(settings["template_path"])},
        )
        place = Place(None, arguments=False)
        rules = routes(
            self.monitor,
            public_metrics=True,
            acts=self._actions is not None,
            finds=Finds(place.words, place.arguments),
        )
        flower.add_handlers(".*", rules)
        flowers = Flowers(lambda task_id: task_id in self.monitor.in_flower, 20_000)
        flower.add_handlers(".*", finding_routes(Finder(self.monitor, place), flowers))
        given = {"queues": self._actions, "letters": self._letters, "workers": self._workers}
        finder = Finder(self.monitor, place)
        hands = Hands.of(
            flower.capp, broker_api=None, journal=None, attempts=finder.task, flowers=lambda _task_id: None
        )
        # No broker is asked whether a task is a dead letter.
        sources = Sources(finder.task, lambda _task_id: None, lambda _task_id: False)
        hands = replace(hands, tasks=RetryActions(flower.capp, sources, journal=None))
        hands = replace(hands, **{name: one for name, one in given.items() if one})
        flower.add_handlers(".*", action_routes(hands, read_only=self._actions is None, has_password=True))
        self.http = HTTPServer(flower)
        self.http.add_socket(self._socket)
        self.loop.run_forever()

    def silence(self) -> None:
        """Answer no more."""

        async def end() -> None:
            assert self.http is not None
            self.http.stop()
            await self.http.close_all_connections()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(60)

    def close(self) -> None:
        self.silence()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(60)
        self.loop.close()


@contextmanager
def serving(actions: Any = None, letters: Any = None, workers: Any = None) -> Iterator[Server]:
    """With buttons, if there are `actions` in place of those of queues; `letters` and `workers` likewise."""
    server = Server(actions, letters, workers)
    try:
        yield server
    finally:
        server.close()


def visit(tab: Tab, url: str) -> None:
    tab.visit(url)
    tab.value("localStorage.removeItem('flower-theme')")
    wait_until(lambda: tab.value("(window.projDispatch?.refreshes ?? 0) > 0"), what="the first refresh", timeout_s=60)


def refreshed(tab: Tab, *, at_once: bool = True) -> None:
    """Wait until the page was refreshed: at once, as when someone comes back to its tab, or by itself.

    The page ends a refresh that is under way when it begins one at once. It is counted in the same script, so that a
    refresh with older data cannot be taken for the new one.
    """
    begin = "document.dispatchEvent(new Event('visibilitychange'))" if at_once else "null"
    count = tab.value(f"((count) => ({begin}, count))(projDispatch.refreshes)")
    wait_until(lambda: tab.value("projDispatch.refreshes") > count, what="a refresh", timeout_s=60)


def text(tab: Tab, selector: str) -> str:
    return str(tab.value(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))


def choose(tab: Tab, run: str) -> None:
    """Choose a run; an empty name is the newest."""
    select = "document.querySelector('#dispatch-run')"
    tab.value(f"({select}.value = {json.dumps(run)}, void {select}.dispatchEvent(new Event('change')))")


def drawn_in(tab: Tab) -> tuple[str, str]:
    """Flower's theme and the ink of the first timeline, after the next frame is drawn."""
    theme, brightest = tab.value("""new Promise((done) => requestAnimationFrame(() => {
        const copy = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
        copy.drawImage(document.querySelector("#dispatch-report canvas[tabindex]"), 0, 0);
        const {data} = copy.getImageData(0, 0, 60, 30);
        const solid = Array.from({length: data.length / 4}, (_, place) => data.subarray(4 * place, 4 * place + 4))
            .filter((pixel) => pixel[3] > 200).map(([red]) => red);
        done([document.documentElement.dataset.bsTheme, Math.max(...solid)]);
    }))""")
    return theme, "light ink" if brightest > 180 else "dark ink" if brightest < 120 else f"ink of {brightest}"
