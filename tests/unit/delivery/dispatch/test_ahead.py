"""How many messages a worker asks for in advance."""

from __future__ import annotations

import pytest

from proj.delivery.dispatch.ahead import MOST, Ahead

BUDGET_S = 0.05


def ahead(*, mean_s: float, waits: int) -> Ahead:
    made = Ahead(BUDGET_S)
    made.ended(mean_s)
    for _ in range(waits):
        made.waited(0.0)
    return made


def test_nothing_comes_in_advance_before_the_first_task_has_ended() -> None:
    """Its tasks may be long."""
    made = Ahead(BUDGET_S)
    made.waited(0.0)

    assert made.count(4) == 0


def test_count_doubles_each_time_that_a_slot_waited() -> None:
    """As slow start does."""
    assert [ahead(mean_s=0.0001, waits=waits).count(1) for waits in range(5)] == [0, 1, 2, 4, 8]


@pytest.mark.parametrize(("mean_s", "slots", "count"), [(0.001, 1, 16), (0.001, 4, 64), (0.03, 1, 0), (0.0, 1, MOST)])
def test_held_messages_take_half_the_budget_at_most(mean_s: float, slots: int, count: int) -> None:
    """By the mean duration of a task; rounded down to a power of two."""
    assert ahead(mean_s=mean_s, waits=20).count(slots) == count


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
        made.waited(0.0)
        grown.append(made.count(1))
    assert grown == counts
