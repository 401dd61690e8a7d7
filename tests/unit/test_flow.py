"""How a queue fills and drains, from looks at it, and as a table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from proj.commands.depth_table import duration, table
from proj.depth import Depth
from proj.flow import WINDOW_S, Flow, Look, Trend

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


def drawn(depth: Depth, flow: Flow | None) -> str:
    output = io.StringIO()
    Console(file=output, width=100).print(table([(depth, flow)]))
    return output.getvalue()


def test_watched_table_fits_into_a_hundred_columns() -> None:
    """The longest name of ours with figures of a bad day, each on one line."""
    depth = Depth(
        name="task_queue.round-robin", type="quorum", ready=9876, unacknowledged=1234, consumers=120, limit=10000
    )
    flow = Flow(in_per_s=234.56, out_per_s=200.0, growth_per_s=34.56, empty_in_s=None, slots=123.4)

    lines = drawn(depth, flow).strip().splitlines()

    assert len(lines) == 4
    assert lines[3].split() == [
        *("task_queue.round-robin", "9876", "/", "10000", "1234", "120"),
        *("234.6", "200.0", "+34.6", "never", "124"),
    ]


def test_table_says_what_is_not_known_and_shows_no_sign_of_nothing() -> None:
    """A question mark; and 0.0."""
    depth = Depth(name="q", type=None, ready=3, unacknowledged=None, consumers=0)

    assert drawn(depth, Flow()).split()[-9:] == ["q", "3", "?", "0", *"?????"]
    assert drawn(depth, Flow(growth_per_s=-0.01, empty_in_s=300.0)).split()[-4:] == ["0.0", "5", "min", "?"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119.6, "120 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 days")]
)
def test_duration_is_told_in_the_unit_that_leaves_few_digits(seconds: float, words: str) -> None:
    """For people."""
    assert duration(seconds) == words
