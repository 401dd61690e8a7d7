"""Our figures on /metrics: right, bounded, and readable by Prometheus whatever is forged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proj.dashboard.live.status import (
    BrokerCount,
    EventCount,
    EventCounts,
    GroupStatus,
    LostEvents,
    QueueStatus,
    Readings,
    StartedAttempt,
    WorkerStatus,
)
from proj.dashboard.prometheus.collector import MOST_QUEUES, MOST_WORKERS, DispatchCollector
from proj.dashboard.prometheus.histogram import LONGEST_WAIT_S
from proj.dashboard.prometheus.labels import FORGET_S, MOST_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines a scrape, of ours, however much is forged: three histograms of 200 pairs and a few others, of 19 lines each.
MOST_LINES = 3 * (MOST_QUEUES + 5) * 19 + 5 * 5 * (MOST_WORKERS + 1) + 3 * (MOST_QUEUES + 1) + 100

NO_EVENTS = EventCounts(heard=0, refused=0, dropped=0, lost=0, lost_by_worker=())


def worker(
    name: str, *, slots: int | None = 2, busy: int = 1, held: int = 0, alive: bool | None = True
) -> WorkerStatus:
    return WorkerStatus(name=name, slots=slots, busy_slots=busy, held=held, tasks=0, busy_s=0.0, alive=alive)


def group(*workers: WorkerStatus, queue: str | None = "q", dispatch: str | None = "fair") -> GroupStatus:
    return GroupStatus(
        name=f"{queue} · {dispatch}",
        queue=queue,
        dispatch=dispatch,
        workers=workers,
        slots=sum(worker.slots or 0 for worker in workers),
        busy_slots=sum(worker.busy_slots for worker in workers),
        held=sum(worker.held for worker in workers),
        tasks=0,
        busy_s=0.0,
    )


def queue(name: str, *, ready: int = 0, unacknowledged: int | None = 0, age_s: float = 0.0) -> QueueStatus:
    return QueueStatus(
        queue=name,
        type="quorum",
        broker=BrokerCount(ready=ready, unacknowledged=unacknowledged, consumers=1, windows=(), age_s=age_s),
        events=EventCount(ready=0, unacknowledged=0),
        explanation=None,
    )


def readings(*groups: GroupStatus, queues: tuple[QueueStatus, ...] = (), events: EventCounts = NO_EVENTS) -> Readings:
    return Readings(groups=groups, queues=queues, events=events)


def settled(
    *, queue: str | None = "q", worker: str = "w@h", dispatch: str | None = "fair", wait_s: float | None = 0.2
) -> StartedAttempt:
    return StartedAttempt(
        queue=queue,
        worker=worker,
        dispatch=dispatch,
        broker_wait_s=wait_s,
        held_s=wait_s,
        avoidable_wait_s=wait_s,
    )


class Scraped:
    """An collector in the default registry, and what Prometheus reads of it."""

    def __init__(self) -> None:
        self.readings = readings()
        self.now = 0.0
        self.collector = DispatchCollector(lambda: self.readings, clock=lambda: self.now)

    def text(self) -> str:
        """Our part of the page that Flower's handler makes."""
        lines = generate_latest().decode().split("\n")
        return "\n".join([*(line for line in lines if "proj_" in line.split("{")[0]), ""])

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Values by the name of the sample and the values of its labels, these by their names."""
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    """What Prometheus reads, with nothing left in the registry afterwards."""
    scraped = Scraped()
    scraped.collector.register()
    yield scraped
    scraped.collector.unregister()


def test_exposition_tells_what_the_broker_counts_of_each_queue(scraped: Scraped) -> None:
    """Ready, unacknowledged and their age; nothing stands where the broker did not say."""
    unknown = QueueStatus(
        queue="no-api", type=None, broker=None, events=EventCount(ready=7, unacknowledged=7), explanation=None
    )
    scraped.readings = readings(
        queues=(
            queue("a", ready=7, unacknowledged=3, age_s=2.5),
            queue("amqp-only", ready=1, unacknowledged=None),
            unknown,
        )
    )

    samples = scraped.samples()

    assert samples["proj_queue_messages_ready", ("a",)] == 7
    assert samples["proj_queue_messages_unacknowledged", ("a",)] == 3
    assert samples["proj_queue_counts_age_seconds", ("a",)] == 2.5
    assert samples["proj_queue_messages_ready", ("amqp-only",)] == 1
    assert ("proj_queue_messages_unacknowledged", ("amqp-only",)) not in samples
    assert not any("no-api" in labels for _, labels in samples)


def test_exposition_counts_the_slots_of_a_worker_once_when_it_serves_two_queues(scraped: Scraped) -> None:
    """Its slots are the same in both groups; what it works on and holds is of the one or of the other."""
    scraped.readings = readings(
        group(worker("w@h", slots=4, busy=1, held=5), queue="a"),
        group(worker("w@h", slots=4, busy=2, held=7), queue="b"),
    )

    samples = scraped.samples()

    assert samples["proj_worker_slots", ("fair", "w@h")] == 4
    assert samples["proj_worker_slots_busy", ("fair", "w@h")] == 3
    assert samples["proj_worker_tasks_held", ("fair", "w@h")] == 12


def test_exposition_tells_no_slots_of_a_worker_that_told_none(scraped: Scraped) -> None:
    """Unknown is not zero."""
    scraped.readings = readings(group(worker("w@h", slots=None), dispatch=None))

    samples = scraped.samples()

    assert ("proj_worker_slots", ("unknown", "w@h")) not in samples
    assert samples["proj_worker_slots_busy", ("unknown", "w@h")] == 1


@pytest.mark.parametrize("gone", [readings(), readings(group(worker("w@h", alive=False)))], ids=["forgotten", "dead"])
def test_gauges_of_a_worker_and_a_queue_that_are_gone_go_too(scraped: Scraped, gone: Readings) -> None:
    """A graph does not show the last value of what is not there."""
    scraped.readings = readings(group(worker("w@h")), queues=(queue("a"),))
    before = scraped.samples()
    scraped.readings = gone

    after = scraped.samples()

    gauges = {"proj_worker_slots", "proj_worker_slots_busy", "proj_worker_tasks_held", "proj_queue_messages_ready"}
    assert gauges <= {name for name, _ in before}
    assert not gauges & {name for name, _ in after}


def test_histograms_count_each_wait_in_the_buckets_that_it_is_within(scraped: Scraped) -> None:
    """By queue and dispatch mode, cumulative as Prometheus has it, and a wait of a bound is within it."""
    scraped.collector.observe([settled(wait_s=wait_s) for wait_s in (0.0, 0.005, 0.3, 700.0)])
    scraped.collector.observe([settled(wait_s=None), settled(dispatch="round-robin", wait_s=1.0)])

    samples = scraped.samples()

    for name in ("proj_broker_wait_seconds", "proj_held_wait_seconds", "proj_avoidable_wait_seconds"):
        bucket = f"{name}_bucket"
        buckets = {
            labels[1]: value for (name, labels), value in samples.items() if name == bucket and labels[0] == "fair"
        }
        assert buckets["0.005"] == 2
        assert buckets["0.25"] == 2
        assert buckets["0.5"] == buckets["600.0"] == 3
        assert buckets["+Inf"] == samples[f"{name}_count", ("fair", "q")] == 4
        assert samples[f"{name}_sum", ("fair", "q")] == pytest.approx(700.305)
        assert samples[f"{name}_count", ("round-robin", "q")] == 1
    assert samples["proj_tasks_started_total", ("fair", "w@h")] == 5


@pytest.mark.parametrize("wait_s", [-1.0, float("nan"), float("inf"), LONGEST_WAIT_S * 2])
def test_wait_that_cannot_be_is_not_counted(scraped: Scraped, wait_s: float) -> None:
    """One forged timestamp does not spoil a sum for good."""
    scraped.collector.observe([settled(wait_s=wait_s), settled(wait_s=1.0)])

    assert scraped.samples()["proj_held_wait_seconds_sum", ("fair", "q")] == 1.0


def test_counters_of_what_is_there_begin_at_zero(scraped: Scraped) -> None:
    """Prometheus tells an increase only from an earlier value, so the first task would be missed."""
    scraped.readings = readings(group(worker("w@h")))

    samples = scraped.samples()

    assert samples["proj_tasks_started_total", ("fair", "w@h")] == 0
    assert samples["proj_events_lost_total", ("w@h",)] == 0
    assert samples["proj_held_wait_seconds_count", ("fair", "q")] == 0


def test_events_are_counted_by_what_became_of_them(scraped: Scraped) -> None:
    """Lost ones by worker, from 0 for each that is there; what no worker is named for is under other."""
    events = EventCounts(heard=90, refused=4, dropped=3, lost=7, lost_by_worker=(LostEvents(worker="w@h", lost=5),))
    scraped.readings = readings(group(worker("w@h"), worker("idle@h")), events=events)

    samples = scraped.samples()

    assert samples["proj_events_heard_total", ()] == 90
    assert samples["proj_events_refused_total", ()] == 4
    assert samples["proj_events_dropped_total", ()] == 3
    assert samples["proj_events_lost_total", ("w@h",)] == 5
    assert samples["proj_events_lost_total", ("idle@h",)] == 0
    assert samples["proj_events_lost_total", ("other",)] == 2


def flood(scraped: Scraped) -> None:
    """More names than there are places, of all kinds, seen and observed."""
    names = [f"forged-{number}" for number in range(3_000)]
    scraped.readings = readings(
        *(group(worker(name), queue=name, dispatch=name) for name in names),
        queues=tuple(queue(name, ready=1) for name in names),
        events=EventCounts(
            heard=0, refused=0, dropped=0, lost=3_000, lost_by_worker=tuple(LostEvents(worker=n, lost=1) for n in names)
        ),
    )
    scraped.collector.observe([settled(queue=name, worker=name, dispatch=name) for name in names])


def test_forged_names_cannot_make_the_page_grow(scraped: Scraped) -> None:
    """The first have series of their own; the others are together under other, and none is missing in the sums."""
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


def test_worker_that_was_there_before_a_flood_of_forged_names_keeps_its_series(scraped: Scraped) -> None:
    """Names cannot push out others."""
    scraped.readings = readings(group(worker("real@h")), queues=(queue("real"),))
    scraped.samples()
    flood(scraped)
    scraped.readings = readings(
        *scraped.readings.groups, group(worker("real@h", busy=2)), queues=(queue("real", ready=9),)
    )

    samples = scraped.samples()

    assert samples["proj_worker_slots_busy", ("fair", "real@h")] == 2
    assert samples["proj_queue_messages_ready", ("real",)] == 9


def test_names_that_are_not_met_for_an_hour_give_up_their_places(scraped: Scraped) -> None:
    """So a flood is over some time after it is over, and its counters leave memory."""
    flood(scraped)
    scraped.samples()
    scraped.readings = readings(group(worker("new@h"), queue="new"), queues=(queue("new"),))
    scraped.now += FORGET_S
    scraped.samples()
    scraped.collector.observe([settled(queue="new", worker="new@h")])

    samples = scraped.samples()

    assert samples["proj_worker_slots_busy", ("fair", "new@h")] == 1
    assert samples["proj_held_wait_seconds_count", ("fair", "new")] == 1
    assert not any("forged" in value for _, labels in samples for value in labels)


def test_queue_in_which_little_happens_keeps_its_histogram_while_it_is_there(scraped: Scraped) -> None:
    """A counter that began again would hide the next task: an increase can be told only from an earlier value."""
    scraped.readings = readings(queues=(queue("q"),))
    scraped.collector.observe([settled()])
    for _ in range(10):
        scraped.now += FORGET_S / 2
        scraped.samples()

    assert scraped.samples()["proj_held_wait_seconds_count", ("fair", "q")] == 1


def test_process_that_only_publishes_has_no_series(scraped: Scraped) -> None:
    """Celery makes a new such name for every start of every producer."""
    events = EventCounts(
        heard=0, refused=0, dropped=0, lost=2, lost_by_worker=(LostEvents(worker="gen4711@host", lost=2),)
    )
    scraped.readings = readings(group(worker("gen4711@host")), events=events)
    scraped.collector.observe([settled(worker="gen4711@host")])

    assert "gen4711" not in scraped.text()
    assert scraped.samples()["proj_tasks_started_total", ("fair", "other")] == 1


def test_long_name_is_cut(scraped: Scraped) -> None:
    """And two that begin alike are counted together, since a series stands only once on the page."""
    names = ["long" * MOST_CHARACTERS + end for end in ("a", "b")]
    scraped.readings = readings(group(*map(worker, names)), queues=tuple(queue(name, ready=1) for name in names))

    samples = scraped.samples()

    cut = names[0][:MOST_CHARACTERS]
    assert samples["proj_worker_slots_busy", ("fair", cut)] == 2
    assert samples["proj_queue_messages_ready", (cut,)] == 2


@given(st.text(st.characters()) | st.sampled_from(['"} 1\n# HELP', "\ud800", "\\", "\x00", "\u2028", 'a{b="c"} 1']))
def test_hostile_name_comes_out_as_one_value_of_one_label(name: str) -> None:
    """No text from the bus breaks the page, for us or for Flower's metrics on it."""
    scraped = Scraped()
    scraped.collector.register()
    try:
        scraped.readings = readings(group(worker(name), queue=name, dispatch=name), queues=(queue(name, ready=3),))
        scraped.collector.observe([settled(queue=name, worker=name, dispatch=name)])

        samples = scraped.samples()
    finally:
        scraped.collector.unregister()

    values = [value for (found, _), value in samples.items() if found == "proj_queue_messages_ready"]
    assert values == [3]
    assert len([True for found, _ in samples if found == "proj_worker_slots_busy"]) == 1
    assert len([True for found, _ in samples if found == "proj_held_wait_seconds_count"]) == 1


def test_registering_a_second_time_replaces_the_first(scraped: Scraped) -> None:
    """Two applications of one process, as in tests, leave one set of series, and the page stays readable."""
    second = DispatchCollector(lambda: readings(queues=(queue("second"),)))
    scraped.readings = readings(queues=(queue("first"),))
    scraped.collector.register()
    second.register()

    names = {labels for name, labels in scraped.samples() if name == "proj_queue_messages_ready"}

    scraped.collector.unregister()
    assert names == {("second",)}
    assert scraped.samples() != {}
    second.unregister()
    second.unregister()
    assert scraped.samples() == {}


def test_exposition_keeps_away_a_metric_of_the_same_name(scraped: Scraped) -> None:
    """The registry knows our names, so that a clash is an error and not a page that Prometheus refuses."""
    scraped.samples()
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("proj_queue_messages_ready", "Another's.")


def test_every_metric_is_named_and_explained_as_prometheus_asks(scraped: Scraped) -> None:
    """Prefix, base unit, _total for counters alone, one sentence of help, and no label but ours."""
    flood(scraped)

    families = list(text_string_to_metric_families(scraped.text()))

    assert len(families) == 14
    for family in families:
        assert family.name.startswith("proj_")
        assert family.documentation.endswith(".")
        assert family.documentation.count(". ") == 0
        assert {label for sample in family.samples for label in sample.labels} <= {"queue", "dispatch", "worker", "le"}
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)
        if "_wait" in family.name or "_age" in family.name:
            assert family.name.endswith("_seconds")
