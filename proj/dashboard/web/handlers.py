"""Handlers: the Dispatch page, its data, and its scripts and styles."""

from __future__ import annotations

import hashlib
from asyncio import sleep
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tornado.web import HTTPError, authenticated, url

from proj.dashboard.live.now.documents import Document
from proj.dashboard.live.now.status import WINDOWS
from proj.dashboard.web.actions.retry_decision import RULE
from proj.dashboard.web.flower_types import BaseHandler, Metrics
from proj.report.script import script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tornado.routing import URLSpec

#: The page has no inline scripts or styles and sends requests to its own host only, and no other page may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: How often, and after how many seconds, the first document of a window is looked for.
FIRST_TRIES, FIRST_PAUSE_S = 60, 0.05
EMPTY = Document(b"{}")
#: The windows by the value in an address, with the words of the page.
CHOICES = (("60", "1 min"), ("300", "5 min"), ("900", "15 min"), ("3600", "1 hour"), ("all", "all"))
TYPES = {".js": "text/javascript; charset=UTF-8", ".css": "text/css; charset=UTF-8"}


class Snapshots(Protocol):
    """Gives the page's data; a `Monitor` does."""

    def snapshot(self, run: str | None) -> Document:
        """The page's JSON of the named run, or of the newest one."""

    def now(self, window_s: int | None) -> Document:
        """The JSON of now with this window; empty until there is one, if nobody asked lately."""


class Finds(NamedTuple):
    """Where tasks are looked for, in words, and whether by their arguments, too."""

    where: str = "the dashboard's memory"
    arguments: bool = False


class AssetFile(NamedTuple):
    """A script or style sheet."""

    content_type: str
    content: bytes
    etag: str


class ReadOnlyHandler(BaseHandler):
    """Answers GET and HEAD only."""

    #: Without OPTIONS, which Flower answers without authentication.
    SUPPORTED_METHODS = ("GET", "HEAD")

    def set_default_headers(self) -> None:
        """Add the policy to Flower's headers."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Frame-Options", "DENY")

    def write_error(self, status_code: int, **details: object) -> None:
        """Name the allowed methods, if another one was used."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", "GET, HEAD")
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("This address can only be read.\n")
        else:
            super().write_error(status_code, **details)

    @authenticated
    def head(self, *words: str) -> None:
        """Answer as to GET; Tornado leaves the body out."""
        self.get(*words)


class PageHandler(ReadOnlyHandler):
    """The page, in its view Now or Race."""

    def initialize(self, *, acts: bool, finds: Finds) -> None:
        """Show buttons, if it `acts`; their addresses are `action_routes`. Tasks are found by `finding_routes`."""
        self._acts = acts
        self._finds = finds

    @authenticated
    def get(self) -> None:
        """Render it. An address with a run is of the view Race."""
        race = self.get_query_argument("view", "now") == "race" or self.get_query_argument("run", None) is not None
        self.render(
            "dispatch.html",
            view="race" if race else "now",
            windows=CHOICES,
            acts=self._acts,
            retry_rule=RULE,
            finds_in=self._finds.where,
            finds_arguments=self._finds.arguments,
        )


class JsonHandler(ReadOnlyHandler):
    """JSON of a monitor."""

    def initialize(self, monitor: Snapshots) -> None:
        """Answer with what `monitor` has."""
        self._monitor = monitor

    def answer(self, document: Document) -> None:
        """Write the document, compressed where the client takes that."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Vary", "Accept-Encoding")
        if takes_gzip(self.request.headers.get("Accept-Encoding", "")):
            self.set_header("Content-Encoding", "gzip")
            self.write(document.gzipped)
        else:
            self.write(bytes(document))

    def compute_etag(self) -> None:
        """None, because no two documents are the same."""
        return


class DataHandler(JsonHandler):
    """The data of a run."""

    @authenticated
    def get(self) -> None:
        """Write the snapshot of the run that was asked for."""
        # Not Flower's `get_argument`, which would turn a quote in a name into an entity.
        self.answer(self._monitor.snapshot(self.get_query_argument("run", None)))


class NowHandler(JsonHandler):
    """What is so now, and what happened in a window."""

    @authenticated
    async def get(self) -> None:
        """Write it."""
        await self._answer_now()

    @authenticated
    async def head(self, *_: str) -> None:
        """Answer as to GET; Tornado leaves the body out."""
        await self._answer_now()

    async def _answer_now(self) -> None:
        """Write the status with the window that was asked for: 60 (the default), 300, 900, 3600, or `all`."""
        asked = self.get_query_argument("window", "60")
        windows = {"all" if window is None else str(window): window for window in WINDOWS}
        if asked not in windows:
            raise HTTPError(HTTPStatus.BAD_REQUEST, reason=f"window must be one of {', '.join(windows)}")
        document = self._monitor.now(windows[asked])
        # When nobody asked for this window lately, the monitor's thread computes it within a second.
        for _ in range(FIRST_TRIES):
            if document:
                break
            await sleep(FIRST_PAUSE_S)
            document = self._monitor.now(windows[asked])
        self.answer(document or EMPTY)


def takes_gzip(accepted: str) -> bool:
    """Whether the header `Accept-Encoding` names gzip, and not with the weight 0."""
    for one in accepted.lower().split(","):
        name, _, weight = one.partition(";")
        if name.strip() in {"gzip", "*"}:
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


class MetricsHandler(Metrics):
    """Flower's metrics, which have names of workers, tasks and queues, behind its authentication."""

    get = authenticated(Metrics.get)


class AssetHandler(ReadOnlyHandler):
    """A script or style sheet, from memory."""

    def initialize(self, assets: Mapping[str, AssetFile]) -> None:
        """Serve `assets` by name."""
        self._assets = assets
        self._etag: str | None = None

    @authenticated
    def get(self, name: str) -> None:
        """Write it, unless the browser has it."""
        if name not in self._assets:
            raise HTTPError(HTTPStatus.NOT_FOUND)
        asset = self._assets[name]
        self._etag = asset.etag
        self.set_header("Content-Type", asset.content_type)
        self.set_header("Cache-Control", "no-cache")
        self.write(asset.content)

    def compute_etag(self) -> str | None:
        """The content's, which was computed once."""
        return self._etag


def assets() -> dict[str, AssetFile]:
    """Every script and style sheet that the page loads, by name."""
    texts = {"report.js": script(), "report.css": files("proj.report").joinpath("report.css").read_text("utf-8")}
    for file in files("proj.dashboard").joinpath("static").iterdir():
        texts[file.name] = file.read_text("utf-8")
    found = {}
    for name, text in texts.items():
        content_type = TYPES.get(name[name.rfind(".") :])
        if content_type is not None:
            content = text.encode()
            found[name] = AssetFile(content_type, content, f'"{hashlib.sha256(content).hexdigest()}"')
    return found


def routes(monitor: Snapshots, *, public_metrics: bool, acts: bool = False, finds: Finds) -> list[URLSpec]:
    """The page's addresses, and that of the metrics unless they are public, without a prefix."""
    return [
        *([] if public_metrics else [url(r"/metrics", MetricsHandler)]),
        url(r"/dispatch", PageHandler, {"acts": acts, "finds": finds}, name="dispatch"),
        url(r"/dispatch/data", DataHandler, {"monitor": monitor}, name="dispatch_data"),
        url(r"/dispatch/now", NowHandler, {"monitor": monitor}, name="dispatch_now"),
        url(r"/dispatch/assets/([\w.-]+)", AssetHandler, {"assets": assets()}, name="dispatch_asset"),
    ]
