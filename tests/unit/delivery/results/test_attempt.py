"""An attempt tells its caller that the task has started, unless there is news by then."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from proj.delivery.results.attempt import Attempt, current_attempt, set_current_attempt

if TYPE_CHECKING:
    import pytest

#: Seconds that anything may take on a busy machine.
TIMEOUT_S = 30


def test_attempt_that_lasts_tells_that_it_has_started() -> None:
    """Once, by itself."""
    told: list[str] = []
    done = threading.Event()

    def publish() -> None:
        told.append("STARTED")
        done.set()

    attempt = Attempt("1", hands_over=True)
    attempt.start_with(publish)

    assert done.wait(TIMEOUT_S)
    attempt.forget_started()
    assert told == ["STARTED"]


def test_attempt_that_has_ended_never_tells_that_it_has_started() -> None:
    """Not even when the thread was about to."""
    told: list[str] = []
    attempt, later = Attempt("1", hands_over=True), Attempt("2", hands_over=True)
    attempt.start_with(lambda: told.append("STARTED"))

    attempt.forget_started()
    attempt.publish_started()

    seen = threading.Event()
    later.start_with(seen.set)
    assert seen.wait(TIMEOUT_S)
    assert told == []


def test_attempt_ends_while_started_is_on_its_way() -> None:
    """Its result may not overtake STARTED, which it would be replaced by; the task need not wait for that."""
    begun, may_end = threading.Event(), threading.Event()

    def publish() -> None:
        begun.set()
        assert may_end.wait(TIMEOUT_S)

    attempt = Attempt("1", hands_over=True)
    attempt.start_with(publish)
    assert begun.wait(TIMEOUT_S)

    attempt.forget_started()
    assert attempt.is_started_on_its_way
    may_end.set()

    attempt.await_started()
    assert not attempt.is_started_on_its_way


def test_attempt_goes_on_when_started_cannot_be_published(caplog: pytest.LogCaptureFixture) -> None:
    """The task runs all the same."""

    def publish() -> None:
        raise ConnectionResetError

    attempt = Attempt("1", hands_over=True)
    attempt.start_with(publish)
    attempt.publish_started()

    assert [vars(record)["action"] for record in caplog.records] == ["started_not_published"]


def test_each_thread_has_an_attempt_of_its_own() -> None:
    """As the threads of a pool have."""
    attempt = Attempt("1", hands_over=True)
    seen: list[Attempt | None] = []
    set_current_attempt(attempt)
    try:
        thread = threading.Thread(target=lambda: seen.append(current_attempt()))
        thread.start()
        thread.join(TIMEOUT_S)
        assert (seen, current_attempt()) == ([None], attempt)
    finally:
        set_current_attempt(None)
