"""The Dispatch page in a browser: what it shows, and how it is used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proj.lab.processes.waiting import wait_until
from tests.acceptance.chromium import Tab, browser
from tests.acceptance.dispatch_server import Server, Told, choose, drawn_in, refreshed, serving, text, visit
from tests.acceptance.dispatch_story import compared

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKUP = "<img src=x onerror=alert(1)>"
CONTRAST = Path(__file__).with_name("contrast.js")


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
    told.asked.clear()
    return told


@pytest.fixture
def tab(shared_tab: Tab) -> Tab:
    """A desktop tab in the light theme, without complaints and requests so far."""
    shared_tab.look()
    shared_tab.complaints.clear()
    shared_tab.requests.clear()
    return shared_tab


@pytest.fixture
def page(tab: Tab, shared_server: Server, monitor: Told) -> Tab:
    """The page, drawn."""
    assert monitor.said
    visit(tab, shared_server.url)
    return tab


# --- What it shows ----------------------------------------------------------------------------------------


def test_three_modes_are_side_by_side_without_scrolling(page: Tab) -> None:
    """A card each, at the same height. One shows a run that goes on, and the others runs that are done."""
    boxes = page.value(
        "[...document.querySelectorAll('.dispatch-group')].map((one) => one.getBoundingClientRect().toJSON())"
    )
    cards = [text(page, f".dispatch-group:nth-child({place})") for place in (1, 2, 3)]

    assert len(boxes) == 3
    assert len({box["top"] for box in boxes}) == 1
    assert boxes[0]["right"] < boxes[1]["left"] < boxes[1]["right"] < boxes[2]["left"]
    wide = (
        "[...document.querySelectorAll('.dispatch-workers')].filter((one) => one.scrollWidth > one.clientWidth).length"
    )
    assert page.value(wide) == 0
    assert max(box["bottom"] for box in boxes) < 800
    assert re.search(r"round-robin\s+queue\.round-robin\s+Makespan so far\s+10\.0 s\s+.* of the work so far", cards[0])
    for mode, card in zip(("fair", "adaptive"), cards[1:], strict=True):
        assert re.search(rf"{mode}\s+queue\.{mode}\s+Makespan\s+6\.30 s\s+1\.00 times the ideal of 6\.30 s\n", card)
    for card, slots in zip(cards, ("1 of 2", "0 of 2", "0 of 2"), strict=True):
        assert re.search(rf"slots in use\s+{slots}\s+held\s+0\s+tasks\s+12\s+busy time\s+12\.6 s", card)
        assert re.search(r"avoidable wait\s+\S+ s\s+Jain, busy time\s+\d\.\d{3}\s+Jain, counts\s+\d\.\d{3}", card)
        assert re.search(r"in the broker\s+\S+ m?s\s+\S+ m?s\s+held by a worker\s+\S+ m?s\s+\S+ m?s", card)


def test_adaptive_workers_have_their_window_and_what_they_hold_and_gave_back(page: Tab, monitor: Told) -> None:
    """A mode without it has neither the columns nor the words; a worker that is gone tells nothing of now."""
    group = monitor.said["groups"][2]
    group.update(held=1, in_advance=31)
    group["workers"][0].update(held=1, window=1256, in_advance=31, given_back=2040)
    group["workers"][1].update(alive=False, window=None, in_advance=None, given_back=7)
    refreshed(page)
    page.click(".dispatch-meaning summary")

    other, card, meaning = (
        text(page, f"#dispatch-now {one}")
        for one in (".dispatch-group:nth-child(2)", ".dispatch-group:nth-child(3)", ".dispatch-meaning")
    )

    assert re.search(r"\sheld\s+32\s", card)
    assert re.search(r"worker\s+slots in use\s+held\s+window\s+given back\s+tasks\s+busy time\s+heartbeat", card)
    assert re.search(r"adaptive-1@host\s+0 of 1\s+32\s+1,256\s+2,040\s+6\s+6\.30 s\s+up", card)
    assert re.search("adaptive-2@host\\s+0 of 1\\s+0\\s+\N{EN DASH}\\s+7\\s+6\\s+6\\.30 s\\s+gone", card)
    assert "window" not in other
    assert "given back" not in other
    assert re.search(r"held, in adaptive dispatch\s.*\swindow\s.*\sgiven back\s", meaning, re.DOTALL)


def test_queues_have_the_counts_of_broker_and_events(page: Tab) -> None:
    """Side by side, with the reason for a difference, and with the counts of events."""
    queues = text(page, "[data-key=queues]")

    assert re.search(r"queue\.round-robin quorum\s+2 · no limit\s+0\s+0\s+0\s+1\s+Workers acknowledge before", queues)
    assert re.search(r"queue\.fair quorum\s+2 · window 1\s+0\s+0\s+0\s+0", queues)
    # In adaptive dispatch a worker has several consumers on its channel.
    assert re.search(r"queue\.adaptive quorum\s+6 on 2 channels · window 8\s+0\s+0\s+0\s+0", queues)
    assert "Events: 96 received, none known to be lost, refused or dropped." in queues


def test_page_draws_each_chart_of_the_report_once_with_a_text_alternative(page: Tab) -> None:
    """Timeline, depths and waits: none is blank, and each has a label and a table."""
    blank = """[...document.querySelectorAll("canvas[role]")].filter((canvas) => {
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size < 3;
    }).length"""
    assert page.value("[...document.querySelectorAll('#dispatch-report h2')].map((one) => one.textContent)") == [
        "Who did what, when",
        "Depth of the queues",
        "How long messages waited",
        "Longest avoidable waits",
        "All figures",
    ]
    assert page.value("document.querySelectorAll('canvas[role]').length") == 3 + 3 + 3
    assert page.value(blank) == 0
    assert page.value("[...document.querySelectorAll('canvas[role]')].every((one) => one.ariaLabel.length > 20)")
    assert page.value("document.querySelectorAll('#dispatch-report details table caption').length") == 3 + 3 + 1
    assert "at work now" in text(page, "#dispatch-report .legend")
    assert text(page, "#dispatch-report .notes").startswith("Workers' clocks agree")


def test_page_has_no_errors_and_requests_only_its_own_host(page: Tab, monitor: Told, shared_server: Server) -> None:
    """Flower's scripts work under the page's policy, and markup in names from events is shown as text."""
    monitor.said["notes"] = [MARKUP]
    monitor.said["groups"][0]["workers"][0]["name"] = MARKUP
    monitor.said["queues"][0]["queue"] = MARKUP
    refreshed(page)

    assert page.complaints == []
    own = shared_server.url.removesuffix("dispatch")
    assert [address for address in page.requests if not address.startswith((own, "data:image/"))] == []
    assert page.value("document.querySelectorAll('main img, main script, main [style*=url]').length") == 0
    assert "secret" not in page.value("document.documentElement.outerHTML")


def test_page_shows_first_steps_before_the_first_task(page: Tab, monitor: Told) -> None:
    """It has no empty cards, and the first task replaces the steps without a reload."""
    told = dict(monitor.said)
    monitor.said.update(runs=[], run=None, open=False, groups=[], queues=[], report=None)
    refreshed(page)

    assert "celery -A yourapp worker -E" in text(page, "#dispatch-now")
    assert text(page, "#dispatch-report") == ""
    assert page.value("document.querySelectorAll('.metric-card').length") == 0

    monitor.said.update(told)
    refreshed(page)
    assert page.value("document.querySelectorAll('.metric-card').length") == 3
    assert text(page, "#dispatch-report") != ""


def test_page_says_what_its_figures_lack(page: Tab, monitor: Told) -> None:
    """Lost, refused and dropped events, evicted attempts, and the notes of the monitor."""
    lost = [{"worker": "fair-1@host", "lost": 12}]
    monitor.said["events"].update(dropped=1500, refused=2, lost=12, lost_by_worker=lost)
    monitor.said.update(kept={"attempts": 24, "of": 100}, notes=["Nobody asked the broker."])
    refreshed(page)

    assert text(page, "#dispatch-notes").split("\n") == [
        "1,500 events came faster than they could be processed, and were dropped.",
        "The figures lack 12 starts that workers counted (fair-1@host 12) and for which no event came.",
        "2 events were malformed, and were refused.",
        "The figures cover the latest 24 of 100 attempts.",
        "Nobody asked the broker.",
    ]


def test_page_says_when_its_data_is_old(tab: Tab, monitor: Told) -> None:
    """With a server whose data stands still, and with one that does not answer."""
    with serving() as server:
        server.monitor.said = monitor.said
        visit(tab, server.url)
        assert text(tab, "#dispatch-status").startswith("Live · as of ")

        server.monitor.age_s = 30
        refreshed(tab)
        assert re.fullmatch(r"Old · as of (29|3\d) s ago", text(tab, "#dispatch-status"))
        assert "The server has computed nothing new for " in text(tab, "#dispatch-notes")

        server.monitor.age_s = 0
        refreshed(tab)
        assert tab.complaints == []
        server.silence()
        wait_until(lambda: "No answer" in text(tab, "#dispatch-status"), what="no answer", timeout_s=60)
        assert text(tab, "#dispatch-news") == "The server does not answer."
        assert "The page shows its last answer" in text(tab, "#dispatch-notes")
        assert tab.value("document.querySelectorAll('.metric-card').length") == 3


# --- How it is used ---------------------------------------------------------------------------------------


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
    assert chosen.startswith("fair-1, slot 1: theirs.work: running, 2.00 s to ")
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
    page.visit(f"{shared_server.url}?run=warm-up")
    wait_until(lambda: "warm-up" in text(page, "#dispatch-shown"), what="the run", timeout_s=60)
    assert page.value("document.querySelector('#dispatch-run').value") == "warm-up"

    monitor.said["runs"].pop()
    refreshed(page)
    assert page.value("[document.querySelector('#dispatch-run').value, location.search]") == ["", ""]
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
    visit(tab, shared_server.url)

    def took_ms() -> float:
        told.said["report"]["runs"][0]["span_s"] += 0.5
        refreshed(tab)
        return float(tab.value("projDispatch.lastRefreshMs"))

    # A busy machine may delay some of them, but not each.
    wait_until(lambda: took_ms() < 300, what="a refresh within 300 ms", timeout_s=60)
    assert tab.value("document.querySelectorAll('.dispatch-workers tbody tr').length") == 3 * workers
