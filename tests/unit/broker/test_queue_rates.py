"""How a queue fills and drains, computed from looks at it."""

from __future__ import annotations

import pytest

from proj.broker.queue_rates import WINDOW_S, Flow, Look, Trend

#: Seconds between two collections of the broker's statistics.
COLLECTED_S = 5


def watch(
    seconds: int,
    *,
    come: float,
    finish: float,
    busy: int | None = 4,
    begin: int = 100,
    one_a_slot: bool = True,
    counted: bool = True,
) -> list[Flow]:
    """The flow at each look, one a second, of a queue with these rates; what is finished is counted in collections."""
    trend = Trend()
    return [
        trend.add(
            Look(
                at_s=1000.0 + at_s,
                ready=round(begin + (come - finish) * at_s) - (busy or 0),
                unacknowledged=busy,
                finished=round(finish * (at_s // COLLECTED_S * COLLECTED_S)) if counted else None,
                one_a_slot=one_a_slot,
            )
        )
        for at_s in range(seconds)
    ]


def test_flow_of_a_queue_that_grows_says_how_many_slots_would_hold_it() -> None:
    """Little's law: four busy slots finish 20 a second, so each is busy for 0.2 s; 30 a second need six."""
    flow = watch(40, come=30, finish=20)[-1]

    assert flow.in_per_s == pytest.approx(30)
    assert flow.out_per_s == pytest.approx(20)
    assert flow.growth_per_s == pytest.approx(10)
    assert flow.slots == pytest.approx(6)
    assert flow.empty_in_s is None


def test_flow_of_a_queue_that_drains_says_when_it_is_empty() -> None:
    """The backlog, what is in work included, over what it shrinks by."""
    flow = watch(40, come=5, finish=20, begin=1000)[-1]

    assert flow.growth_per_s == pytest.approx(-15)
    assert flow.empty_in_s == pytest.approx((1000 - 39 * 15) / 15)
    assert flow.slots == pytest.approx(1)


def test_figures_do_not_jump_with_the_brokers_collections() -> None:
    """From the second collection on, each look has the same rates though the counter moves in leaps."""
    flows = watch(60, come=20, finish=20)[12:]

    assert {round(flow.out_per_s or 0, 6) for flow in flows} == {20.0}
    assert {round(flow.in_per_s or 0, 6) for flow in flows} == {20.0}


def test_flow_is_not_told_before_it_is_known() -> None:
    """One look shows no change, and one collection is half of what a rate takes."""
    flows = watch(12, come=3, finish=2)

    assert flows[0] == Flow()
    assert flows[3].growth_per_s == pytest.approx(1, abs=0.1)
    assert flows[8].out_per_s is None
    assert flows[11].out_per_s == pytest.approx(2)


def test_flow_of_a_queue_at_rest_is_nothing() -> None:
    """Empty at once, and no slots needed."""
    flow = watch(20, come=0, finish=0, begin=0, busy=0)[-1]

    assert flow == Flow(in_per_s=0.0, out_per_s=0.0, growth_per_s=0.0, empty_in_s=0.0, slots=0.0)


def test_flow_follows_a_change_within_its_window() -> None:
    """What was is forgotten: workers that stop finish nothing, though they had."""
    trend = Trend()
    looks = [Look(at_s=float(at), ready=0, unacknowledged=2, finished=at * 10) for at in range(20)]
    stopped = [Look(at_s=20.0 + at, ready=at * 10, unacknowledged=2, finished=200) for at in range(int(WINDOW_S) + 2)]

    flow = [trend.add(look) for look in looks + stopped][-1]

    assert flow.out_per_s == 0
    assert flow.in_per_s == pytest.approx(10)


def test_broker_that_counts_from_zero_again_makes_no_negative_rate() -> None:
    """It was restarted: the looks before it are another story."""
    trend = Trend()
    for at in range(10):
        trend.add(Look(at_s=float(at), ready=5, unacknowledged=1, finished=1000 + at))

    flow = trend.add(Look(at_s=10.0, ready=5, unacknowledged=1, finished=0))

    assert flow == Flow()


@pytest.mark.parametrize("unknown", [{"one_a_slot": False}, {"busy": 0}, {"counted": False}])
def test_slots_are_not_told_where_an_unacknowledged_message_is_no_busy_slot(unknown: dict[str, object]) -> None:
    """Early acknowledgement leaves none, and larger windows too many; a figure would be wrong."""
    assert watch(40, come=30, finish=20, **unknown)[-1].slots is None  # type: ignore[arg-type] # one of the three


def test_growth_is_told_where_amqp_alone_tells() -> None:
    """Of what is ready."""
    flow = watch(10, come=1, finish=3, busy=None, counted=False)[-1]

    assert (flow.in_per_s, flow.out_per_s) == (None, None)
    assert flow.growth_per_s == pytest.approx(-2)
    assert flow.empty_in_s == pytest.approx(82 / 2)


@pytest.mark.parametrize("seconds", range(12, 60))
def test_growth_is_what_came_less_what_was_finished_at_every_look(seconds: int) -> None:
    """All three are of the same time, though the counter moves in leaps and the backlog at each look."""
    drains = watch(seconds, come=0, finish=18.4, begin=2000)[-1]
    fills = watch(seconds, come=31.7, finish=18.4)[-1]

    for flow in (drains, fills):
        assert flow.in_per_s is not None
        assert flow.out_per_s is not None
        assert flow.growth_per_s == pytest.approx(flow.in_per_s - flow.out_per_s)
    assert drains.in_per_s == pytest.approx(0, abs=0.2)
    assert drains.out_per_s == pytest.approx(18.4, abs=0.2)


def test_counts_that_are_late_make_no_negative_rate_of_what_came() -> None:
    """Two collections, the second of which was seen late: nothing came, so what left was finished."""
    looks = [(0, 1000, 0), (1, 980, 20), (5, 900, 20), (7, 860, 110)]

    flow = trend(looks)

    assert (flow.in_per_s, flow.out_per_s, flow.growth_per_s) == (0.0, 20.0, -20.0)


def test_messages_that_were_purged_are_growth_alone() -> None:
    """Nobody finished them."""
    flow = trend([(0, 1000, 0), (1, 998, 2), (6, 988, 12), (11, 0, 22)])

    assert (flow.in_per_s, flow.out_per_s, flow.growth_per_s) == (0.0, 2.0, pytest.approx(-99.8))


def test_rates_are_not_told_of_two_collections_one_right_after_the_other() -> None:
    """Each worker's channel reports by a clock of its own; a tenth of a second tells nothing."""
    flow = trend([(0, 100, 0), (2.5, 90, 5), (2.6, 90, 10)])

    assert (flow.in_per_s, flow.out_per_s) == (None, None)
    assert flow.growth_per_s == pytest.approx(-10 / 2.6)


def trend(looks: list[tuple[float, int, int]]) -> Flow:
    """The flow after looks at a time, with so many ready and so many finished."""
    seen = Trend()
    return [
        seen.add(Look(at_s=at_s, ready=ready, unacknowledged=0, finished=finished)) for at_s, ready, finished in looks
    ][-1]
