"""Which queues are Celery's own."""

from __future__ import annotations

import pytest

from proj.broker.queue_depths import Depth


def depth(name: str, ready: int = 0) -> Depth:
    return Depth(name=name, type="classic", ready=ready, unacknowledged=0, consumers=0)


@pytest.mark.parametrize(
    "name",
    [
        "celery_delayed_27",
        "w1@host.celery.pidbox",
        "celeryev.d112d98f-3f05-4a53-b45d-05aebbdbea99",
        "ba4ddd5e-618d-3042-9b41-80f9b04b7a00",
        "task_queue.suspects",
        "task_queue.lease.ba4ddd5e-618d-3042-9b41-80f9b04b7a00",
    ],
)
def test_empty_queue_that_celery_made_for_itself_is_plumbing(name: str) -> None:
    """A user does not look for delays, mailboxes, events, replies, or our own quarantine and leases."""
    assert depth(name).is_plumbing


def test_delay_queue_with_tasks_in_it_is_shown() -> None:
    """A task that waits until it is due must not be hidden."""
    assert not depth("celery_delayed_3", ready=1).is_plumbing


@pytest.mark.parametrize("name", ["task_queue", "dead_letters", "celery", "my-ba4ddd5e"])
def test_queue_of_the_user_is_never_plumbing(name: str) -> None:
    """Also when it is empty."""
    assert not depth(name).is_plumbing
