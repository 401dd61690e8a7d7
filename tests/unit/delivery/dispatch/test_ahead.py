"""How many messages a worker asks for in advance."""

from __future__ import annotations

import pytest

from proj.delivery.dispatch.ahead import MOST, Ahead

BUDGET_S = 0.05


def ahead(*, mean_s: float, waits: int, slots: int = 1) -> Ahead:
    made = Ahead(BUDGET_S)
    made.ended(mean_s)
    for _ in range(waits):
        made.waited()
        # As after each message.
        made.count(slots)
    return made


def test_nothing_comes_in_advance_before_the_first_task_has_ended() -> None:
    """Its tasks may be long."""
    made = Ahead(BUDGET_S)
    made.waited()

    assert made.count(4) == 0


def test_count_doubles_each_time_that_a_slot_waited() -> None:
    """As slow start does."""
    assert [ahead(mean_s=0.0001, waits=waits).count(1) for waits in range(5)] == [0, 1, 2, 4, 8]


@pytest.mark.parametrize(("mean_s", "slots", "count"), [(0.001, 1, 16), (0.001, 4, 64), (0.03, 1, 0), (0.0, 1, MOST)])
def test_held_messages_take_half_the_budget_at_most(mean_s: float, slots: int, count: int) -> None:
    """By the mean duration of a task; rounded down to a power of two."""
    assert ahead(mean_s=mean_s, waits=20, slots=slots).count(slots) == count


def test_nothing_comes_in_advance_while_every_slot_has_a_long_task() -> None:
    """Whatever the mean of the earlier ones is."""
    assert ahead(mean_s=0.001, waits=20).count(0) == 0


def test_count_starts_again_at_none_after_messages_were_given_back() -> None:
    """They were too many."""
    made = ahead(mean_s=0.001, waits=20)
    made.gave_back(behind_long=False)

    assert made.count(1) == 0


@pytest.mark.parametrize(("behind_long", "counts"), [(True, [1, 2, 4]), (False, [32, 64, 128])])
def test_count_grows_to_half_at_once_after_a_return_of_short_tasks_alone(
    *, behind_long: bool, counts: list[int]
) -> None:
    """The worker had no time for a moment. Behind a long task each message would be held too long again."""
    made = ahead(mean_s=0.0001, waits=7)
    made.gave_back(behind_long=behind_long)

    grown = []
    for _ in counts:
        made.waited()
        grown.append(made.count(1))
    assert grown == counts


@pytest.mark.parametrize(("round_trips", "count"), [([], 64), ([0.0, 0.04], 64), ([0.03, 0.02, 0.04], 128)])
def test_least_round_trip_is_covered_besides_half_the_budget(round_trips: list[float], count: int) -> None:
    """A longer one says that the worker had no time to read the answer, or that nothing had been published."""
    made = ahead(mean_s=0.0003, waits=20)
    for seconds in round_trips:
        made.answered(seconds)

    made.waited()
    assert made.count(1) == count


def test_wait_longer_than_the_budget_is_no_round_trip() -> None:
    """Nobody had published anything."""
    made = ahead(mean_s=0.0003, waits=20)
    made.answered(10.0)

    made.waited()
    assert made.count(1) == 64


def test_count_is_halved_once_a_budget_while_messages_are_held_for_long() -> None:
    """Before any has to be given back."""
    made = ahead(mean_s=0.0001, waits=8)
    counts = []
    for now in (0.0, 0.01, 0.04, BUDGET_S, BUDGET_S + 0.01):
        made.held_long(now)
        counts.append(made.count(1))

    assert counts == [64, 64, 64, 32, 32]


def test_count_grows_again_when_a_slot_waits_after_it_was_halved() -> None:
    """The worker has its time again."""
    made = ahead(mean_s=0.0001, waits=8)
    made.held_long(0.0)
    before = made.count(1)

    made.waited()
    assert made.count(1) == 2 * before


def test_window_of_none_stays_when_a_message_that_was_on_its_way_is_held_for_long() -> None:
    """After a return the worker asks for free slots alone, until one has waited."""
    made = ahead(mean_s=0.0001, waits=8)
    made.gave_back(behind_long=True)
    made.held_long(0.0)

    assert made.count(1) == 0


def test_count_does_not_change_with_every_task_that_is_a_little_longer() -> None:
    """Each change costs the broker a new consumer."""
    made = ahead(mean_s=0.0015, waits=20)
    assert made.count(1) == 16

    for _ in range(50):
        made.ended(0.0018)
    assert made.count(1) == 16

    for _ in range(50):
        made.ended(0.0025)
    assert made.count(1) == 8


def test_window_that_was_not_used_does_not_grow() -> None:
    """A slot that waits says nothing of more messages than were asked for."""
    made = ahead(mean_s=0.03, waits=20)
    assert made.count(1) == 0

    for _ in range(500):
        made.ended(0.0001)
    assert made.count(1) == 1
