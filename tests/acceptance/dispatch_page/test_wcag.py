"""Both views and the report by the rules of WCAG 2 A and AA, as axe-core checks them; by keyboard; at three widths."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proj.journal.attempt import Attempt
from proj.lab.processes.waiting import wait_until
from proj.report.page import as_page
from tests.acceptance import now_scenes
from tests.acceptance.dispatch_page.test_hands import LETTERS, Actions, Letters, Workers
from tests.acceptance.dispatch_server import Server, serving, text, visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.chromium import Tab

#: scripts/setup puts it there.
AXE = Path(sys.prefix, "axe", "axe_playwright_python", "axe.min.js")
VIEWS = ("now", "race", "report")
#: The view Now, with the dialog of a task.
DIALOG = "dialog"
#: What breaks a rule of level A or AA of WCAG 2.0, 2.1 or 2.2: the rule, the place, and why.
VIOLATIONS = """axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]})
    .then(({passes, violations}) => ({passes: passes.map(({id}) => id), violations: violations.flatMap(({id, nodes}) =>
        nodes.map(({target, failureSummary}) => `${id}: ${target}: ${failureSummary}`))}))"""
#: The places of all controls that are seen: of a group of radio buttons only the chosen one is in the order of Tab.
CONTROLS = """[...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")]
    .filter((one) => one.getClientRects().length && !one.disabled && (one.type !== "radio" || one.checked))
    .map((one) => all.indexOf(one))"""


@pytest.fixture(scope="module")
def server(comparison: dict[str, Any]) -> Iterator[Server]:
    """A server with every button, and with content in both views."""
    with serving(Actions(), Letters(), Workers()) as told:
        told.monitor.said = comparison
        now = json.loads(now_scenes.document(now_scenes.many(queues=6, workers=8)))
        told.monitor.now_said = {**now, "dead_letters": {"queue": "dead_letters", "waiting": 14, "new": 2}}
        told.monitor.tasks = [[Attempt(task_id="old", state="failed", name="t.add", queue="sums", worker="w@h")]]
        yield told


def show(tab: Tab, server: Server, view: str, folder: Path) -> None:
    """Open a view, with everything that is folded in it."""
    if view == "report":
        page = folder / "page.html"
        page.write_text(as_page(server.monitor.said["report"]), encoding="utf-8")
        tab.open(page)
    else:
        visit(tab, f"{server.url}?view={view}&words=failed{'&task=old' if view == DIALOG else ''}")
        wait_until(lambda: "1 attempt" in text(tab, "#dispatch-search-said"), what="the search", timeout_s=60)
    if view == DIALOG:
        wait_until(lambda: "Send it again" in text(tab, "#dispatch-task"), what="the dialog", timeout_s=60)
    elif view == "now":
        # Not by mouse, so that Tab begins at the top of the page.
        tab.value("document.querySelector('[data-letters=look]').click()")
        wait_until(lambda: "SIGKILL" in text(tab, LETTERS), what="the dead letters", timeout_s=60)
    tab.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", [*VIEWS, DIALOG])
def test_page_breaks_no_rule_of_wcag(tab: Tab, server: Server, tmp_path: Path, view: str, scheme: str) -> None:
    """Also the part of the page that is Flower's: in light and in dark, on a desktop and on a phone."""
    if not AXE.exists():
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict("axe-core is not installed: scripts/setup dev")
    for width in (1440, 390):
        tab.look(width=width, scheme=scheme, still=True)
        show(tab, server, view, tmp_path)
        tab.value(AXE.read_text(encoding="utf-8"))

        found = tab.value(VIOLATIONS)

        assert found["violations"] == []
        assert {"color-contrast", "aria-allowed-attr"} <= set(found["passes"])


@pytest.mark.parametrize("view", VIEWS)
def test_tab_key_reaches_every_control_once_and_in_order(tab: Tab, server: Server, tmp_path: Path, view: str) -> None:
    """In the order in which they stand in the page; after the last one comes the browser, or the first one again."""
    tab.look(still=True)
    show(tab, server, view, tmp_path)
    tab.value("(window.all = [...document.querySelectorAll('*')], void 0)")
    controls = tab.value(CONTROLS)
    reached: list[int] = []
    tab.value("document.activeElement.blur()")
    while len(reached) <= len(controls):
        tab.press("Tab")
        place = tab.value("document.activeElement === document.body ? -1 : all.indexOf(document.activeElement)")
        if place == -1 or place in reached:
            break
        reached.append(place)

    assert len(controls) > 5
    assert reached == controls


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_page_does_not_scroll_sideways(tab: Tab, server: Server, tmp_path: Path, view: str, width: int) -> None:
    """On a desktop, a small one, and a phone, with all tables open."""
    tab.look(width=width)
    show(tab, server, view, tmp_path)

    root = "document.documentElement"
    assert tab.value(f"{root}.scrollWidth === {root}.clientWidth && innerWidth === {width}")


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_moves_with_reduced_motion(tab: Tab, server: Server, tmp_path: Path, view: str) -> None:
    """prefers-reduced-motion: no transition, no animation, no smooth scrolling."""
    tab.look(still=True)
    show(tab, server, view, tmp_path)

    assert (
        tab.value("""[...document.querySelectorAll("body *")].filter((one) => {
        const {transitionDuration, animationName, scrollBehavior} = getComputedStyle(one);
        return animationName !== "none" || scrollBehavior === "smooth"
            || transitionDuration.split(", ").some((time) => parseFloat(time) > 0.001);
    }).map((one) => one.outerHTML.slice(0, 100))""")
        == []
    )
