"""What became of every task of a soak."""

from __future__ import annotations

from itertools import permutations

import pytest

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, RAISED, SENDING, STARTED, Record
from proj.lab.soak.tally import Tally


def tally_of(*steps: tuple[str, str]) -> Tally:
    tally = Tally()
    for kind, task_id in steps:
        tally.add(Record(kind=kind, task_id=task_id, pid=1, time=0.0, detail="refused" if kind == RAISED else ""))
    return tally


@pytest.mark.parametrize("steps", list(permutations([SENDING, CONFIRMED, STARTED, FINISHED])))
def test_task_that_was_confirmed_and_finished_is_not_lost_in_whatever_order_the_lines_come(
    steps: tuple[str, ...],
) -> None:
    """Publisher and workers write their lines independently of each other."""
    tally = tally_of(*((kind, "soak-7") for kind in steps))

    assert (tally.confirmed, tally.finished, tally.open, tally.executed_twice) == (1, 1, 0, 0)
    assert tally.lost(()) == ()
    assert tally.unanswered == 0


def test_confirmed_task_that_has_not_finished_is_lost_unless_it_is_a_dead_letter() -> None:
    """Whatever its id is."""
    tally = tally_of(*((kind, task_id) for kind in (SENDING, CONFIRMED) for task_id in ("soak-3", "soak-x", "other")))

    assert tally.open == 3
    assert set(tally.lost({"soak-x"})) == {"other", "soak-3"}


def test_starts_beyond_the_first_of_each_task_are_counted() -> None:
    """A task that ran three times was run twice too often."""
    tally = tally_of(*[(STARTED, "soak-1")] * 3, (STARTED, "soak-2"), *[(STARTED, "other")] * 2)

    assert tally.executed_twice == 3


def test_publish_that_raised_is_answered_and_its_error_is_kept() -> None:
    """One that neither returned nor raised is not."""
    tally = tally_of((SENDING, "soak-0"), (RAISED, "soak-0"), (SENDING, "soak-1"))

    assert (tally.raised, tally.error, tally.unanswered) == (1, "refused", 1)
    assert tally.lost(()) == ()


def test_line_that_comes_twice_counts_once() -> None:
    """A task that ran twice has finished twice."""
    tally = tally_of(*[(CONFIRMED, "soak-0"), (FINISHED, "soak-0")] * 2)

    assert (tally.confirmed, tally.finished, tally.open) == (1, 1, 0)
