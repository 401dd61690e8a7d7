"""The verdict on a drill, from its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.lab.drills.system.evidence import CONFIRMED, FINISHED, RAISED, SENDING, STARTED, Record
from proj.lab.drills.system.strike import Hit
from proj.lab.drills.verdict import ACKNOWLEDGED_S, Verdict, executions, in_flight, missing, verdict

if TYPE_CHECKING:
    from collections.abc import Collection

#: Milliseconds after which a task of these tests ends.
WORK_S = 0.1


def line(kind: str, task_id: str, time: float = 0.0, pid: int = 1) -> Record:
    return Record(kind=kind, task_id=task_id, pid=pid, time=time)


def published(*task_ids: str, outcome: str = CONFIRMED) -> list[Record]:
    return [line(kind, task_id) for task_id in task_ids for kind in (SENDING, outcome)]


def done(task_id: str, time: float, pid: int = 1) -> list[Record]:
    return [line(STARTED, task_id, time, pid), line(FINISHED, task_id, time + WORK_S, pid)]


def judged(
    records: list[Record], *, dead: Collection[str] = (), guilty: Collection[str] = (), hits: Collection[Hit] = ()
) -> Verdict:
    return verdict(records, dead=dead, guilty=guilty, hits=hits, window=2)


def test_task_is_lost_when_it_was_confirmed_and_neither_finished_nor_dead_lettered() -> None:
    """A start is not enough, because the worker may have died in the middle of it."""
    found = judged([*published("a", "b", "c", "d"), *done("a", 1.0), line(STARTED, "b", 1.0)], dead={"c"})

    assert found.lost == ("b", "d")
    assert found.complaints[0] == "2 confirmed tasks are lost, such as b."


def test_publish_that_raised_is_not_a_loss() -> None:
    """Its caller knows that the message may or may not be there."""
    records = [*published("ran", "vanished", outcome=RAISED), *done("ran", 1.0)]

    found = judged(records)

    assert (found.raised, found.lost, found.complaints) == (2, (), ())


def test_publish_that_neither_returned_nor_raised_breaks_a_promise() -> None:
    """A caller that waits for ever does not learn the outcome."""
    found = judged([line(SENDING, "a")])

    assert found.unanswered == 1
    assert found.complaints == ("1 publishes neither returned nor raised.",)


def test_innocent_task_among_the_dead_letters_breaks_a_promise_even_if_it_ran() -> None:
    """A task that runs beside one that kills may be killed with it, but must not be dead-lettered."""
    found = judged([*published("good", "bad"), *done("good", 1.0)], dead={"good", "bad"}, guilty={"bad"})

    assert found.condemned == ("good",)
    assert found.complaints == ("1 innocent tasks were dead-lettered, such as good.",)


def test_second_start_is_allowed_when_a_hit_reached_the_first() -> None:
    """At least once: a task that was in flight when its worker died runs again."""
    records = [*published("a"), line(STARTED, "a", 1.0), *done("a", 5.0, pid=2)]

    found = judged(records, hits=[Hit(began=1.05, ended=1.2, window=2)])

    assert (found.executed_twice, found.in_flight, found.complaints) == (1, 1, ())


def test_second_start_without_a_hit_breaks_a_promise() -> None:
    """Without a hit nearby, a message was delivered or acknowledged wrongly."""
    records = [*published("a"), *done("a", 1.0), *done("a", 5.0, pid=2)]

    found = judged(records, hits=[Hit(began=3.0, ended=3.1, window=2)])

    assert found.complaints == ("1 tasks were executed again, but only 0 were in flight.",)


def test_start_of_a_guilty_task_is_a_hit_on_its_neighbours() -> None:
    """They die with the worker that it kills. Its own starts are counted separately."""
    records = [
        *published("good", "bad"),
        line(STARTED, "good", 1.0, pid=1),
        line(STARTED, "bad", 1.05, pid=2),
        *done("good", 4.0, pid=3),
        line(STARTED, "bad", 4.5, pid=4),
    ]

    found = judged(records, dead={"bad"}, guilty={"bad"})

    assert (found.executed_twice, found.guilty_starts, found.complaints) == (1, 2, ())
    assert found.in_flight >= 1


def test_ignored_task_counts_nowhere() -> None:
    """A task that probes the slots is not part of the verdict."""
    records = [*published("probe"), *done("probe", 1.0), *done("probe", 2.0)]

    found = verdict(records, dead=(), guilty=(), hits=(), window=2, ignore={"probe"})

    assert (found.confirmed, found.finished, found.executed_twice) == (0, 0, 0)


@pytest.mark.parametrize(
    ("began", "ended", "window", "reached"),
    [
        (0.5, 0.9, 2, 0),
        (1.05, 1.06, 2, 1),
        (1.0 + WORK_S + ACKNOWLEDGED_S - 0.01, 9.0, 2, 1),
        (1.0 + WORK_S + ACKNOWLEDGED_S + 0.01, 9.0, 2, 0),
        (0.5, 9.0, 0, 0),
        (0.5, 9.0, None, 1),
    ],
)
def test_hit_reaches_tasks_that_run_or_have_just_ended(
    began: float, ended: float, window: int | None, reached: int
) -> None:
    """From the start of a task until its acknowledgement is on disk, and at most as many as the prefetch window."""
    assert in_flight(done("a", 1.0), [Hit(began=began, ended=ended, window=window)]) == reached


@pytest.mark.parametrize(
    ("confirmed_at", "window", "reached"),
    [(4.9, None, 0), (5.1, None, 2), (5.1, 2, 0)],
    ids=["written", "not", "worker"],
)
def test_hit_on_the_broker_reaches_what_its_disk_may_not_have(
    confirmed_at: float, window: int | None, reached: int
) -> None:
    """An acknowledgement is written when a publish that began after it is confirmed. A disk can stand still."""
    records = [*published("a"), *done("a", 1.0), line(SENDING, "b", 4.0), line(CONFIRMED, "b", confirmed_at)]

    assert in_flight(records, [Hit(began=5.0, ended=9.0, window=window)]) == reached


def test_hit_on_the_broker_may_double_a_publish_that_it_has_not_confirmed() -> None:
    """The publisher sends it again, and the broker may have written the first copy before it was killed."""
    records = [*published("a"), line(SENDING, "b", 4.0), *done("b", 10.0), *done("b", 11.0)]

    assert in_flight(records, [Hit(began=5.0, ended=9.0)]) == 1
    assert in_flight(records, [Hit(began=5.0, ended=9.0, window=2)]) == 0


def test_execution_that_never_ended_is_reached_by_one_hit_only() -> None:
    """The first hit after its start ended it; at later hits its message is in the queue."""
    hits = [Hit(began=time, ended=time + 0.1) for time in (1.5, 2.5, 3.5)]

    assert in_flight([line(STARTED, "a", 1.0)], hits) == 1


def test_execution_belongs_to_the_process_that_started_it() -> None:
    """Two processes that run the same task are two executions; the first one may end last."""
    records = [
        line(STARTED, "a", 1.0, pid=1),
        line(STARTED, "a", 2.0, pid=2),
        line(FINISHED, "a", 3.0, pid=2),
        line(FINISHED, "a", 4.0, pid=1),
    ]

    assert executions(records) == [(1.0, 4.0), (2.0, 3.0)]


def test_task_is_missing_until_it_has_finished_or_was_dead_lettered() -> None:
    """A drill waits until no task is missing."""
    records = [*published("a", "b", "c"), *published("d", outcome=RAISED), *done("a", 1.0)]

    assert missing(records, {"b": "a reason"}) == {"c"}


def test_output_that_a_stage_handed_on_twice_may_run_twice() -> None:
    """With the same id, because its input ran again. An output that was handed on once may not."""
    once = [*published("input"), *done("input", 1.0), *published("output"), *done("output", 2.0), *done("output", 3.0)]
    again = [*once, *published("output")]

    assert (judged(once).executed_twice, judged(once).in_flight) == (1, 0)
    assert len(judged(once).complaints) == 1
    assert (judged(again).executed_twice, judged(again).in_flight) == (1, 1)
    assert judged(again).complaints == ()


def test_output_that_was_handed_on_and_never_ran_is_lost() -> None:
    """That its input has finished is not enough."""
    found = judged([*published("input"), *done("input", 1.0), *published("output")])

    assert found.lost == ("output",)
