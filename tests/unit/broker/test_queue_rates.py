"""How fast a queue fills and drains, from its counts."""

from __future__ import annotations

import pytest

from proj.broker.queue_rates import SPAN_S, Counts, RateMeter, Rates

#: Seconds between two collections of the broker's statistics.
COLLECTED_S = 5


def watch(
    seconds: int,
    *,
    come: float,
    finish: float,
    busy: int | None = 4,
    begin: int = 100,
    held_s: float | None = 0.0,
    counted: bool = True,
) -> list[Rates]:
    """The rates after each second of a queue that fills and drains so; the broker collects its counter at intervals."""
    meter = RateMeter()
    return [
        meter.add(
            Counts(
                at_s=1000.0 + at_s,
                ready=round(begin + (come - finish) * at_s) - (busy or 0),
                unacknowledged=busy,
                finished=round(finish * (at_s // COLLECTED_S * COLLECTED_S)) if counted else None,
                held_s=held_s,
            )
        )
        for at_s in range(seconds)
    ]


def test_rates_of_a_queue_that_grows_show_how_many_slots_it_needs() -> None:
    """Little's law: four busy slots finish 20 a second, so each is busy for 0.2 s; 30 a second need six."""
    rates = watch(40, come=30, finish=20)[-1]

    assert rates.in_per_s == pytest.approx(30)
    assert rates.out_per_s == pytest.approx(20)
    assert rates.growth_per_s == pytest.approx(10)
    assert rates.slots == pytest.approx(6)
    assert rates.empty_in_s is None


def test_rates_of_a_queue_that_drains_show_when_it_is_empty() -> None:
    """That is the backlog, with the unacknowledged messages, divided by what it shrinks by in a second."""
    rates = watch(40, come=5, finish=20, begin=1000)[-1]

    assert rates.growth_per_s == pytest.approx(-15)
    assert rates.empty_in_s == pytest.approx((1000 - 39 * 15) / 15)
    assert rates.slots == pytest.approx(1)


def test_rates_do_not_jump_with_the_brokers_collections() -> None:
    """From the second collection on the rates are the same each second, though the counter moves in steps."""
    rates = watch(60, come=20, finish=20)[12:]

    assert {round(rates.out_per_s or 0, 6) for rates in rates} == {20.0}
    assert {round(rates.in_per_s or 0, 6) for rates in rates} == {20.0}


def test_rates_are_unknown_until_there_are_enough_counts() -> None:
    """One count shows no change, and a rate of finished messages needs two collections."""
    rates = watch(12, come=3, finish=2)

    assert rates[0] == Rates()
    assert rates[3].growth_per_s == pytest.approx(1, abs=0.1)
    assert rates[8].out_per_s is None
    assert rates[11].out_per_s == pytest.approx(2)


def test_rates_of_an_idle_queue_are_zero() -> None:
    """It is empty now, and needs no slots."""
    rates = watch(20, come=0, finish=0, begin=0, busy=0)[-1]

    assert rates == Rates(in_per_s=0.0, out_per_s=0.0, growth_per_s=0.0, empty_in_s=0.0, slots=0.0)


def test_rates_follow_a_change_within_their_span() -> None:
    """When workers stop, their earlier work is forgotten."""
    meter = RateMeter()
    all_counts = [Counts(at_s=float(at), ready=0, unacknowledged=2, finished=at * 10) for at in range(20)]
    stopped = [Counts(at_s=20.0 + at, ready=at * 10, unacknowledged=2, finished=200) for at in range(int(SPAN_S) + 2)]

    rates = [meter.add(counts) for counts in all_counts + stopped][-1]

    assert rates.out_per_s == 0
    assert rates.in_per_s == pytest.approx(10)


def test_counter_that_starts_at_zero_again_makes_no_negative_rate() -> None:
    """The broker was restarted, so the earlier counts are dropped."""
    meter = RateMeter()
    for at in range(10):
        meter.add(Counts(at_s=float(at), ready=5, unacknowledged=1, finished=1000 + at))

    rates = meter.add(Counts(at_s=10.0, ready=5, unacknowledged=1, finished=0))

    assert rates == Rates()


@pytest.mark.parametrize("unknown", [{"held_s": None}, {"held_s": 0.15}, {"busy": 0}, {"counted": False}])
def test_slots_are_unknown_where_an_unacknowledged_message_is_not_a_busy_slot(unknown: dict[str, object]) -> None:
    """Early acknowledgement leaves none, and a larger window too many; these are with a worker for 0.2 s."""
    assert watch(40, come=30, finish=20, **unknown)[-1].slots is None  # type: ignore[arg-type] # one of these


def test_slots_are_known_where_messages_are_held_for_a_part_of_their_time_at_most() -> None:
    """In adaptive dispatch a worker gives back what it has held for 50 ms, and holds nothing while tasks are long."""
    assert watch(40, come=30, finish=20, held_s=0.05)[-1].slots == pytest.approx(6)


def test_growth_is_known_where_only_amqp_can_be_asked() -> None:
    """It is that of the ready messages."""
    rates = watch(10, come=1, finish=3, busy=None, counted=False)[-1]

    assert (rates.in_per_s, rates.out_per_s) == (None, None)
    assert rates.growth_per_s == pytest.approx(-2)
    assert rates.empty_in_s == pytest.approx(82 / 2)


@pytest.mark.parametrize("seconds", range(12, 60))
def test_growth_is_always_what_came_less_what_was_finished(seconds: int) -> None:
    """All three are of the same time, though the counter moves in steps and the backlog does not."""
    drains = watch(seconds, come=0, finish=18.4, begin=2000)[-1]
    fills = watch(seconds, come=31.7, finish=18.4)[-1]

    for rates in (drains, fills):
        assert rates.in_per_s is not None
        assert rates.out_per_s is not None
        assert rates.growth_per_s == pytest.approx(rates.in_per_s - rates.out_per_s)
    assert drains.in_per_s == pytest.approx(0, abs=0.2)
    assert drains.out_per_s == pytest.approx(18.4, abs=0.2)


def test_late_collection_makes_no_negative_rate_of_what_came() -> None:
    """Nothing came, so what left the queue was finished."""
    all_counts = [(0, 1000, 0), (1, 980, 20), (5, 900, 20), (7, 860, 110)]

    rates = rates_after(all_counts)

    assert (rates.in_per_s, rates.out_per_s, rates.growth_per_s) == (0.0, 20.0, -20.0)


def test_purged_messages_show_in_the_growth_only() -> None:
    """No consumer finished them."""
    rates = rates_after([(0, 1000, 0), (1, 998, 2), (6, 988, 12), (11, 0, 22)])

    assert (rates.in_per_s, rates.out_per_s, rates.growth_per_s) == (0.0, 2.0, pytest.approx(-99.8))


def test_rates_are_unknown_between_two_collections_that_are_close_together() -> None:
    """Each channel reports at its own times, and a tenth of a second is too short for a rate."""
    rates = rates_after([(0, 100, 0), (2.5, 90, 5), (2.6, 90, 10)])

    assert (rates.in_per_s, rates.out_per_s) == (None, None)
    assert rates.growth_per_s == pytest.approx(-10 / 2.6)


def rates_after(figures: list[tuple[float, int, int]]) -> Rates:
    """The rates after counts with these times, ready and finished messages."""
    meter = RateMeter()
    return [
        meter.add(Counts(at_s=at_s, ready=ready, unacknowledged=0, finished=finished))
        for at_s, ready, finished in figures
    ][-1]
