"""Whether a page is opened in a browser, and by which."""

from __future__ import annotations

import os
import threading
import webbrowser
from typing import TYPE_CHECKING

import pytest

from proj.commands.terminal import browser

if TYPE_CHECKING:
    from collections.abc import Callable


class Window(webbrowser.BaseBrowser):
    """A browser that keeps the URLs that it was given."""

    def __init__(self, show: Callable[[], bool]) -> None:
        super().__init__("window")
        self.shown: list[str] = []
        self._show = show

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:  # noqa: ARG002, FBT001, FBT002 the base's signature
        self.shown.append(url)
        return self._show()


@pytest.mark.parametrize("shows", [True, False])
def test_page_is_opened_when_the_browser_says_so(monkeypatch: pytest.MonkeyPatch, shows: bool) -> None:  # noqa: FBT001 a parameter
    """The browser's own answer is returned."""
    window = Window(lambda: shows)
    monkeypatch.setattr(webbrowser, "get", lambda: window)

    assert browser.opened("http://127.0.0.1/") is shows
    assert window.shown == ["http://127.0.0.1/"]


def test_page_is_not_opened_when_there_is_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python raises an error then."""

    def none() -> webbrowser.BaseBrowser:
        raise webbrowser.Error

    monkeypatch.setattr(webbrowser, "get", none)

    assert not browser.opened("http://127.0.0.1/")


@pytest.mark.parametrize(("variables", "opens"), [({}, False), ({"BROWSER": "true"}, True)])
def test_browser_for_terminals_is_opened_only_when_the_user_named_it(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    opens: bool,  # noqa: FBT001 a parameter
) -> None:
    """Without a desktop, Python would start lynx or w3m in the demo's terminal."""
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("true"))
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], **variables})

    assert browser.opened("http://127.0.0.1/") is opens


def test_browser_that_runs_until_its_window_is_closed_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo goes on meanwhile."""
    closed = threading.Event()
    monkeypatch.setattr(webbrowser, "get", lambda: Window(closed.wait))
    monkeypatch.setattr(browser, "PATIENCE_S", 0.01)

    assert browser.opened("http://127.0.0.1/")
    closed.set()
