"""Our metrics are correct, bounded in number, and readable by Prometheus whatever is forged."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

from proj.broker.queue_depths import Depth
from proj.dashboard.live.status import (
    EventCount,
    EventCounts,
    LostEvents,
    QueueStatus,
    Readings,
)
from proj.dashboard.prometheus.collector import DispatchCollector
from proj.dashboard.prometheus.histogram import LONGEST_WAIT_S
from proj.dashboard.prometheus.labels import FORGET_S
from tests.unit.dashboard.prometheus.scraping import Scraped, flood, group, queue, readings, started_attempt, worker


def test_counts_of_the_broker_are_exported_for_each_queue(scraped: Scraped) -> None:
    """Ready, unacknowledged and their age. An unknown count has no series."""
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


def test_what_an_adaptive_worker_of_two_queues_has_in_advance_is_counted_once(scraped: Scraped) -> None:
    """Its heartbeat tells it for all queues together. A worker of another mode has no such series."""
    adaptive = replace(worker("a@h"), window=8, in_advance=3, given_back=40)
    groups_of_both = [group(adaptive, queue=name, dispatch="adaptive") for name in ("q1", "q2")]
    scraped.readings = readings(*groups_of_both, group(worker("f@h")))

    samples = scraped.samples()

    names = ("proj_worker_window", "proj_worker_messages_in_advance", "proj_worker_messages_given_back_total")
    assert [samples[name, ("adaptive", "a@h")] for name in names] == [8, 3, 40]
    assert not [labels for name, labels in samples if name in names and "f@h" in labels]


def test_slots_of_a_worker_of_two_queues_are_counted_once(scraped: Scraped) -> None:
    """Both groups have the same slots, but busy slots and held tasks are counted for each."""
    scraped.readings = readings(
        group(worker("w@h", slots=4, busy=1, held=5), queue="a"),
        group(worker("w@h", slots=4, busy=2, held=7), queue="b"),
    )

    samples = scraped.samples()

    assert samples["proj_worker_slots", ("fair", "w@h")] == 4
    assert samples["proj_worker_slots_busy", ("fair", "w@h")] == 3
    assert samples["proj_worker_tasks_held", ("fair", "w@h")] == 12


def test_worker_that_reports_no_slots_has_no_series_of_slots(scraped: Scraped) -> None:
    """Unknown is not zero."""
    scraped.readings = readings(group(worker("w@h", slots=None), dispatch=None))

    samples = scraped.samples()

    assert ("proj_worker_slots", ("unknown", "w@h")) not in samples
    assert samples["proj_worker_slots_busy", ("unknown", "w@h")] == 1


@pytest.mark.parametrize("gone", [readings(), readings(group(worker("w@h", alive=False)))], ids=["forgotten", "dead"])
def test_gauges_of_a_worker_and_a_queue_end_with_them(scraped: Scraped, gone: Readings) -> None:
    """A graph must not show the last value of a stopped worker."""
    scraped.readings = readings(group(worker("w@h")), queues=(queue("a"),))
    before = scraped.samples()
    scraped.readings = gone

    after = scraped.samples()

    gauges = {"proj_worker_slots", "proj_worker_slots_busy", "proj_worker_tasks_held", "proj_queue_messages_ready"}
    assert gauges <= {name for name, _ in before}
    assert not gauges & {name for name, _ in after}


def test_histograms_count_each_wait_in_its_buckets(scraped: Scraped) -> None:
    """By queue and dispatch mode, cumulative. A bucket includes its bound."""
    scraped.collector.observe([started_attempt(wait_s=wait_s) for wait_s in (0.0, 0.005, 0.3, 700.0)])
    scraped.collector.observe([started_attempt(wait_s=None), started_attempt(dispatch="round-robin", wait_s=1.0)])

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
def test_impossible_wait_is_not_counted(scraped: Scraped, wait_s: float) -> None:
    """One forged timestamp must not spoil a sum for good."""
    scraped.collector.observe([started_attempt(wait_s=wait_s), started_attempt(wait_s=1.0)])

    assert scraped.samples()["proj_held_wait_seconds_sum", ("fair", "q")] == 1.0


def test_counters_of_workers_and_queues_begin_at_zero(scraped: Scraped) -> None:
    """Prometheus sees an increase only from an earlier value, so it would miss the first task."""
    scraped.readings = readings(group(worker("w@h")))

    samples = scraped.samples()

    assert samples["proj_tasks_started_total", ("fair", "w@h")] == 0
    assert samples["proj_events_lost_total", ("w@h",)] == 0
    assert samples["proj_held_wait_seconds_count", ("fair", "q")] == 0


def test_events_are_counted_by_their_outcome(scraped: Scraped) -> None:
    """Lost ones by worker, beginning at 0; the rest is counted under other."""
    events = EventCounts(heard=90, refused=4, dropped=3, lost=7, lost_by_worker=(LostEvents(worker="w@h", lost=5),))
    scraped.readings = readings(group(worker("w@h"), worker("idle@h")), events=events)

    samples = scraped.samples()

    assert samples["proj_events_heard_total", ()] == 90
    assert samples["proj_events_refused_total", ()] == 4
    assert samples["proj_events_dropped_total", ()] == 3
    assert samples["proj_events_lost_total", ("w@h",)] == 5
    assert samples["proj_events_lost_total", ("idle@h",)] == 0
    assert samples["proj_events_lost_total", ("other",)] == 2


def test_counter_of_lost_events_never_falls(scraped: Scraped) -> None:
    """Events that come late make fewer of them lost, and Prometheus would take that for a restart."""
    told = []
    for lost in (5, 2, 0, 3):
        rows = (LostEvents(worker="w@h", lost=lost),) if lost else ()
        events = EventCounts(heard=9, refused=0, dropped=0, lost=lost, lost_by_worker=rows)
        scraped.readings = readings(group(worker("w@h")), events=events)
        told.append(scraped.samples()["proj_events_lost_total", ("w@h",)])

    assert told == [5, 5, 5, 8]


def test_losses_of_a_worker_that_is_gone_are_not_counted_again(scraped: Scraped) -> None:
    """Its series is forgotten after an hour. Were they added to those of others then, the alert would come again."""
    rows = (LostEvents(worker="w@h", lost=5),)
    events = EventCounts(heard=9, refused=0, dropped=0, lost=5, lost_by_worker=rows)
    scraped.readings = readings(group(worker("w@h")), events=events)
    scraped.samples()
    scraped.now += 2 * FORGET_S
    scraped.readings = readings()

    assert scraped.samples()["proj_events_lost_total", ("other",)] == 0


def test_results_that_were_lost_are_counted_by_worker(scraped: Scraped) -> None:
    """Those of a worker that is gone do not become those of others when its series is forgotten."""
    told = []
    for lost in ({"w@h": 0}, {"w@h": 2}, {}, {"w@h": 3}):
        scraped.readings = replace(readings(group(worker("w@h"))), results_lost=lost)
        told.append(scraped.samples()["proj_results_lost_total", ("w@h",)])
    scraped.now += 2 * FORGET_S
    scraped.readings = readings()

    assert told == [0, 2, 2, 3]
    assert not any(name == "proj_results_lost_total" for name, _ in scraped.samples())


def test_process_that_only_publishes_has_no_series(scraped: Scraped) -> None:
    """Celery gives a new name to every start of every producer."""
    events = EventCounts(
        heard=0, refused=0, dropped=0, lost=2, lost_by_worker=(LostEvents(worker="gen4711@host", lost=2),)
    )
    scraped.readings = readings(group(worker("gen4711@host")), events=events)
    scraped.collector.observe([started_attempt(worker="gen4711@host")])

    assert "gen4711" not in scraped.text()
    assert scraped.samples()["proj_tasks_started_total", ("fair", "other")] == 1


def test_registering_a_second_time_replaces_the_first(scraped: Scraped) -> None:
    """Two applications in one process, as in tests, have one set of series."""
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


def test_second_metric_of_the_same_name_is_refused(scraped: Scraped) -> None:
    """The registry knows our names, so that a clash is an error, and not a scrape that Prometheus refuses."""
    scraped.samples()
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("proj_queue_messages_ready", "Another's.")


def test_every_metric_follows_the_naming_rules_of_prometheus(scraped: Scraped) -> None:
    """Prefix, base unit, _total for counters only, one sentence of help, and only our labels."""
    flood(scraped)

    families = list(text_string_to_metric_families(scraped.text()))

    assert len(families) == 27
    for family in families:
        assert family.name.startswith("proj_")
        assert family.documentation.endswith(".")
        assert family.documentation.count(". ") == 0
        assert {label for sample in family.samples for label in sample.labels} <= {"queue", "dispatch", "worker", "le"}
        assert all(sample.name.endswith("_total") == (family.type == "counter") for sample in family.samples)
        if "_wait" in family.name or "_age" in family.name:
            assert family.name.endswith("_seconds")


def depth(
    name: str, *, ready: int = 0, unacknowledged: int | None = 0, consumers: int = 0, paused: bool = False
) -> Depth:
    return Depth(
        name=name, type="quorum", ready=ready, unacknowledged=unacknowledged, consumers=consumers, paused=paused
    )


def test_queues_of_the_broker_are_exported_also_before_their_first_task(scraped: Scraped) -> None:
    """Who consumes them, and what is wrong with them; none of Celery's own, and dead letters apart."""
    depths = [
        depth("mail", ready=4, consumers=1),
        depth("media", ready=2, unacknowledged=None, paused=True),
        depth("mail.suspects", ready=3),
        depth("celery_delayed_3", ready=9),
        depth("dead_letters", ready=7),
    ]
    scraped.readings = replace(
        readings(group(worker("w@h", slots=4, busy=1), queue="mail"), group(worker("w@h", slots=4, busy=2))),
        depths={each.name: each for each in depths},
        consuming={"mail": frozenset({"w@h", "gone@h"})},
        oldest_s={"mail": 12.5, None: 99.0},
        broker_answers=True,
        broker_alarm=True,
    )

    samples = scraped.samples()

    of_queues = {
        (name.removeprefix("proj_"), labels[0]): value
        for (name, labels), value in samples.items()
        if len(labels) == 1 and name.startswith(("proj_queue_", "proj_dead")) and "_age_" not in name and value
    }
    assert of_queues == {
        ("queue_messages_ready", "mail"): 4,
        ("queue_messages_ready", "media"): 2,
        ("queue_consumers", "mail"): 1,
        ("queue_workers", "mail"): 2,
        ("queue_slots_free", "mail"): 1,
        ("queue_paused", "media"): 1,
        ("queue_quarantined_messages", "mail"): 3,
        ("queue_oldest_seconds", "mail"): 12.5,
        ("dead_letters", "dead_letters"): 7,
    }
    assert samples["proj_queue_messages_unacknowledged", ("mail",)] == 0
    # Unknown is not none.
    assert ("proj_queue_messages_unacknowledged", ("media",)) not in samples
    assert samples["proj_queue_consumers", ("media",)] == 0
    assert (samples["proj_broker_up", ()], samples["proj_broker_alarm", ()]) == (1, 1)
    # Without the queue there are no dead letters, and the first one is an increase.
    scraped.readings = replace(scraped.readings, depths={"mail": depth("mail")})
    assert scraped.samples()["proj_dead_letters", ("dead_letters",)] == 0
