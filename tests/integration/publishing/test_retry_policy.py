"""A retry policy that the app or the caller has chosen: it replaces our deadline, and Celery's own tests ask for it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
from kombu.transport import pyamqp

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.errors import QueueFull, Unconfirmed
from proj.lab.processes.ports import free_port

from .conftest import make_app
from .test_delay import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery import Celery

Arrivals = "Callable[..., Counter[str]]"
#: Two retries after short pauses.
TWICE = {"max_retries": 2, "interval_start": 0, "interval_step": 0.01, "interval_max": 0.05}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The id of each task that is written, at each attempt."""
    ids: list[str] = []
    write = ConfirmChannel.write

    def spy(channel: Any, outgoing: Any) -> int:
        ids.append(outgoing.task_id)
        return write(channel, outgoing)

    monkeypatch.setattr(ConfirmChannel, "write", spy)
    return ids


def full(app: Celery, policy: Callable[..., None]) -> None:
    app.send_task("note", retry=False)
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    fill(app)


@pytest.mark.parametrize("of_app", [True, False], ids=["of-the-app", "of-the-call"])
def test_publish_to_a_full_queue_is_tried_as_often_as_its_policy_says(
    new_app: Callable[..., Celery], policy: Callable[..., None], written: list[str], *, of_app: bool
) -> None:
    """Neither until the publish deadline nor for `proj_queue_full_timeout_s`."""
    app = new_app(**({"task_publish_retry_policy": TWICE} if of_app else {}))
    full(app, policy)
    begun = time.monotonic()

    with pytest.raises(QueueFull):
        app.send_task("note", task_id="the-id", **({} if of_app else {"retry_policy": TWICE}))

    assert written.count("the-id") == 3
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("options", [{"retry_policy": TWICE}, {"retry": False}])
def test_publish_without_a_broker_is_tried_as_often_as_the_caller_says(options: dict[str, Any]) -> None:
    """The error says so."""
    app = make_app(f"amqp://127.0.0.1:{free_port()}//")
    begun = time.monotonic()

    with pytest.raises(Unconfirmed) as caught:
        app.send_task("note", **options)

    assert ("in 3 attempts, as its retry policy says" in str(caught.value)) == ("retry_policy" in options)
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("chosen", [True, False], ids=["policy", "no-policy"])
def test_task_whose_callback_goes_to_a_full_queue_fails_when_its_retries_are_over(
    new_app: Callable[..., Celery],
    arrivals: Any,
    policy: Callable[..., None],
    written: list[str],
    caplog: pytest.LogCaptureFixture,
    *,
    chosen: bool,
) -> None:
    """As in stock Celery: the task ends as FAILURE, and its errback is called. Without a policy our deadline holds.

    Celery's smoke tests `test_callback_publish_retry` ask for the same.
    """
    settings = {"task_publish_retry_policy": TWICE} if chosen else {"proj_publish_timeout_s": 1.0}
    app = new_app(**settings)
    full(app, policy)
    failed: list[str] = []

    @app.task(name="errback", shared=False)
    def errback(task_id: str) -> None:
        failed.append(task_id)

    begun = time.monotonic()

    with caplog.at_level(logging.WARNING, logger="celery.app.amqp"):
        result = app.tasks["note"].apply(link=app.signature("note", task_id="callback"), link_error=errback.s())

    # The last attempt before a deadline may get no answer.
    assert result.state == "FAILURE"
    assert isinstance(result.result, QueueFull if chosen else (QueueFull, Unconfirmed))
    assert (written.count("callback") == 3) == chosen
    assert ("Giving up refused callback publish" in caplog.text) == chosen
    assert time.monotonic() - begun < 30
    assert failed == [result.id]
    assert "callback" not in arrivals()


@pytest.mark.parametrize("options", [{"retry_policy": TWICE}, {"retry_policy": TWICE, "retry": False}, {}])
def test_event_that_a_task_was_sent_is_tried_as_often_as_the_caller_says(
    new_app: Callable[..., Celery], arrivals: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once where nobody said it, because no publish waits for a monitor. The task is sent in any case, and once.

    Celery's `test_task_sent_event_respects_publish_retry_limit` asks for the same.
    """
    app = new_app(task_send_sent_event=True)
    prepared: list[object] = []
    publish = pyamqp.Channel.basic_publish

    def fail(channel: Any, message: Any, exchange: str = "", **more: Any) -> Any:
        if exchange != "celeryev":
            return publish(channel, message, exchange, **more)
        prepared.append(message)
        raise ConnectionResetError("lost")

    monkeypatch.setattr(pyamqp.Channel, "basic_publish", fail)
    begun = time.monotonic()

    app.send_task("note", task_id="the-id", **options)

    assert len(prepared) == (3 if options.get("retry", "retry_policy" in options) else 1)
    assert arrivals() == {"the-id": 1}
    assert time.monotonic() - begun < 8
