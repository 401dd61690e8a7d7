"""What the process of a task does with the states of its task; nothing is published."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from celery import Celery, states
from celery.app.task import Context
from celery.backends.rpc import RPCBackend

from proj.delivery.install import install
from proj.delivery.publishing.deadline import current_operation
from proj.delivery.results.attempt import STARTED_WITHIN_S, Attempt, current_attempt, set_current_attempt
from proj.delivery.results.stored_here import handed_over
from proj.delivery.results.waiting_results import KEPT_S
from proj.errors import QueueFull, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.results.attempt import Result
    from proj.delivery.results.backend import ResultBackend

#: Seconds that anything may take on a busy machine.
TIMEOUT_S = 30
REQUEST = Context(reply_to="theirs", correlation_id="1", id="1")


@pytest.fixture
def backend() -> Iterator[ResultBackend]:
    with Celery("caller", backend="rpc://", set_as_current=False) as app:
        install(app)
        yield app.backend


@pytest.fixture
def attempt() -> Iterator[Attempt]:
    lost: list[None] = []
    attempt = Attempt("1", hands_over=True, on_lost=lambda: lost.append(None))
    vars(attempt)["lost"] = lost
    set_current_attempt(attempt)
    yield attempt
    set_current_attempt(None)


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("error", [QueueFull("The queue is full."), Unconfirmed("No confirm came.")])
def test_task_goes_on_when_a_state_that_its_process_sends_is_not_taken(
    backend: ResultBackend, attempt: Attempt, error: Exception, monkeypatch: pytest.MonkeyPatch, *, is_last: bool
) -> None:
    """Its caller may be gone. Its slot waits long for the last state alone, which is counted when it is lost."""
    tried: list[tuple[float | None, float | None]] = []

    def store_result(*_: object, **__: object) -> None:
        operation = current_operation()
        assert operation is not None
        tried.append((operation.deadline.timeout_s, operation.full_timeout_s))
        raise error

    monkeypatch.setattr(RPCBackend, "store_result", store_result)
    attempt.hands_over = False

    if is_last:
        backend.mark_as_failure("1", ValueError(), request=REQUEST)
    else:
        assert backend.store_result("1", 7, "PROGRESS", request=REQUEST) == 7
    assert tried == [(90.0 if is_last else KEPT_S, KEPT_S)]
    assert len(vars(attempt)["lost"]) == is_last


def test_result_says_whether_it_could_overtake_started(
    backend: ResultBackend, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for STARTED, which is tried for a moment."""
    begun, may_end = threading.Event(), threading.Event()
    tried: list[float | None] = []

    def store_result(*_: object, **__: object) -> None:
        operation = current_operation()
        assert operation is not None
        tried.append(operation.deadline.timeout_s)
        begun.set()
        assert may_end.wait(TIMEOUT_S)

    monkeypatch.setattr(RPCBackend, "store_result", store_result)
    backend.store_result("1", {}, states.STARTED, request=REQUEST)
    assert begun.wait(TIMEOUT_S)

    backend.mark_as_retry("1", ValueError(), request=REQUEST)
    may_end.set()
    attempt.await_started()
    backend.mark_as_retry("1", ValueError(), request=REQUEST)

    assert [result.after_started for result in attempt.results] == [True, False]
    assert tried == [STARTED_WITHIN_S]


def test_failure_that_is_stored_here_is_kept_for_the_sender(backend: ResultBackend) -> None:
    """The worker's loop does not wait for the broker."""
    results: list[Result] = []

    with handed_over("1", backend, results):
        backend.mark_as_failure("1", ValueError(), request=REQUEST)
        backend.mark_as_revoked("1", "revoked", request=REQUEST)

    assert [json.loads(result.body)["status"] for result in results] == ["FAILURE", "REVOKED"]
    assert current_attempt() is None
