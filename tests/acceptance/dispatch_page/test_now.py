"""The view Now: what it says first, its rows, and how it is used."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proj.lab.processes.waiting import wait_until
from tests.acceptance import now_scenes
from tests.acceptance.dispatch_server import Server, Told, refreshed, text, visit

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

CONTRAST = Path(__file__).with_name("contrast.js")
CONTROLS = Path(__file__).with_name("controls.js")
QUEUES = "[...document.querySelectorAll('#dispatch-queues .now-row th')].map((one) => one.innerText)"


@pytest.fixture(scope="module")
def crowd() -> dict[str, Any]:
    """30 queues and 50 workers of eight slots; a queue without consumers, and two workers that hold tasks."""
    said: dict[str, Any] = json.loads(now_scenes.document(now_scenes.many()))
    return said


@pytest.fixture
def now(tab: Tab, shared_server: Server, monitor: Told, crowd: dict[str, Any]) -> Tab:
    """The view Now of the crowd, drawn."""
    monitor.now_said = json.loads(json.dumps(crowd))
    visit(tab, shared_server.url)
    return tab


@pytest.mark.parametrize(
    ("state", "level", "sentence"),
    [
        ("fine", "Fine", r"Dispatch is fair; nothing waits that need not\."),
        ("unfair", "Look at this", r"mail: 12 tasks wait behind w3's long tasks while w1 and w5 are idle \(.*\)\."),
        ("stuck", "Wrong", r"3 workers alive, none consuming from media, where 296 messages wait, .*"),
        ("losing", "Wrong", r"media: 3 tasks are lost with m1 in the last minute, .*"),
        ("broker-away", "Wrong", r"The broker does not answer since .*"),
        ("empty", "Fine", r"Nothing waits and nothing runs; 3 workers are ready\."),
    ],
)
def test_page_leads_with_what_is_so(
    tab: Tab, shared_server: Server, monitor: Told, state: str, level: str, sentence: str
) -> None:
    """The level in a word, and the sentence; a race's figures do not come first."""
    monitor.now_said = json.loads(now_scenes.document(now_scenes.STATES[state]()))
    visit(tab, shared_server.url)

    assert re.fullmatch(level, text(tab, "#dispatch-verdict .now-word"))
    assert re.fullmatch(sentence, text(tab, "#dispatch-verdict h2"))
    assert tab.value("document.querySelector('#dispatch-verdict').getBoundingClientRect().top") < 300
    assert "ideal" not in text(tab, "main")
    assert tab.complaints == []


def test_rows_of_many_queues_and_workers_are_few_pixels_high_and_the_worst_come_first(now: Tab) -> None:
    """What is wrong is on the first screens; the others are in the order of their names."""
    names = [name.split()[-2] for name in now.value(QUEUES)]
    heights = now.value("[...document.querySelectorAll('.now-row')].map((one) => one.getBoundingClientRect().height)")
    wide = "[...document.querySelectorAll('.now-scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"

    assert names[0] == "imports.north"
    assert set(names[1:3]) == {"thumbnails.south", "thumbnails.west"}
    assert names[3:] == sorted(names[3:])
    assert len(heights) == 30 + 50
    assert max(heights) < 64
    assert sorted(heights)[40] < 36
    now.look(width=1440)
    assert now.value(wide) == 0


def test_row_has_the_figures_of_its_queue_and_who_is_to_blame(now: Tab) -> None:
    """Each figure has the head of its column; a worker links to Flower's page of it."""
    head = "[...document.querySelectorAll('#dispatch-queues thead th')].map((one) => one.innerText)"
    cells = """Object.fromEntries([...document.querySelectorAll(
        "#dispatch-queues [data-key='row thumbnails.west'] td")].map((one) => [one.dataset.label, one.innerText]))"""
    link = "document.querySelector('#dispatch-workers [data-key=\"row worker-7@host\"] a').getAttribute('href')"
    row = now.value(cells)

    assert now.value(head)[1:] == list(row)
    assert re.fullmatch(r"\d+ min\s*by worker-7", row["avoidable /min"])
    assert row["held"] == "9"
    assert re.fullmatch(r"8 of 40 · \d+ %", row["slots busy"])
    assert row["consumers"] == "5"
    assert now.value("document.querySelectorAll('#dispatch-queues .now-spark').length") == 2 * 30
    assert now.value(link) == "/worker/worker-7%40host"
    assert "8 of 8" in text(now, "#dispatch-workers [data-key='row worker-7@host']")


def test_phone_shows_the_sentence_and_the_queues_without_horizontal_scrolling(
    now: Tab, shared_server: Server, monitor: Told
) -> None:
    """What is in order is closed at first, so that the page is not endless."""
    monitor.now_said["queues"][0]["name"] = "a-queue-with-a-long-name." * 8
    now.look(width=390)
    visit(now, shared_server.url)

    assert now.value("document.documentElement.scrollWidth") == 390
    assert now.value("[...document.querySelectorAll('.now-scroll')].every((one) => one.scrollWidth <= one.clientWidth)")
    assert now.value("document.querySelector('#dispatch-verdict h2').getBoundingClientRect().bottom") < 800
    assert len(now.value(QUEUES)) == 3
    now.click("[data-group=queues-fine]")
    assert len(now.value(QUEUES)) == 30
    assert now.value("document.documentElement.scrollWidth") == 390


@pytest.mark.parametrize("view", ["now", "race"])
def test_phone_has_a_link_at_the_top_that_leads_to_the_search(now: Tab, shared_server: Server, view: str) -> None:
    """The search is below all queues; one can type at once, and the first sentence is on the first screen as before."""
    now.look(width=390)
    visit(now, f"{shared_server.url}?view={view}")

    def seen(selector: str) -> bool:
        """Whether it is below Flower's bar, which stays at the top, and on the screen."""
        bar = "document.querySelector('.app-navbar').getBoundingClientRect().bottom"
        place = f"document.querySelector('{selector}').getBoundingClientRect()"
        return bool(now.value(f"(({{top, bottom}}) => top >= {bar} && bottom <= innerHeight)({place})"))

    assert seen("#dispatch-find")
    assert not seen("#dispatch-search-words")

    now.click("#dispatch-find")

    wait_until(lambda: seen("#dispatch-search-words"), what="the search", timeout_s=60)
    assert now.value("document.activeElement.id") == "dispatch-search-words"
    assert now.value("document.documentElement.scrollWidth") == 390
    assert now.complaints == []


def test_filter_shows_the_rows_with_its_words_and_stays_in_the_address(now: Tab, shared_server: Server) -> None:
    """Of a queue its workers are shown, and of a worker its queues; the names in a sentence are a filter."""
    now.click("#dispatch-verdict [data-filter='thumbnails.west']")

    assert text(now, "#dispatch-found") == "1 of 30 queues, 5 of 50 workers"
    assert now.value("location.search") == "?filter=thumbnails.west"
    refreshed(now)
    assert len(now.value(QUEUES)) == 1
    visit(now, f"{shared_server.url}?filter=WORKER-7%40")
    assert text(now, "#dispatch-found") == "3 of 30 queues, 1 of 50 workers"
    now.value(
        "(document.querySelector('#dispatch-filter').value = 'nothing', "
        "void document.querySelector('#dispatch-filter').dispatchEvent(new Event('input')))"
    )
    assert "None has these words." in text(now, "#dispatch-queues")


def test_window_is_chosen_by_keyboard_and_stays_in_the_address(now: Tab, shared_server: Server, monitor: Told) -> None:
    """The figures are of the chosen time, also after a reload; both views are one link apart."""
    checked = "document.querySelector('#dispatch-windows :checked').value"
    assert now.value(checked) == "60"
    now.value("document.querySelector('#dispatch-windows :checked').focus()")
    now.press("ArrowRight")
    refreshed(now)
    assert (now.value("location.search"), monitor.windows[-1]) == ("?window=300", 300)
    visit(now, f"{shared_server.url}?window=all")
    assert (now.value(checked), monitor.windows[-1]) == ("all", None)

    now.click(".dispatch-views a:last-child")
    wait_until(lambda: now.value("location.search") == "?view=race", what="the view Race", timeout_s=60)
    wait_until(lambda: "Makespan" in text(now, "main"), what="the race", timeout_s=60)
    assert text(now, ".dispatch-views [aria-current]") == "Race"


def test_group_closes_by_keyboard_and_the_focus_stays_when_rows_change_places(now: Tab, monitor: Told) -> None:
    """A refresh takes neither the focus nor the choice."""
    now.value("document.querySelector('[data-group=queues-fine]').focus()")
    now.press("Enter")
    assert len(now.value(QUEUES)) == 3
    monitor.now_said["queues"].reverse()
    monitor.now_said["workers"].reverse()
    refreshed(now)

    assert now.value("document.activeElement.dataset.group") == "queues-fine"
    assert now.value("document.activeElement.ariaExpanded") == "false"
    now.value("document.querySelector('#dispatch-workers tbody a').focus()")
    focused = now.value("document.activeElement.innerText")
    monitor.now_said["workers"].reverse()
    refreshed(now)
    assert now.value("document.activeElement.innerText") == focused


def test_nothing_is_called_fine_while_the_figures_are_old(tab: Tab, shared_server: Server, monitor: Told) -> None:
    """The first sentence then says why, and since when."""
    monitor.now_said = json.loads(now_scenes.document(now_scenes.fine()))
    visit(tab, shared_server.url)
    assert text(tab, "#dispatch-verdict .now-word") == "Fine"
    assert text(tab, "[data-group=queues-fine]") == "In order (3)"
    monitor.age_s = 30
    refreshed(tab)

    assert text(tab, "[data-group=queues-fine]") == "As far as was known (3)"
    assert text(tab, "#dispatch-verdict .now-word") == "Not known"
    assert re.fullmatch(
        r"The server has computed nothing new for (29|3\d) s\. What is shown was so at \d\d:\d\d:\d\d\.",
        text(tab, "#dispatch-verdict h2"),
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_now_has_enough_contrast_and_every_control_a_name(now: Tab, scheme: str) -> None:
    """WCAG 2.2 AA: contrast, names, one main landmark, headings without a gap, and a focus that is seen."""
    now.look(scheme=scheme, still=True)
    now.click("#dispatch-words summary")
    refreshed(now)

    poor = now.value(CONTRAST.read_text())
    assert now.value("document.documentElement.dataset.bsTheme") == scheme
    assert poor["texts"] > 500
    assert poor["poor"] == []
    assert now.value(CONTROLS.read_text()) == []


def test_now_says_what_its_figures_lack(now: Tab, monitor: Told) -> None:
    """Events that were dropped or refused above the figures, and what a queue lacks below its row."""
    monitor.now_said["events"].update(dropped=1500, refused=2)
    monitor.now_said["queues"][0].update(lost=3, missing_events=1)
    monitor.now_said["queues"][1].update(waits_from="receipt", wait_p95_s=1.5, arrivals_counted=False)
    monitor.now_said["queues"].append({**monitor.now_said["queues"][-1], "name": None, "unknown_why": "Set this."})
    refreshed(now)

    assert text(now, "#dispatch-notes").split("\n") == [
        "1,500 events came faster than they could be processed, and were dropped.",
        "2 events were malformed, and were refused.",
    ]
    notes = now.value("[...document.querySelectorAll('.now-note')].map((one) => one.innerText.trim())")
    assert notes == ["3 tasks lost. 1 start of its workers came in no event, so the figures are too low.", "Set this."]
    assert "queue not known" in text(now, "#dispatch-queues")
    known_in_part = now.value("[...document.querySelectorAll('.now-row td abbr')].map((one) => one.innerText)")
    # Of their dead letters nothing is known.
    assert [one[:2] for one in known_in_part if one != "\N{EN DASH}"] == [
        "\N{ALMOST EQUAL TO} ",
        *["\N{GREATER-THAN OR EQUAL TO} "] * 3,
    ]
    assert "\N{GREATER-THAN OR EQUAL TO} 1.5 s" in known_in_part


def test_screen_reader_is_told_only_when_the_sentence_is_another_one(now: Tab, monitor: Told) -> None:
    """Not of every figure that changes."""
    now.value("""(window.spoken = [], new MutationObserver(() => window.spoken.push(
        document.querySelector("#dispatch-news").textContent)).observe(document.querySelector("#dispatch-news"),
        {childList: true, characterData: true, subtree: true}))""")
    monitor.now_said["sentences"][0]["text"] = "50 workers alive, none consuming from imports.north, 640 wait."
    refreshed(now)
    assert now.value("window.spoken") == []
    monitor.now_said["sentences"].pop(0)
    refreshed(now)
    assert [one[:11] for one in now.value("window.spoken")] == ["thumbnails."]


def test_refresh_of_many_takes_less_than_300_ms(now: Tab, monitor: Told) -> None:
    """From request to drawing, of 30 queues and 50 workers of which each changes."""

    def took_ms() -> float:
        for one in (*monitor.now_said["queues"], *monitor.now_said["workers"]):
            one["done_per_s"] += 1
        refreshed(now)
        return float(now.value("projDispatch.lastRefreshMs"))

    # A busy machine may delay some of them, but not each.
    wait_until(lambda: took_ms() < 300, what="a refresh within 300 ms", timeout_s=60)


def test_recorded_journal_is_not_called_old(tab: Tab, shared_server: Server, monitor: Told) -> None:
    """Its figures are of its end, and the page says that it is a journal."""
    said = json.loads(now_scenes.document(now_scenes.fine()))
    recorded = {"level": "ok", "kind": "recorded", "text": "This is a recorded journal.", "queues": [], "workers": []}
    said.update(live=False, source="journal", journal="run.sqlite", sentences=[*said["sentences"], recorded])
    monitor.now_said, monitor.age_s = said, 9999.0
    visit(tab, shared_server.url)

    assert text(tab, "#dispatch-status") == "Recorded journal run.sqlite"
    assert text(tab, "#dispatch-verdict h2") == "Dispatch is fair; nothing waits that need not."
    assert "This is a recorded journal." in text(tab, "#dispatch-verdict li")
    assert text(tab, "#dispatch-notes") == ""
