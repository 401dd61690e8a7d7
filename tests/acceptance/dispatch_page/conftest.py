"""A browser tab with the Dispatch page, and a server that shows what a test tells it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.chromium import Tab, browser
from tests.acceptance.dispatch_server import Server, Told, serving, visit
from tests.acceptance.dispatch_story import compared

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def shared_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A comparison that goes on: round-robin runs its last task, and the others are done."""
    return compared(tmp_path_factory.mktemp("journal"))


@pytest.fixture
def monitor(shared_server: Server, comparison: dict[str, Any]) -> Told:
    told = shared_server.monitor
    told.said, told.age_s = json.loads(json.dumps(comparison)), 0.0
    told.now_said = {}
    told.tasks, told.in_flower = [], set()
    told.asked.clear()
    told.windows.clear()
    return told


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    """A desktop tab in the light theme, without complaints and requests so far."""
    shared_tab.look()
    # The page of the test before may ask a server that is gone.
    shared_tab.visit("about:blank")
    shared_tab.complaints.clear()
    shared_tab.requests.clear()
    return shared_tab


@pytest.fixture
def page(tab: Tab, shared_server: Server, monitor: Told) -> Tab:
    """The view Race, drawn."""
    assert monitor.said
    visit(tab, shared_server.race)
    return tab
