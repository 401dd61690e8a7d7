"""Parts of confirmed publishing that need no broker."""

from __future__ import annotations

import os
import pickle
import threading
import time
from datetime import timedelta

import pytest
from amqp.exceptions import ChannelError as AmqpChannelError
from amqp.exceptions import error_for_code
from celery import Celery
from kombu import Exchange, Queue

from proj.delivery.broker_errors import final_error, queue_full
from proj.delivery.publishing.amqp import ConfirmingAMQP, task_operation
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.delivery.publishing.routes.delayed_delivery import whole_seconds
from proj.errors import EXIT_FAILED, EXIT_NO_BROKER, ProjError, PublishRefused, QueueFull, Unconfirmed, Unroutable


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (312, "NO_ROUTE", Unroutable),
        (404, "NOT_FOUND - no exchange 'x' in vhost '/'", Unroutable),
        (404, "NOT_FOUND - no exchange 'rate_limits' in vhost '/'", Unroutable),
        (404, "NOT_FOUND - no exchange 'down or inaccessible' in vhost 'home node'", Unroutable),
        (404, "NOT_FOUND - home node 'a' of durable queue 'q' in vhost '/' is down or inaccessible", None),
        (404, f"NOT_FOUND - home node 'a' of durable queue '{'q' * 200}", None),
        (404, "NOT_FOUND - failed to perform operation on queue 'q' in vhost '/' due to timeout", None),
        (403, "ACCESS_REFUSED - write access to exchange 'x' refused", PublishRefused),
        (406, "PRECONDITION_FAILED - message size 9 is larger than configured max size 8", PublishRefused),
        (530, "NOT_ALLOWED - vhost v not found", PublishRefused),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'u'", PublishRefused),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'u': vhost '/' is down", None),
        (530, "NOT_ALLOWED - vhost limits not found", PublishRefused),
        (
            530,
            "NOT_ALLOWED - access to vhost 'limit' refused for user 'connection limit (1) is reached'",
            PublishRefused,
        ),
        (530, "NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (1) is reached", None),
        (530, "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached", None),
        (530, "NOT_ALLOWED - connection refused: node connection limit (1) is reached", None),
        (
            530,
            "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (1)",
            None,
        ),
        (
            530,
            "NOT_ALLOWED - number of channels opened on node 'a@b' has reached the maximum allowed limit of (1)",
            None,
        ),
        (320, "CONNECTION_FORCED - broker forced connection closure", None),
        (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue", None),
        (501, "FRAME_ERROR - type 2, all octets = <<>>: {frame_too_large,131073,131064}", PublishRefused),
        (506, "RESOURCE_ERROR", None),
        (541, "INTERNAL_ERROR", None),
    ],
)
def test_error_is_final_when_another_attempt_would_fail(code: int, text: str, kind: type[ProjError] | None) -> None:
    """It says what was not accepted, with the text of the broker."""
    error = final_error(error_for_code(code, text, (60, 40), AmqpChannelError), "task 5")

    assert (type(error) if error else None) is kind
    if error:
        assert error.message.startswith("RabbitMQ did not accept task 5")
        assert text in error.message


def test_lost_connection_is_not_final() -> None:
    """Another attempt may succeed."""
    assert final_error(ConnectionResetError(104, "reset"), "task 5") is None


def test_unconfirmed_survives_a_process_boundary() -> None:
    """A task that publishes another one may raise it in a pool process."""
    error = pickle.loads(pickle.dumps(Unconfirmed("Task 5 may …", ("5",))))  # noqa: S301 our own bytes

    assert (str(error), error.task_ids, error.exit_code) == ("Task 5 may …", ("5",), EXIT_NO_BROKER)


def test_queue_full_survives_a_process_boundary() -> None:
    """A task with `autoretry_for=(QueueFull,)` raises it in a pool process."""
    error = pickle.loads(pickle.dumps(queue_full("Task 5", "a nack", tried_s=2.0, task_ids=("5",))))  # noqa: S301 our own bytes

    assert (type(error), error.task_ids, error.exit_code) == (QueueFull, ("5",), EXIT_FAILED)
    assert "Task 5" in str(error)


def test_task_that_publishes_waits_for_a_full_queue_until_the_publish_deadline() -> None:
    """Otherwise its retry would become a dead letter. A caller outside a worker gets the error sooner."""
    app = app_with("classic")

    @app.task(name="asks", shared=False)
    def task() -> float | None:
        return task_operation(app, "5", {}).full_timeout_s

    assert task_operation(app, "5", {}).full_timeout_s == 10
    assert task.apply().result is None


def test_thread_that_publishes_while_another_reads_the_configuration_has_our_settings() -> None:
    """Two first requests of a web application may come at once; Celery shows the second half a configuration."""
    app = Celery("young", broker="amqp://", set_as_current=False)
    app.conf.proj_queue_full_timeout_s = 3.0
    seen: list[tuple[float | None, float | None]] = []

    def send(**_: object) -> None:
        operation = task_operation(app, "5", {})
        seen.append((operation.deadline.timeout_s, operation.full_timeout_s))

    def meanwhile(**_: object) -> None:
        thread = threading.Thread(target=send)
        thread.start()
        thread.join(5)

    # It runs before our own handler, which completes the configuration.
    app.on_after_configure.connect(meanwhile, weak=False)
    confirm_publishing(app)

    assert app.conf.proj_publish_timeout_s == 90
    assert seen == [(90, 3)]


def test_forked_process_publishes_with_a_pool_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool of its parent is closed in the fork."""
    app = app_with("classic")
    parents = app.amqp.producer_pool
    assert app.amqp.producer_pool is parents
    parents.force_close_all()

    monkeypatch.setattr(os, "getpid", lambda: -1)

    assert app.amqp.producer_pool is not parents
    assert not app.amqp.producer_pool._closed  # noqa: SLF001 kombu has no public name for it


def app_with(queue_type: str) -> Celery:
    app = Celery("delays", broker="amqp://", set_as_current=False)
    app.conf.task_queues = [Queue("q", Exchange("e", "topic"), "q", queue_arguments={"x-queue-type": queue_type})]
    confirm_publishing(app)
    return app


@pytest.mark.parametrize(
    ("queue_type", "countdown", "becomes"),
    [("quorum", 0.5, 1.0), ("quorum", 2.5, 2.5), ("quorum", 0, 0), ("quorum", -1, -1), ("classic", 0.5, 0.5)],
)
def test_countdown_of_a_part_of_a_second_becomes_a_second_where_the_broker_delays(
    queue_type: str, countdown: float, becomes: float
) -> None:
    """Celery 5.7 refuses it on quorum queues; every other countdown stays as it is."""
    assert whole_seconds(app_with(queue_type), countdown, None) == (becomes, None)


def test_eta_within_a_second_becomes_a_countdown() -> None:
    """Also an eta that is a text; one that is farther away or in the past stays as it is."""
    app = app_with("quorum")
    near, far, over = (app.now() + timedelta(seconds=seconds) for seconds in (0.7, 60, -5))

    assert whole_seconds(app, None, near) == (1.0, None)
    assert whole_seconds(app, None, near.isoformat()) == (1.0, None)
    assert whole_seconds(app, None, far) == (None, far)
    assert whole_seconds(app, None, over) == (None, over)


def test_confirm_publishing_keeps_the_choices_of_the_app() -> None:
    """Its selected queues and its own timeout. A second call changes nothing."""
    app = Celery("late", broker="amqp://", set_as_current=False)
    app.conf.proj_publish_timeout_s = 5
    queues = app.amqp.queues

    confirm_publishing(app)
    send_task = app.send_task
    confirm_publishing(app)

    assert isinstance(app.amqp, ConfirmingAMQP)
    assert app.amqp.queues is queues
    assert app.send_task is send_task
    assert app.conf.proj_publish_timeout_s == 5


def test_other_transports_publish_without_confirms() -> None:
    """An app with another broker works as with Celery alone."""
    app = Celery("memory", broker="memory://", set_as_current=False)
    confirm_publishing(app)
    begun = time.monotonic()

    app.send_task("note")

    assert time.monotonic() - begun < 5
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("celery") is not None


@pytest.mark.parametrize(("groups", "is_refused"), [(150, False), (250, True)])
def test_canvas_that_no_worker_would_run_is_refused_before_it_is_published(groups: int, *, is_refused: bool) -> None:
    """Celery runs a chain of 150 groups, and its own code fails at one of 200."""
    nested: dict[str, object] = {"task": "last"}
    for _ in range(groups):
        nested = {"task": "celery.chord", "kwargs": {"body": nested}}
    app = Celery("theirs", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    app.conf.update(proj_publish_timeout_s=0.01, broker_connection_timeout=0.1)
    confirm_publishing(app)

    with pytest.raises(ProjError) as raised:
        app.send_task("theirs", chord=nested)

    assert isinstance(raised.value, PublishRefused) == is_refused
    assert ("proj_deepest" in str(raised.value)) == is_refused
