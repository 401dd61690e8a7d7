"""Health as a verdict: what is known, what is known to be wrong, and what nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proj.broker.worker_consumers import by_node
from proj.delivery.health.verdict import Consumers, Finding, Health, Reading, alive, consuming, progressing, reading
from proj.delivery.shutdown.drain import UNSURE_LOOKS, Remainder, drain
from proj.errors import DeadlinePassed

WELL = Reading(queues=frozenset({"q"}), begun=5, running={}, held=0, slots=1, uptime_s=100.0)
BROKER = Consumers(of_worker=frozenset({"q"}), now={"q": 2}, listed={"q": 2}, claimed={"q": 2})


def progress(first: Reading | None, second: Reading | None, *, backlog: int | None, stuck: float | None = None) -> str:
    return progressing(first, second, backlog=backlog, now=100.0, stuck_after_s=stuck).answer


def test_silent_worker_is_not_alive_and_the_rest_is_unknown() -> None:
    """The broker still has its connection, or knows it not at all."""
    known = alive(None, is_known=True, timeout_s=1)
    unknown = alive(None, is_known=False, timeout_s=1)

    assert (known.answer, unknown.answer) == ("no", "no")
    assert "gave no answer" in known.why
    assert "knows no such worker" in unknown.why
    assert progress(None, None, backlog=3) == "unknown"


@pytest.mark.parametrize(
    ("consumers", "answer"),
    [
        (BROKER, "yes"),
        (replace(BROKER, of_worker=frozenset()), "no"),
        (replace(BROKER, of_worker=frozenset({"q"}), now={"q": 0}), "no"),
        # The list is behind what is counted now.
        (replace(BROKER, of_worker=frozenset(), listed={"q": 1}), "unknown"),
        # Without the management API.
        (replace(BROKER, of_worker=None), "yes"),
        (replace(BROKER, of_worker=None, now={"q": 0}), "no"),
        (replace(BROKER, of_worker=None, now={"q": 1}), "unknown"),
        (replace(BROKER, of_worker=None, now={"q": 3}), "unknown"),
    ],
)
def test_consuming_is_what_the_broker_says(consumers: Consumers, answer: str) -> None:
    """And unknown where it does not say whose consumers it has."""
    assert consuming(WELL, consumers).answer == answer


def test_worker_that_consumes_from_no_queue_is_not_consuming() -> None:
    """`celery control cancel_consumer` leaves such a one; one that has paused for a suspect is none."""
    assert consuming(replace(WELL, queues=frozenset()), BROKER).answer == "no"
    assert consuming(replace(WELL, paused=True), replace(BROKER, of_worker=frozenset())).answer == "yes"


def test_young_worker_may_be_missing_in_the_list() -> None:
    """Which is some seconds behind."""
    assert consuming(replace(WELL, uptime_s=2.0), replace(BROKER, of_worker=frozenset())).answer == "unknown"


def test_worker_that_finished_something_gets_on() -> None:
    """However much waits."""
    assert progress(WELL, replace(WELL, begun=6), backlog=100) == "yes"


def test_worker_that_runs_nothing_while_messages_wait_does_not_get_on() -> None:
    """With nothing waiting it does; where nobody counted, nobody knows."""
    assert progress(WELL, WELL, backlog=3) == "no"
    assert progress(WELL, WELL, backlog=0) == "yes"
    assert progress(WELL, WELL, backlog=None) == "unknown"


def test_busy_worker_is_unknown_unless_it_is_said_how_long_is_too_long() -> None:
    """A long task looks like one that hangs."""
    busy = replace(WELL, running={"a": 40.0})

    assert progress(busy, busy, backlog=9) == "unknown"
    assert progress(busy, busy, backlog=9, stuck=59) == "no"
    assert progress(busy, busy, backlog=9, stuck=61) == "unknown"


def test_worker_that_holds_messages_and_runs_none_is_unknown() -> None:
    """A rate limit does that too."""
    assert progress(replace(WELL, held=2), replace(WELL, held=2), backlog=9) == "unknown"


def test_unknown_alone_is_not_unwell() -> None:
    """A probe does not restart a worker for what nobody knows."""
    yes, no, unknown = (Finding(answer=answer, why="") for answer in ("yes", "no", "unknown"))

    assert Health(worker="w", alive=yes, consuming=unknown, progressing=unknown).is_well
    assert not Health(worker="w", alive=yes, consuming=no, progressing=unknown).is_well


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [1], {"total": 7, "pool": []}, {"total": {"a": "b"}}])
def test_odd_answers_are_read_as_far_as_they_go(odd: Any) -> None:
    """Whoever can publish can answer for a worker."""
    read = reading(odd, odd, odd, odd if isinstance(odd, list) else None)

    assert (read.begun, read.queues) == (0, frozenset())


def test_roster_joins_what_is_consumed_over_one_connection() -> None:
    """A worker's queues are those beside its mailbox; replies to clients and events are none."""

    def consumer(queue: str, connection: str) -> dict[str, Any]:
        return {"queue": {"name": queue}, "channel_details": {"connection_name": connection}}

    consumers = [
        *(consumer(name, "1") for name in ("a@x.celery.pidbox", "task_queue", "celeryev.123")),
        *(consumer(name, "2") for name in ("b@x.celery.pidbox",)),
        *(consumer(name, "3") for name in ("123.reply.celery.pidbox",)),
        {"queue": {"name": "task_queue"}, "channel_details": []},
    ]

    assert by_node(consumers, control_exchange="celery") == {"a@x": frozenset({"task_queue"}), "b@x": frozenset()}


def test_drain_waits_until_two_looks_in_a_row_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may publish another between two questions of one look."""
    monkeypatch.setattr("proj.delivery.shutdown.drain.INTERVAL_S", 0)
    some, none = left(ready=1), left()
    looks = iter([some, none, some, none, none, some])
    seen: list[Remainder] = []

    drain(lambda: next(looks), what="q", timeout_s=10, progress=seen.append)

    assert seen == [some, none, some, none, none]


def test_drain_says_what_is_left_when_its_time_is_over() -> None:
    """And nobody is halted then."""
    with pytest.raises(DeadlinePassed, match="3 ready, 0 in work"):
        drain(lambda: left(ready=3), what="q", timeout_s=0, progress=lambda _: None)


@pytest.mark.parametrize(
    ("remainder", "nothing"),
    [
        ({}, True),
        ({"in_work": 1}, False),
        ({"unacknowledged": 1}, False),
        ({"unacknowledged": None}, True),
        ({"silent": 1}, True),
        ({"silent": 1, "unacknowledged": None}, False),
    ],
)
def test_nothing_is_left_only_where_someone_can_tell(remainder: dict[str, int | None], *, nothing: bool) -> None:
    """What a silent worker has is known to the broker alone."""
    assert left(**remainder).is_none is nothing


def test_drain_of_which_not_everyone_was_heard_takes_more_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker under load counts a queue as empty that did not answer it, and a worker's answer may be late."""
    monkeypatch.setattr("proj.delivery.shutdown.drain.INTERVAL_S", 0.0)
    for unsure in (left(silent=1), left(unanswered=1)):
        seen: list[Remainder] = []
        looks = iter([unsure, unsure, unsure, left(ready=3), left(), unsure, left(), left()])

        drain(lambda looks=looks: next(looks), what="q", timeout_s=60, progress=seen.append)  # type: ignore[misc] # mypy has no type for a default of a lambda

        assert len(seen) == 8
        seen.clear()
        drain(lambda unsure=unsure: unsure, what="q", timeout_s=60, progress=seen.append)  # type: ignore[misc] # as above
        assert len(seen) == UNSURE_LOOKS
    assert "1 queues without an answer or a consumer" in str(left(unanswered=1))


def left(**remainder: int | None) -> Remainder:
    return Remainder(**{"ready": 0, "in_work": 0, "unacknowledged": 0, "silent": 0, **remainder})  # type: ignore[arg-type] # one of them may be None


def test_reading_leaves_the_queue_for_broadcasts_out() -> None:
    """The roster has none of the queues that workers make for themselves, so it would be said to lack."""
    queues = [{"name": "broadcast.w1@host"}, {"name": "task_queue"}]

    assert reading({}, [], [], queues).queues == {"task_queue"}
