"""What workers say of themselves."""

from __future__ import annotations

import pytest

from proj.journal.worker_info import _queues, dispatch


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        ({"proj_dispatch": "adaptive", "worker_prefetch_multiplier": 4, "task_acks_late": True}, "adaptive"),
        ({"worker_prefetch_multiplier": 0, "task_acks_late": False}, "round-robin"),
        ({"worker_prefetch_multiplier": 1, "task_acks_late": True}, "fair"),
        ({"worker_prefetch_multiplier": 1, "task_acks_late": False}, "other"),
        ({"worker_prefetch_multiplier": 4, "task_acks_late": True}, "other"),
        ({}, None),
        (None, None),
        ("forged", None),
    ],
)
def test_dispatch_is_what_the_settings_make_of_it(settings: object, mode: str | None) -> None:
    """The worker's own word where it has one, else what multiplier and acknowledgement amount to."""
    assert dispatch(settings) == mode


def test_workers_queue_for_broadcasts_is_none_that_its_tasks_come_from() -> None:
    """So a worker of one work queue is still known as that."""
    assert _queues([{"name": "broadcast.w1@host"}, {"name": "task_queue"}, {"name": 1}, 2]) == ("task_queue",)
