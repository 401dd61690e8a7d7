"""`work`, called as any Celery user calls a task, on a real broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import chain, chord, group
from celery.contrib.testing.worker import start_worker, test_worker_started

from proj.broker.queue_depths import depths_by_management
from proj.celery import app
from proj.delivery.publishing.confirm_publishing import close_publishing
from proj.errors import InvalidMessage
from proj.lab.processes.waiting import wait_until
from proj.tasks import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

VHOST = "work"
TIMEOUT_S = 60


def tick(consumer: Any, **_: object) -> None:
    # Without it the event loop looks only every ten seconds whether it should end.
    consumer.timer.call_repeatedly(0.1, lambda: None)


@pytest.fixture(scope="module", autouse=True)
def _worker(broker: Broker) -> Iterator[None]:
    """One worker in this process for all tests of this file; a dot takes 50 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker.add_vhost(VHOST))
        patch.setitem(app.conf, "proj_dot_seconds", 0.05)
        test_worker_started.connect(tick)
        with start_worker(app, pool="solo", perform_ping_check=False):
            yield
        test_worker_started.disconnect(tick)
        close_publishing(app)
        app.close()
    broker.remove_vhost(VHOST)


def test_work_returns_who_did_what() -> None:
    """The result has what a user wants to see in Flower."""
    result = work.delay("hello...").get(timeout=TIMEOUT_S)

    assert (result["message"], result["dots"], result["attempt"], result["redelivered"]) == ("hello...", 3, 0, False)
    assert 0.15 <= result["seconds"] < 1
    assert result["worker"]


def test_group_of_works_returns_all_results_in_order() -> None:
    """As any Celery user expects."""
    results = group(work.s("a."), work.s("b.."), work.s("c")).delay().get(timeout=TIMEOUT_S)

    assert [result["message"] for result in results] == ["a.", "b..", "c"]


def test_chain_of_immutable_works_runs_one_after_the_other() -> None:
    """As any Celery user expects."""
    last = chain(work.si("first."), work.si("second.."))()

    assert last.get(timeout=TIMEOUT_S)["message"] == "second.."
    assert last.parent.get(timeout=TIMEOUT_S)["message"] == "first."


def test_chain_that_passes_the_result_on_works_on_the_same_message_again() -> None:
    """`work.s("hello.") | work.s()` is a chain too."""
    result = (work.s("hello.") | work.s())().get(timeout=TIMEOUT_S)

    assert result["message"] == "hello."


def test_delayed_work_waits_in_the_broker_and_uses_no_slot(broker: Broker) -> None:
    """A countdown is a native delayed delivery; the worker runs other tasks meanwhile."""
    begun = time.monotonic()
    delayed = work.apply_async(("later",), countdown=6)
    wait_until(
        lambda: any(
            "delayed" in depth.name and depth.ready for depth in depths_by_management(broker.management, VHOST)
        ),
        what="the task to be in a delay queue",
        timeout_s=5.9,
    )

    assert work.delay("now").get(timeout=TIMEOUT_S)["message"] == "now"
    assert time.monotonic() - begun < 6
    assert delayed.get(timeout=TIMEOUT_S)["message"] == "later"
    assert time.monotonic() - begun >= 5.9


@pytest.mark.parametrize("message", [5, None, ["hello."]])
def test_message_that_is_not_a_text_fails_with_the_reason(message: object) -> None:
    """The result has one sentence that says what a message must be."""
    result = work.delay(message)

    with pytest.raises(InvalidMessage, match="A message must be a text"):
        result.get(timeout=TIMEOUT_S)


def test_chord_is_refused_by_the_default_backend_in_one_sentence() -> None:
    """The rpc backend cannot run a chord. Celery's error says so; another CELERY_RESULT_BACKEND can."""
    with pytest.raises(NotImplementedError, match="chords"):  # raised by Celery: rpc:// has no chords
        chord([work.s("a"), work.s("b")])(work.si("c"))
