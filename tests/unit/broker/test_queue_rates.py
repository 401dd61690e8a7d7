"""How a queue fills and drains, from looks at it, and as a table."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from proj.broker.queue_depths import Depth
from proj.broker.queue_rates import WINDOW_S, Flow, Look, Trend
from proj.commands.queues.depth_table import View, format_duration, table

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


def printed(depth: Depth, flow: Flow | None, width: int = 100) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(table([(depth, flow)], width=width))
    return output.getvalue()


LONG_FIGURES = Flow(in_per_s=234.56, out_per_s=200.0, growth_per_s=34.56, empty_in_s=None, slots=123.4)


def queue(name: str, limit: int | None = None) -> Depth:
    return Depth(name=name, type="quorum", ready=9876, unacknowledged=1234, consumers=120, limit=limit)


@pytest.mark.parametrize(("width", "limit"), [(100, 10000), (80, None)])
def test_table_with_rates_fits_into_a_terminal(width: int, limit: int | None) -> None:
    """A long name and long figures stay on one line."""
    lines = printed(queue("task_queue.topic.*.heavy", limit), LONG_FIGURES, width).strip("\n").splitlines()

    limited = [] if limit is None else ["/", str(limit)]
    assert max(map(len, lines)) <= width
    assert lines[-2].split() == [
        *("task_queue.topic.*.heavy", "9876", *limited, "1234", "120"),
        *("234.6", "200.0", "+34.6", "never", "124"),
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("flow", [LONG_FIGURES, None])
def test_table_folds_names_at_the_end_of_a_word(width: int, flow: Flow | None) -> None:
    """Never within a word, and never a figure. In a narrow terminal columns are left out before names are cut."""
    names = [
        "dead_letters",
        "my_queue",
        "task_queue",
        "task_queue.topic.*.heavy",
        "task_queue.topic.*.heavy,image.light",
    ]
    output = io.StringIO()
    Console(file=output, width=width).print(table([(queue(name, 10000), flow) for name in names], width=width))

    lines = output.getvalue().splitlines()
    begun = next(number for number, line in enumerate(lines) if "───" in line)
    pieces = [line.split()[0] for line in lines[begun + 1 :] if line.strip()]
    assert "".join(pieces) == "".join(names)
    assert all(piece[-1] in "._" or any(name.endswith(piece) for name in names) for piece in pieces)
    assert sum("9876 / 10000" in line for line in lines) == len(names)
    assert max(map(len, lines)) <= width


def test_wide_table_has_long_headings() -> None:
    """Headings are short only where there is too little room."""
    assert "ready  unacked  consumers   in/s  out/s  growth/s  empty in" in printed(
        queue("task_queue"), LONG_FIGURES, 120
    )


def test_name_in_brackets_is_shown_as_it_is() -> None:
    """Rich does not interpret it as markup."""
    assert "[red]q" in printed(queue("[red]q"), None)


def test_sentence_says_that_there_is_no_queue() -> None:
    """And whether Celery's own queues exist, or only the app's own queues were counted."""
    delays = Depth(name="celery_delayed_1", type="quorum", ready=0, unacknowledged=0, consumers=0)

    assert View([], show_all=False).nothing == "There are no queues."
    assert "but those that Celery made for itself" in (View([(delays, Flow())], show_all=False).nothing or "")
    assert View([(delays, None)], show_all=True).nothing is None
    assert View([], show_all=False, is_whole=False).nothing == "None of the app's own queues exists."


def test_table_shows_unknown_figures_as_question_marks_and_no_sign_before_zero() -> None:
    """A zero is 0.0, not +0.0 or -0.0."""
    depth = Depth(name="q", type=None, ready=3, unacknowledged=None, consumers=0)

    assert printed(depth, Flow()).split()[-9:] == ["q", "3", "?", "0", *"?????"]
    assert printed(depth, Flow(growth_per_s=-0.01, empty_in_s=300.0)).split()[-4:] == ["0.0", "5", "min", "?"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (119.6, "120 s"), (150, "2 min"), (7300, "2 h"), (200_000, "2 days")]
)
def test_duration_has_the_unit_that_leaves_few_digits(seconds: float, words: str) -> None:
    """Seconds up to two minutes, minutes up to two hours, hours up to two days."""
    assert format_duration(seconds) == words
