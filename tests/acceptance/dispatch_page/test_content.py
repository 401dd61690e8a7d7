"""What the Dispatch page shows in a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proj.lab.processes.waiting import wait_until
from tests.acceptance.dispatch_server import Server, Told, refreshed, serving, text, visit

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

MARKUP = "<img src=x onerror=alert(1)>"


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
    for width in (1024, 1440):
        page.look(width=width)
        assert page.value(wide) == 0
    page.look()
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
    # Tasks of a worker that is gone are not running; one that said goodbye ends its last ones.
    group["workers"][1].update(busy_slots=1)
    refreshed(page)
    drains = text(page, "#dispatch-now .dispatch-group:nth-child(3)")
    assert re.search("adaptive-2@host\\s+1 of 1\\s+0\\s+\N{EN DASH}\\s+7\\s+6\\s+6\\.30 s\\s+draining", drains)
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
        visit(tab, server.race)
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
