"""How long work stood still in a drill."""

from __future__ import annotations

import pytest

from proj.lab.drills.system.evidence import parse
from proj.lab.drills.system.pauses import is_new_work_done, longest_pause, rest_done_after, unfinished

#: The tasks a and b are published before the moment 10.0, c after it; b ends at last, and a a second time.
RECORDS = parse(
    [
        "sending a 1 8.0",
        "confirmed a 1 8.1",
        "sending b 1 9.0",
        "confirmed b 1 9.1",
        "finished a 2 9.5",
        "sending c 1 10.5",
        "confirmed c 1 11.0",
        "finished c 2 13.0",
        "finished a 3 14.0",
        "finished b 3 17.5",
    ]
)


def test_longest_pause_begins_and_ends_with_the_time_that_is_watched() -> None:
    """Work that never goes on is a pause too."""
    assert longest_pause(RECORDS, 10.0, 18.0) == pytest.approx(3.5)
    assert longest_pause(RECORDS, 10.0, 30.0) == pytest.approx(12.5)
    assert longest_pause([], 10.0, 12.0) == pytest.approx(2.0)


def test_work_goes_on_with_the_end_of_a_task_that_was_published_later() -> None:
    """The end of one that a worker already had proves nothing of the broker."""
    assert is_new_work_done(RECORDS, 10.0)
    assert not is_new_work_done(RECORDS, 10.6)


def test_rest_is_done_when_each_earlier_task_has_ended_once() -> None:
    """A second end of a task that ran again does not count."""
    assert rest_done_after(RECORDS, 10.0) == pytest.approx(7.5)
    assert unfinished(RECORDS[:-1], 10.0) == {"b"}
    assert rest_done_after(RECORDS[:-1], 10.0) is None
