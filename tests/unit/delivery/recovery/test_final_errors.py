"""Errors of the broker that end a worker with one sentence, and those after which it connects again."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.exceptions import AccessRefused, ChannelError, NotFound, PreconditionFailed, ResourceLocked
from celery import Celery
from celery.exceptions import WorkerShutdown
from kombu import Connection

from proj.broker.version import BrokerVersion
from proj.delivery.consuming.consumer import Consumer
from proj.delivery.recovery import refusals, taken_name
from proj.delivery.recovery.final_errors import end_when_login_refused
from proj.delivery.recovery.refusals import Refusals
from proj.errors import EXIT_FAILED, EXIT_NO_BROKER, EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Callable

DECLARE = ((50, 10), "Queue.declare")
MISMATCH = PreconditionFailed(
    "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': "
    "received 'quorum' but current is 'classic'",
    *DECLARE,
)
NO_PERMISSION = AccessRefused(
    "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'", *DECLARE
)
NODE_DOWN = NotFound("NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down", *DECLARE)
LOCKED = ResourceLocked(
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'w1@host.celery.pidbox' in vhost '/'.", *DECLARE
)
OTHER_LOCK = ResourceLocked(
    "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'theirs' in vhost '/'.", *DECLARE
)
LOGIN = AccessRefused("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.", (0, 0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The workers that answer; no broker is asked."""
    answering: list[str] = []
    monkeypatch.setattr(taken_name, "answers", lambda _app, node: node in answering)
    return answering


def consumer(*, has_consumed: bool) -> Any:
    """A consumer of the worker w1@host, before or after its first messages."""
    made: Any = Consumer.__new__(Consumer)
    made.app = Celery(set_as_current=False)
    made.hostname = "w1@host"
    made.conninfo = Connection("amqp://me:secret@nowhere:1//")
    made.event_dispatcher = SimpleNamespace(connection=SimpleNamespace(collect=lambda **_: None))
    made.channel_errors = (ChannelError,)
    made.refusals = Refusals(2)
    made.broker_version = BrokerVersion(4, 3) if has_consumed else BrokerVersion(0, 0)
    return made


def ways_to_end(made: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> list[str | int]:
    """What the worker does after the error, when Celery would connect again and when it would not: exit codes."""

    def start(_self: object) -> None:
        raise error

    monkeypatch.setattr("celery.worker.consumer.Consumer.start", start)
    monkeypatch.setattr("celery.worker.consumer.Consumer.on_connection_error_after_connected", lambda *_: None)
    return [_end(lambda: made.on_connection_error_after_connected(error)), _end(made.start)]


def _end(call: Callable[[], None]) -> str | int:
    try:
        call()
    except WorkerShutdown as shutdown:
        return shutdown.code or 0
    except ChannelError:
        return "raises"
    return "connects again"


@pytest.mark.parametrize("has_consumed", [False, True])
@pytest.mark.usefixtures("answers")
def test_worker_ends_with_the_mismatch_and_exit_code_1(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, has_consumed: bool
) -> None:
    """Celery would connect again for ever (`broker_channel_error_retry`), or end with a stack trace."""
    ended = ways_to_end(consumer(has_consumed=has_consumed), MISMATCH, monkeypatch)

    assert ended == [EXIT_FAILED, EXIT_FAILED]
    assert [record.__dict__["action"] for record in caplog.records] == ["declaration_mismatch"] * 2
    assert caplog.records[0].getMessage().startswith("The queue 'q' exists with x-queue-type=classic")


@pytest.mark.usefixtures("answers")
def test_worker_that_may_not_declare_its_queue_ends_at_its_start_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has run outlives a change of permissions, and goes on when they come back."""
    at_start = ways_to_end(consumer(has_consumed=False), NO_PERMISSION, monkeypatch)
    later = ways_to_end(consumer(has_consumed=True), NO_PERMISSION, monkeypatch)

    assert at_start == [EXIT_FAILED, EXIT_FAILED]
    assert "the user 'u' may not make or delete the queue 'q'" in caplog.records[0].getMessage()
    assert later == ["connects again", "raises"]


@pytest.mark.usefixtures("answers")
def test_worker_whose_queue_is_on_a_node_that_is_down_connects_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node comes back."""
    assert ways_to_end(consumer(has_consumed=False), NODE_DOWN, monkeypatch) == ["connects again", "raises"]


@pytest.mark.parametrize("has_consumed", [False, True])
def test_worker_whose_name_another_one_answers_to_ends_with_exit_code_2(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answers: list[str], *, has_consumed: bool
) -> None:
    """The sentence says how to give it another name."""
    answers.append("w1@host")
    refused = consumer(has_consumed=has_consumed)
    refused.refusals.locked_for_s(time.monotonic() - taken_name.OWN_S)

    ended = ways_to_end(refused, LOCKED, monkeypatch)

    assert ended == [EXIT_USAGE, EXIT_USAGE]
    assert {record.__dict__["action"] for record in caplog.records} == {"name_taken"}
    assert "--hostname, such as w2@%h" in caplog.records[0].getMessage()


def test_worker_that_has_lost_its_connection_just_now_connects_again_and_asks_nobody(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    """The broker has not given up that connection yet; to ask would cost seconds in which no task runs."""
    answers.append("w1@host")
    refused = consumer(has_consumed=True)

    assert ways_to_end(refused, LOCKED, monkeypatch) == ["connects again", "raises"]
    assert not caplog.records
    refused.refusals.locked_for_s(time.monotonic() - taken_name.OWN_S)
    refused.refusals.forget_lock()
    assert ways_to_end(refused, LOCKED, monkeypatch) == ["connects again", "raises"]


def test_worker_whose_name_belongs_to_a_silent_connection_connects_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    """That may be its own lost connection, which the broker has not given up yet."""
    answers.append("w2@host")

    assert ways_to_end(consumer(has_consumed=False), LOCKED, monkeypatch) == ["connects again", "raises"]
    assert {record.__dict__["action"] for record in caplog.records} == {"name_locked"}


def test_worker_that_meets_another_locked_queue_connects_again(
    monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    """Its name is not the reason."""
    answers.append("w1@host")

    assert ways_to_end(consumer(has_consumed=False), OTHER_LOCK, monkeypatch) == ["connects again", "raises"]


def test_worker_with_a_wrong_password_ends_with_one_sentence_and_exit_code_3(caplog: pytest.LogCaptureFixture) -> None:
    """The sentence has the address without the password."""
    with pytest.raises(WorkerShutdown) as ended, end_when_login_refused(consumer(has_consumed=False)):
        raise LOGIN

    (record,) = caplog.records
    assert ended.value.code == EXIT_NO_BROKER
    assert record.__dict__["action"] == "login_refused"
    assert "amqp://me:**@nowhere:1//" in record.getMessage()


def test_worker_that_has_consumed_connects_again_when_its_login_is_refused() -> None:
    """The service that the broker asks for logins may be away."""
    with pytest.raises(AccessRefused), end_when_login_refused(consumer(has_consumed=True)):
        raise LOGIN


@pytest.mark.usefixtures("answers")
def test_worker_that_is_refused_again_and_again_waits_longer_each_time_and_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six refused logins a second would fill the broker's log, and may lock the user out."""
    slept: list[float] = []
    monkeypatch.setattr(refusals, "STEP_S", 0.01)
    monkeypatch.setattr("proj.delivery.recovery.refusals.time.sleep", slept.append)
    made = consumer(has_consumed=True)

    for _ in range(2):
        with pytest.raises(AccessRefused), end_when_login_refused(made):
            raise LOGIN
    with pytest.raises(WorkerShutdown) as ended, end_when_login_refused(made):
        raise LOGIN

    assert slept
    assert ended.value.code == EXIT_NO_BROKER
    assert [record.__dict__["action"] for record in caplog.records] == ["refused_again", "login_refused"]
    # What the broker refuses after the login counts too.
    with pytest.raises(WorkerShutdown):
        made.on_connection_error_after_connected(NO_PERMISSION)
