"""What workers say of themselves."""

from __future__ import annotations

import pytest

from proj.journal.worker_info import _work_queues, dispatch


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


@pytest.mark.parametrize(("adapts", "mode"), [(True, "adaptive"), (None, "adaptive"), (False, "fair")])
def test_worker_that_cannot_do_adaptive_dispatch_is_in_the_mode_of_its_other_settings(
    *, adapts: bool | None, mode: str
) -> None:
    """With the pool solo it gets one message a slot, and may hoard with several queues, as in fair dispatch."""
    settings = {"proj_dispatch": "adaptive", "worker_prefetch_multiplier": 1, "task_acks_late": True}

    assert dispatch(settings, adapts=adapts) == mode


def test_queues_of_a_worker_are_those_that_its_tasks_come_from() -> None:
    """Its own queue for broadcasts is none, so a worker of one work queue is known as that."""
    assert _work_queues([{"name": "broadcast.w1@host"}, {"name": "task_queue"}]) == ["task_queue"]
