"""The timelines of the view Race: zoom, queues that are told apart, and the way to Flower's page of a task."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tests.acceptance.dispatch_server import Told, refreshed, text

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

CANVAS = "document.querySelector('#dispatch-report canvas[tabindex]')"
SHOWN = f"{CANVAS}.view.from.toFixed(2) + ' ' + {CANVAS}.view.to.toFixed(2)"


def test_timelines_zoom_and_pan_together_by_button_keyboard_and_wheel(page: Tab) -> None:
    """All of them show the same part of the time, and a refresh keeps it."""
    whole = page.value(SHOWN)
    page.click("[data-zoom=in]")
    begin, end = (float(one) for one in page.value(SHOWN).split())
    assert 0 < begin < end < float(whole.split()[1])
    all_alike = "new Set([...document.querySelectorAll('canvas[tabindex]')].map(({view}) => view.from)).size"
    assert page.value(all_alike) == 1

    page.click("[data-zoom=later]")
    assert float(page.value(SHOWN).split()[0]) > begin
    page.click("[data-zoom=earlier]")
    refreshed(page)
    assert page.value(SHOWN) == f"{begin:.2f} {end:.2f}"

    page.value(f"{CANVAS}.focus()")
    page.press("0")
    assert page.value(SHOWN) == whole
    assert page.value("document.querySelector('[data-zoom=all]').disabled")
    page.press("+")
    assert page.value(SHOWN) == f"{begin:.2f} {end:.2f}"
    page.press("ArrowRight", shift=True)
    assert float(page.value(SHOWN).split()[0]) > begin
    page.press("0")

    wheel = f"{CANVAS}.dispatchEvent(new WheelEvent('wheel', {{ctrlKey: %s, deltaY: -100, cancelable: true}}))"
    assert page.value(wheel % "false")
    assert page.value(SHOWN) == whole
    # False says that the page does not also scroll.
    assert not page.value(wheel % "true")
    assert page.value(SHOWN) != whole


def test_what_is_chosen_by_keyboard_comes_into_the_part_that_is_shown(page: Tab) -> None:
    """Also when it lies far outside."""
    for _ in range(5):
        page.click("[data-zoom=in]")
    page.value(f"{CANVAS}.focus()")
    page.press("ArrowDown")

    begin, end = (float(one) for one in page.value(SHOWN).split())
    assert begin == 0
    assert end < 2
    assert re.search(r"slot 1: theirs.work: done, 0 s to 2.00 s .*, from 14:13:20 UTC", text(page, "output"))


def test_slot_of_several_queues_has_one_lane_with_all_its_tasks(page: Tab, monitor: Told) -> None:
    """The queues differ in colour and in a mark, and a legend names them."""
    report = monitor.said["report"]
    together = json.loads(json.dumps(report["runs"][0]))
    del together["figures"], together["workers"]
    together.update(name="all queues", queues=["mail", "media"])
    for number, bar in enumerate(together["groups"][0]["lanes"][0]):
        bar[6] = number % 2
    report["together"] = together
    refreshed(page)

    assert page.value("document.querySelectorAll('canvas[tabindex]').length") == 1
    assert text(page, "#dispatch-report .legend.queues").split() == ["mail", "media"]
    assert page.value("""(() => {
        const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer;
        const [one, other] = [...document.querySelectorAll(".legend.queues canvas")]
            .map((canvas) => new Set(new Uint32Array(pixels(canvas))));
        return [...other].filter((colour) => !one.has(colour)).length >= 2;
    })()""")
    assert len(page.value("[...document.querySelectorAll('#dispatch-report details')].map((one) => one.innerText)")) > 3
    assert page.complaints == []
