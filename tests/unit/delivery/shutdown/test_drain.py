"""When a drain is over."""

from __future__ import annotations

import pytest

from proj.delivery.shutdown.drain import UNSURE_COUNTS, Remainder, drain
from proj.errors import DeadlinePassed


def test_drain_waits_until_two_counts_in_a_row_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task may publish another between two questions of one count."""
    monkeypatch.setattr("proj.delivery.shutdown.drain.INTERVAL_S", 0)
    some, none = left(ready=1), left()
    counts = iter([some, none, some, none, none, some])
    seen: list[Remainder] = []

    drain(lambda: next(counts), what="q", timeout_s=10, progress=seen.append)

    assert seen == [some, none, some, none, none]


def test_drain_says_what_is_left_at_its_deadline() -> None:
    """No worker is halted then."""
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
def test_nothing_is_left_only_where_that_is_known(remainder: dict[str, int | None], *, nothing: bool) -> None:
    """Only the broker can tell what a silent worker has."""
    assert left(**remainder).is_none is nothing


def test_drain_counts_more_often_while_not_everyone_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker under load counts a queue as empty that did not answer it, and a worker's reply may be late."""
    monkeypatch.setattr("proj.delivery.shutdown.drain.INTERVAL_S", 0.0)
    for unsure in (left(silent=1), left(unanswered=1)):
        seen: list[Remainder] = []
        counts = iter([unsure, unsure, unsure, left(ready=3), left(), unsure, left(), left()])

        drain(lambda counts=counts: next(counts), what="q", timeout_s=60, progress=seen.append)  # type: ignore[misc] # mypy has no type for a default of a lambda

        assert len(seen) == 8
        seen.clear()
        drain(lambda unsure=unsure: unsure, what="q", timeout_s=60, progress=seen.append)  # type: ignore[misc] # as above
        assert len(seen) == UNSURE_COUNTS
    assert "1 queue without an answer or a consumer" in str(left(unanswered=1))


def left(**remainder: int | None) -> Remainder:
    return Remainder(**{"ready": 0, "in_work": 0, "unacknowledged": 0, "silent": 0, **remainder})  # type: ignore[arg-type] # one of them may be None
