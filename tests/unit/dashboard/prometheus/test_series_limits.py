"""Limits of the series: names that others forge cannot make the metrics grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proj.dashboard.prometheus.collector import MOST_QUEUES, MOST_WORKERS
from proj.dashboard.prometheus.labels import FORGET_S, MOST_CHARACTERS
from tests.unit.dashboard.prometheus.scraping import Scraped, flood, group, queue, readings, started_attempt, worker

#: The most lines of ours in a scrape: three histograms of 200 pairs with 19 lines each, and a few others.
MOST_LINES = 3 * (MOST_QUEUES + 5) * 19 + 8 * 5 * (MOST_WORKERS + 1) + 9 * (MOST_QUEUES + 1) + 100


def test_forged_names_cannot_make_the_metrics_grow(scraped: Scraped) -> None:
    """The first names have series of their own, the others are counted under other, and the sums are complete."""
    flood(scraped)

    text, samples = scraped.text(), scraped.samples()

    assert len(text.splitlines()) < MOST_LINES
    for name in ("proj_worker_slots_busy", "proj_queue_messages_ready", "proj_events_lost_total"):
        values = {labels: value for (found, labels), value in samples.items() if found == name}
        assert len(values) <= MOST_WORKERS + 1
        assert sum(values.values()) == 3_000
    counts = {labels: value for (name, labels), value in samples.items() if name == "proj_held_wait_seconds_count"}
    assert len(counts) <= MOST_QUEUES + 1
    assert sum(counts.values()) == 3_000


def test_worker_keeps_its_series_in_a_flood_of_forged_names(scraped: Scraped) -> None:
    """New names do not replace earlier ones."""
    scraped.readings = readings(group(worker("real@h")), queues=(queue("real"),))
    scraped.samples()
    flood(scraped)
    scraped.readings = readings(
        *scraped.readings.groups, group(worker("real@h", busy=2)), queues=(queue("real", ready=9),)
    )

    samples = scraped.samples()

    assert samples["proj_worker_slots_busy", ("fair", "real@h")] == 2
    assert samples["proj_queue_messages_ready", ("real",)] == 9


def test_names_that_do_not_occur_for_an_hour_lose_their_series(scraped: Scraped) -> None:
    """So the names of a flood and their counters are removed an hour after it."""
    flood(scraped)
    scraped.samples()
    scraped.readings = readings(group(worker("new@h"), queue="new"), queues=(queue("new"),))
    scraped.now += FORGET_S
    scraped.samples()
    scraped.collector.observe([started_attempt(queue="new", worker="new@h")])

    samples = scraped.samples()

    assert samples["proj_worker_slots_busy", ("fair", "new@h")] == 1
    assert samples["proj_held_wait_seconds_count", ("fair", "new")] == 1
    assert not any("forged" in value for _, labels in samples for value in labels)


def test_quiet_queue_keeps_its_histogram(scraped: Scraped) -> None:
    """A counter that began again would hide the next task."""
    scraped.readings = readings(queues=(queue("q"),))
    scraped.collector.observe([started_attempt()])
    for _ in range(10):
        scraped.now += FORGET_S / 2
        scraped.samples()

    assert scraped.samples()["proj_held_wait_seconds_count", ("fair", "q")] == 1


def test_long_name_is_cut(scraped: Scraped) -> None:
    """Two names with the same beginning are counted together, because a series must not occur twice."""
    names = ["long" * MOST_CHARACTERS + end for end in ("a", "b")]
    scraped.readings = readings(group(*map(worker, names)), queues=tuple(queue(name, ready=1) for name in names))

    samples = scraped.samples()

    cut = names[0][:MOST_CHARACTERS]
    assert samples["proj_worker_slots_busy", ("fair", cut)] == 2
    assert samples["proj_queue_messages_ready", (cut,)] == 2


@given(st.text(st.characters()) | st.sampled_from(['"} 1\n# HELP', "\ud800", "\\", "\x00", "\u2028", 'a{b="c"} 1']))
def test_hostile_name_is_one_value_of_one_label(name: str) -> None:
    """No text from an event breaks /metrics, neither our part nor Flower's."""
    scraped = Scraped()
    scraped.collector.register()
    try:
        scraped.readings = readings(group(worker(name), queue=name, dispatch=name), queues=(queue(name, ready=3),))
        scraped.collector.observe([started_attempt(queue=name, worker=name, dispatch=name)])

        samples = scraped.samples()
    finally:
        scraped.collector.unregister()

    values = [value for (found, _), value in samples.items() if found == "proj_queue_messages_ready"]
    assert values == [3]
    assert len([True for found, _ in samples if found == "proj_worker_slots_busy"]) == 1
    assert len([True for found, _ in samples if found == "proj_held_wait_seconds_count"]) == 1
