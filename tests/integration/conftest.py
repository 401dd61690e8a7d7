"""A client of a virtual host; and the dashboard, served in this process without a broker, for requests and events."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import flower.options
import flower.urls
import pytest
from celery import Celery
from tornado.netutil import bind_sockets

from proj.dashboard.live.now.documents import Document
from proj.dashboard.web import application
from proj.dashboard.web.application import Dashboard
from tests.integration.adaptive import Client

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from proj.journal.attempt import Attempt
    from proj.lab.broker import Broker

#: Seconds that anything may take here; a busy machine needs some of them.
TIMEOUT_S = 60


@pytest.fixture
def client(broker: Broker, vhost: str) -> Iterator[Client]:
    """It sends tasks of `adaptive_app`."""
    made = Client(broker.url(vhost))
    yield made
    made.close()


@dataclass
class Listener:
    """In place of the monitor: keeps what it is given."""

    heard: list[Any] = field(default_factory=list)
    refused: int = 0

    def hear(self, event: Any) -> None:
        self.heard.append(event)

    def refuse(self) -> None:
        self.refused += 1

    def remembered(self) -> list[list[Attempt]]:
        return []

    def attempts_of(self, task_id: str) -> list[Attempt]:
        assert task_id
        return []

    def snapshot(self, run: str | None = None) -> Document:
        return Document(json.dumps({"run": run, "heard": len(self.heard)}).encode())

    def now(self, window_s: int | None) -> Document:
        return Document(json.dumps({"window_s": window_s}).encode())


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        def refuse(text: str) -> None:
            raise ValueError(f"{text} is no JSON that a browser reads")

        return json.loads(self.text, parse_constant=refuse)


class Site:
    """A dashboard that is served."""

    def __init__(self, application: Dashboard, port: int, listener: Listener) -> None:
        self.application = application
        self.port = port
        self.listener = listener

    def ask(self, path: str, method: str = "GET", *, host: str | None = "", body: str = "", **headers: str) -> Answer:
        """Request a path; `host` replaces the Host header, and None leaves it out. `body` is that of a form."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        if host is None:
            connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined] # noqa: SLF001 HTTP/1.1 needs a Host
        connection.putrequest(method, path, skip_host=True)
        if host is not None:
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value.encode())
        if body:
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body.encode() or None)
        response = connection.getresponse()
        body = response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body) if body else body
        answer = Answer(response.status, response.headers, body.decode())
        connection.close()
        return answer

    def hear(self, *events: Any) -> None:
        """Give events to the handler of Flower's receiver, and wait until Flower's state has them."""
        for event in events:
            self.application.events.on_event(event)
        batches = self.application._batches  # noqa: SLF001 nothing public shows when all events were taken
        # Each turn of the loop takes some of them; after one more, the last one was taken.
        while batches:
            self._await_turn()
        self._await_turn()

    def _await_turn(self) -> None:
        done = threading.Event()
        self.application.io_loop.add_callback(done.set)
        assert done.wait(TIMEOUT_S)

    def answer(self, worker: Any, method: str, response: Any) -> None:
        """Give a worker's reply to an inspection to Flower's inspector."""
        done = threading.Event()
        self.application.io_loop.add_callback(self.application.inspector._on_update, worker, method, response)  # noqa: SLF001 what Flower calls
        self.application.io_loop.add_callback(done.set)
        assert done.wait(TIMEOUT_S)


class Serve(Protocol):
    """Serves a dashboard with options, in a block."""

    def __call__(self, app: Celery | None = None, **options: Any) -> AbstractContextManager[Site]: ...


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Start the dashboard's application on a free port; its monitor only keeps what it is given.

    Without an `app` there is no broker.
    """

    @contextmanager
    def serve(app: Celery | None = None, **changed: Any) -> Iterator[Site]:
        options = flower.options.default_options
        for name, value in {"address": "127.0.0.1", "port": 0, "read_only": True, **changed}.items():
            monkeypatch.setitem(options.__dict__["_options"][name.replace("_", "-")].__dict__, "_value", value)
        listener = Listener()
        monkeypatch.setattr(application, "Monitor", lambda *_, **__: listener)
        sockets: list[socket.socket] = []
        monkeypatch.setattr(
            "flower.app.bind_sockets", lambda *words, **more: sockets.extend(bind_sockets(*words, **more)) or sockets
        )
        ready, ended, started = threading.Event(), asyncio.Event(), []

        async def run() -> None:
            capp = app or Celery("theirs", broker="amqp://nobody@127.0.0.1:1//")
            dashboard = Dashboard(options=options, capp=capp, **settings)
            # There is no worker to inspect.
            nothing = dashboard.io_loop.asyncio_loop.create_future()
            nothing.set_result(None)
            dashboard.update_workers = lambda **_: nothing
            started.extend([dashboard, dashboard.start_http_server(), asyncio.get_running_loop()])
            ready.set()
            await ended.wait()
            dashboard.executor.shutdown()
            for listening in sockets:
                dashboard.io_loop.remove_handler(listening)
                listening.close()

        settings = {**flower.urls.settings, "oauth": {"key": "k", "secret": "s", "redirect_uri": "u"}}
        if options.url_prefix:
            settings["login_url"] = f"/{options.url_prefix}/login"
            settings["static_url_prefix"] = f"/{options.url_prefix}/static/"
        thread = threading.Thread(target=lambda: asyncio.run(run()), name="dashboard")
        thread.start()
        assert ready.wait(TIMEOUT_S)
        try:
            yield Site(started[0], started[1], listener)
        finally:
            started[2].call_soon_threadsafe(ended.set)
            thread.join(TIMEOUT_S)

    return serve
