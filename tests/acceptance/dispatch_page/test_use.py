"""How the Dispatch page is used: by theme, phone, keyboard and screen reader, paused, and while it refreshes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from tests.acceptance.dispatch_server import Server, Told, choose, drawn_in, refreshed, text, visit
from tests.acceptance.dispatch_story import compared

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

CONTRAST = Path(__file__).with_name("contrast.js")
CONTROLS = Path(__file__).with_name("controls.js")


def test_charts_follow_the_theme_at_once(page: Tab) -> None:
    """It is changed with Flower's own switch, by mouse and by keyboard."""
    assert drawn_in(page) == ("light", "dark ink")

    page.click("#theme-toggle")
    page.click("[data-bs-theme-value=dark]")
    assert drawn_in(page) == ("dark", "light ink")

    page.value("document.querySelector('#theme-toggle').focus()")
    page.press("Enter")
    page.press("ArrowDown")
    page.value("document.querySelector('[data-bs-theme-value=light]').focus()")
    page.press("Enter")
    assert drawn_in(page) == ("light", "dark ink")
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_charts_have_enough_contrast(page: Tab, monitor: Told, scheme: str) -> None:
    """WCAG 2.2 AA: at least 4.5 for text and 3 for graphics."""
    monitor.said["events"].update(dropped=15)
    monitor.said["groups"][0]["workers"][0]["alive"] = False
    monitor.said["notes"] = ["A note."]
    # Without motion, so that no colour is measured during a transition.
    page.look(scheme=scheme, still=True)
    page.click(".dispatch-meaning summary")
    refreshed(page)

    poor = page.value(CONTRAST.read_text())
    assert page.value("document.documentElement.dataset.bsTheme") == scheme
    assert poor["texts"] > 100
    assert poor["poor"] == []
    assert page.value(CONTROLS.read_text()) == []


def test_phone_shows_everything_without_horizontal_scrolling(page: Tab, monitor: Told) -> None:
    """A wide table scrolls in its own box, which the keyboard reaches."""
    monitor.said["groups"][0]["workers"][0]["name"] = "a-worker-with-a-long-name@" + "host." * 20
    for worker in monitor.said["groups"][0]["workers"]:
        worker.update(window=1256, in_advance=1256, given_back=1234567890)
    monitor.said["notes"] = ["word" * 60]
    page.look(width=360)
    refreshed(page)

    assert page.value("document.documentElement.scrollWidth") == 360
    wide = """[...document.querySelectorAll("main *")].filter((one) =>
        one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
        .map((one) => one.tabIndex)"""
    assert set(page.value(wide)) == {0}
    cut = """[...document.querySelectorAll("main *")].filter((one) => {
        let place = one;
        while (place && getComputedStyle(place).overflowX !== "auto") place = place.parentElement;
        return !place && one.getClientRects().length && one.getBoundingClientRect().right > 361;
    }).length"""
    assert page.value(cut) == 0


def test_keyboard_reaches_everything_and_a_refresh_keeps_focus_and_scroll(page: Tab, monitor: Told) -> None:
    """Focus, opened tables, the selected bar and the scroll position stay, while the figures change."""
    reached = []
    page.value("document.activeElement.blur()")
    for _ in range(60):
        page.press("Tab")
        name = page.value(
            "(({id, tagName, role, textContent: words, ariaLabel}) => id || ariaLabel || `${tagName} ${words}`)"
            "(document.activeElement)"
        )
        if name.startswith("BODY"):
            break
        reached.append(name)
        if name.startswith("Timeline of queue.fair"):
            break
    assert reached[0] == "A Skip to main content"
    order = ["dispatch-run", "dispatch-pause", "Workers: queue.fair · fair", "SUMMARY What the figures mean", "Queues"]
    assert [name for name in reached if name in order] == order

    for key in ("ArrowDown", "ArrowRight"):
        page.press(key)
    chosen = text(page, "#dispatch-report figure:nth-of-type(2) output")
    assert chosen.startswith("fair-1, slot 1: theirs.work: done, 2.00 s to ")
    # Instantly, because Flower's pages scroll smoothly, and a scroll under way would be measured.
    page.value(
        "(document.querySelector('#dispatch-report details').open = true, "
        "document.querySelector('.dispatch-workers').scrollLeft = 40, scrollTo({top: 900, behavior: 'instant'}))"
    )
    before = page.value("[scrollY, document.activeElement.ariaLabel]")
    monitor.said["report"]["runs"][1]["groups"][0]["lanes"][0].insert(0, [0.0, 0.001, "failed", "early"])
    monitor.said["groups"][1]["tasks"] = 13
    monitor.said["notes"] = ["A note that moves everything down."]
    refreshed(page)

    assert "tasks\n13" in text(page, ".dispatch-group:nth-child(2)")
    assert page.value("document.activeElement.ariaLabel") == before[1]
    assert page.value("document.activeElement.matches('canvas')")
    assert text(page, "#dispatch-report figure:nth-of-type(2) output") == chosen
    assert page.value("document.querySelector('#dispatch-report details').open") is True
    assert page.value("scrollY") >= before[0] > 0


def test_paused_page_does_not_change(page: Tab, monitor: Told) -> None:
    """WCAG 2.2.2. The button works by keyboard, and a hidden tab pauses by itself."""
    page.value("document.querySelector('#dispatch-pause').focus()")
    page.press(" ")
    assert page.value("document.activeElement.ariaPressed") == "true"
    moves = """new Promise((done) => {
        let count = 0;
        const watch = new MutationObserver((changes) => { count += changes.length; });
        const all = {subtree: true, childList: true, characterData: true, attributes: true};
        watch.observe(document.querySelector("main"), all);
        setTimeout(() => done(count), 2200);
    })"""
    page.requests.clear()
    choose(page, "warm-up")
    wait_until(lambda: "warm-up" in text(page, "#dispatch-shown"), what="the run", timeout_s=60)
    monitor.said["groups"][0]["tasks"] = 99
    assert text(page, "#dispatch-status").startswith("Paused · as of ")
    assert page.value(moves) == 0
    assert [address.partition("?")[2] for address in page.requests if "/data" in address] == ["run=warm-up"]

    page.press(" ")
    assert page.value("document.activeElement.ariaPressed") == "false"
    refreshed(page, at_once=False)
    assert "tasks\n99" in text(page, ".dispatch-group")

    hide = "Object.defineProperty(document, 'hidden', {configurable: true, value: %s}), "
    hide += "document.dispatchEvent(new Event('visibilitychange'))"
    page.value(hide % "true")
    count = page.value("projDispatch.refreshes")
    choose(page, "")
    wait_until(lambda: page.value("projDispatch.refreshes") > count, what="the newest run", timeout_s=60)
    page.value("new Promise((done) => setTimeout(done, 2200))")
    assert page.value("projDispatch.refreshes") - count == 1
    page.value(hide % "false")
    refreshed(page, at_once=False)


def test_screen_reader_is_told_only_of_changes_of_state(page: Tab, monitor: Told) -> None:
    """Of the end of a run, but not of every refresh."""
    spoken = """(() => {
        window.spoken = [];
        const regions = document.querySelectorAll("main :is([aria-live], [role=status], [role=alert], output)");
        for (const one of regions) {
            new MutationObserver(() => window.spoken.push(one.textContent))
                .observe(one, {childList: true, characterData: true, subtree: true});
        }
        return regions.length;
    })()"""
    assert page.value(spoken) >= 3
    for tasks in (13, 14):
        monitor.said["groups"][0]["tasks"] = tasks
        monitor.said["report"]["runs"][0]["span_s"] += 1
        refreshed(page)
    assert page.value("window.spoken") == []

    monitor.said["open"] = False
    refreshed(page)
    assert page.value("window.spoken") == ["Run 2026-09-21 14:13:20 is complete."]
    assert text(page, "#dispatch-status").startswith("Complete · as of ")


def test_run_is_chosen_and_stays_chosen(page: Tab, monitor: Told, shared_server: Server) -> None:
    """The newest run is shown unless another is chosen. A reload keeps the choice; a run that is gone loses it."""
    assert page.value("[...document.querySelector('#dispatch-run').options].map((one) => one.textContent)") == [
        "Follow the newest run",
        "2026-09-21 14:13:20 (going on)",
        "warm-up",
    ]
    page.value("document.querySelector('#dispatch-run').focus()")
    page.press("End")
    refreshed(page)
    assert page.value("document.querySelector('#dispatch-run').value") == "warm-up"
    assert monitor.asked[-1] == "warm-up"
    assert text(page, "#dispatch-shown") == "warm-up · began 2026-09-21 14:12:20 UTC, 4 attempts"
    page.visit(f"{shared_server.race}&run=warm-up")
    wait_until(lambda: "warm-up" in text(page, "#dispatch-shown"), what="the run", timeout_s=60)
    assert page.value("document.querySelector('#dispatch-run').value") == "warm-up"

    monitor.said["runs"].pop()
    refreshed(page)
    assert page.value("[document.querySelector('#dispatch-run').value, location.search]") == ["", "?view=race"]
    assert "Run warm-up is no longer kept; the newest run is shown." in text(page, "#dispatch-notes")
    refreshed(page)
    assert monitor.asked[-1] is None


def test_nothing_moves_with_reduced_motion(page: Tab) -> None:
    """prefers-reduced-motion: every change is immediate."""
    slow = """[...document.querySelectorAll("main *")].filter((one) => {
        const {transitionDuration, animationName} = getComputedStyle(one);
        return animationName !== "none" || transitionDuration.split(", ").some((time) => parseFloat(time) > 0);
    }).length"""
    assert page.value(slow) > 0
    page.look(still=True)
    assert page.value(slow) == 0


@pytest.mark.parametrize(("messages", "workers"), [(1700, 2), (2700, 16)])
def test_refresh_takes_less_than_300_ms(
    tab: Tab, shared_server: Server, tmp_path: Path, messages: int, workers: int
) -> None:
    """From request to drawing: with 5,000 attempts, and with the most bars and workers that a document may have."""
    told = shared_server.monitor
    told.said = compared(tmp_path, messages=messages, workers=workers)
    told.age_s = 0.0
    visit(tab, shared_server.race)

    def took_ms() -> float:
        told.said["report"]["runs"][0]["span_s"] += 0.5
        refreshed(tab)
        return float(tab.value("projDispatch.lastRefreshMs"))

    # A busy machine may delay some of them, but not each.
    wait_until(lambda: took_ms() < 300, what="a refresh within 300 ms", timeout_s=60)
    assert tab.value("document.querySelectorAll('.dispatch-workers tbody tr').length") == 3 * workers
