"""The three addresses of the page: itself, its data and what it is drawn with."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from flower.views import BaseHandler
from tornado.web import HTTPError, authenticated, url

from proj.report.script import script

if TYPE_CHECKING:
    from proj.dashboard.live.monitor import Analyst

#: The page runs nothing and asks nobody but its own server, and no other page may frame it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {".js": "text/javascript; charset=UTF-8", ".css": "text/css; charset=UTF-8"}


class Reader(BaseHandler):  # type: ignore[misc] # Flower has no types
    """Can be read, and nothing else."""

    #: Without OPTIONS, which Flower answers to everyone.
    SUPPORTED_METHODS = ("GET", "HEAD")

    def set_default_headers(self) -> None:
        """Add the policy to Flower's headers."""
        super().set_default_headers()
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Frame-Options", "DENY")

    def write_error(self, status_code: int, **details: Any) -> None:  # noqa: ANN401 Tornado's own
        """Say what is allowed, where that was the error."""
        if status_code == 405:  # noqa: PLR2004 Method Not Allowed
            self.set_header("Allow", "GET, HEAD")
            self.set_header("Content-Type", "text/plain; charset=UTF-8")
            self.finish("This address can only be read.\n")
        else:
            super().write_error(status_code, **details)

    @authenticated
    def head(self, *words: str) -> None:
        """Answer as to GET; Tornado leaves the body out."""
        self.get(*words)


class Page(Reader):
    """The page."""

    @authenticated
    def get(self) -> None:
        """Render it."""
        self.render("dispatch.html")


class Data(Reader):
    """What the page shows, as JSON."""

    def initialize(self, analyst: Analyst) -> None:
        """Answer with what `analyst` found."""
        self._analyst = analyst

    @authenticated
    def get(self) -> None:
        """Write the snapshot of the run that was asked for."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        # Flower's own `get_argument` would turn a quote in a name into an entity.
        self.write(self._analyst.snapshot(self.get_query_argument("run", None)))

    def compute_etag(self) -> None:
        """None, for it is never the same twice."""
        return


class Asset(Reader):
    """A script or style sheet, from memory."""

    def initialize(self, assets: dict[str, tuple[str, bytes, str]]) -> None:
        """Serve `assets`: type, text and tag by name."""
        self._assets = assets
        self._tag: str | None = None

    @authenticated
    def get(self, name: str) -> None:
        """Write it, unless the browser has it."""
        if name not in self._assets:
            raise HTTPError(404)
        kind, text, self._tag = self._assets[name]
        self.set_header("Content-Type", kind)
        self.set_header("Cache-Control", "no-cache")
        self.write(text)

    def compute_etag(self) -> str | None:
        """The text's, which was computed once."""
        return self._tag


def assets() -> dict[str, tuple[str, bytes, str]]:
    """Everything that the page loads: type, text and tag by name."""
    texts = {"report.js": script(), "report.css": files("proj.report").joinpath("report.css").read_text("utf-8")}
    for file in files("proj.dashboard").joinpath("static").iterdir():
        texts[file.name] = file.read_text("utf-8")
    found = {}
    for name, text in texts.items():
        kind = TYPES.get(name[name.rfind(".") :])
        if kind is not None:
            content = text.encode()
            found[name] = (kind, content, f'"{hashlib.sha256(content).hexdigest()}"')
    return found


def routes(analyst: Analyst) -> list[Any]:
    """The page's addresses, without a prefix."""
    return [
        url(r"/dispatch", Page, name="dispatch"),
        url(r"/dispatch/data", Data, {"analyst": analyst}, name="dispatch_data"),
        url(r"/dispatch/assets/([\w.-]+)", Asset, {"assets": assets()}, name="dispatch_asset"),
    ]
