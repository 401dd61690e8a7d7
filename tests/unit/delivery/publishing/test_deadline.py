"""The deadline of a publish, and the attempts that are made before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from amqp.exceptions import MessageNacked, NotFound
from kombu import Connection

from proj.delivery.publishing import deadline
from proj.delivery.publishing.deadline import LAST_PAUSE_S, Deadline, PublishOperation
from proj.delivery.publishing.retry_policy import RetryPolicy
from proj.errors import ProjError, QueueFull, Unconfirmed, Unroutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOST = ConnectionResetError(104, "lost")
NACK = MessageNacked("nack from queue 'q'")


@pytest.fixture
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "FIRST_PAUSE_S", 0.001)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """It is never opened; only its kinds of errors are asked for."""
    with Connection("amqp://nobody@127.0.0.1:1//") as connection:
        yield connection


def operation(timeout_s: float | None = 10.0, full_timeout_s: float | None = None) -> PublishOperation:
    return PublishOperation("task 5", "5", Deadline(timeout_s), mandatory=True, full_timeout_s=full_timeout_s)


def failing(*errors: Exception, written: PublishOperation | None = None) -> Callable[[], str]:
    """An attempt that raises one error after the other, and then succeeds; it may note that it has written."""
    left = list(errors)

    def attempt() -> str:
        if written is not None:
            written.written = True
        if left:
            raise left.pop(0)
        return "done"

    return attempt


def test_pauses_grow_and_never_pass_the_deadline() -> None:
    """The first pause is short, the last one a second."""
    for_ever, short = Deadline(None), Deadline(0.02)

    pauses = [for_ever.next_pause_s() for _ in range(9)]

    assert pauses == sorted(pauses)
    assert (pauses[0] < 0.1, pauses[-1], for_ever.left_s, for_ever.has_passed) == (True, LAST_PAUSE_S, None, False)
    assert short.next_pause_s() <= 0.02
    short.pause()
    assert short.has_passed


@pytest.mark.usefixtures("_short_pauses")
def test_attempt_is_repeated_until_it_succeeds(connection: Connection) -> None:
    """After each failure but a nack, `recover` is called: a nack leaves the connection as it is."""
    recovered: list[str] = []

    done = operation().until_done(
        failing(LOST, NACK, LOST), connection, recover=lambda: recovered.append("reconnected")
    )

    assert (done, recovered) == ("done", ["reconnected"] * 2)


@pytest.mark.parametrize(
    ("error", "kind"), [(NotFound("NOT_FOUND - no exchange 'x'", (60, 40)), Unroutable), (ZeroDivisionError(), None)]
)
def test_final_error_and_an_error_of_the_program_are_not_repeated(
    connection: Connection, error: Exception, kind: type[ProjError] | None
) -> None:
    """The first becomes one of our errors, the second is raised as it is."""
    with pytest.raises(kind or type(error)):
        operation().until_done(failing(error), connection)


def test_failure_without_retry_or_after_the_deadline_raises_unconfirmed(connection: Connection) -> None:
    """The text says after how many seconds, if the deadline has passed."""
    with pytest.raises(Unconfirmed) as at_once:
        operation().until_done(failing(LOST), connection, retry=False)
    with pytest.raises(Unconfirmed, match=r"did not confirm task 5 within 0\.01 s") as later:
        operation(timeout_s=0.01).until_done(failing(*[LOST] * 1000), connection)

    assert "within" not in at_once.value.message
    assert later.value.task_ids == ("5",)


def test_nacks_alone_raise_queue_full_after_its_timeout(connection: Connection) -> None:
    """The broker then certainly does not have the message."""
    with pytest.raises(QueueFull, match=r"rejected task 5 for .* s \(nack from queue 'q'\)"):
        operation(full_timeout_s=0.01).until_done(failing(*[NACK] * 1000), connection)


def test_nack_after_a_written_attempt_without_answer_raises_unconfirmed(connection: Connection) -> None:
    """The broker may have the message of the earlier attempt, so QueueFull would be wrong."""
    doubtful = operation(timeout_s=0.02, full_timeout_s=0.0)

    with pytest.raises(Unconfirmed):
        doubtful.until_done(failing(LOST, *[NACK] * 1000, written=doubtful), connection)


@pytest.mark.parametrize(("error", "kind"), [(LOST, Unconfirmed), (NACK, QueueFull)])
def test_chosen_policy_says_how_often_an_attempt_is_repeated(
    connection: Connection, error: Exception, kind: type[ProjError]
) -> None:
    """Also when the queue is full for longer or shorter than `proj_queue_full_timeout_s`."""
    tried: list[int] = []
    bounded = operation(full_timeout_s=0.0)
    bounded.policy = RetryPolicy(max_retries=2, interval_step=0.001)

    with pytest.raises(kind):
        bounded.until_done(failing(*[error] * 1000), connection, recover=lambda: tried.append(1))

    assert bounded.failures == 3


def test_policy_without_a_limit_ends_at_the_deadline(connection: Connection) -> None:
    """Nobody waits for ever because of it."""
    unbounded = operation(timeout_s=0.02)
    unbounded.policy = RetryPolicy(max_retries=None, interval_start=0.001)

    with pytest.raises(Unconfirmed, match=r"within 0\.02 s"):
        unbounded.until_done(failing(*[LOST] * 1000), connection)


def test_operation_that_is_not_to_be_retried_ends_at_its_first_failure(connection: Connection) -> None:
    """Its declarations too."""
    once = operation()
    once.retry = False

    with pytest.raises(Unconfirmed):
        once.until_done(failing(LOST), connection)
