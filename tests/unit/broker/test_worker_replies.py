"""Replies on the control bus: those of Celery's workers, and those that anyone else may send."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj.broker.worker_replies import (
    Stats,
    TaskRequest,
    by_node,
    read_early,
    read_queues,
    read_registered,
    read_stats,
    read_tasks,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "pool", "total", "name", "request"]), inner),
    max_leaves=8,
)


def test_replies_of_another_kind_are_left_out() -> None:
    """A worker that does not know a command replies with an error, and anyone may reply with anything."""
    replies = {"w1@h": [], "w2@h": {"error": "unknown command"}, 3: []}

    assert by_node(replies, list) == {"w1@h": []}
    assert by_node(None, list) == {}


def test_registered_tasks_are_read_without_their_settings() -> None:
    """Celery writes these behind the name; anyone may reply with anything."""
    assert read_registered(["one", "two [rate_limit=1/m]", 3, None]) == ["one", "two"]
    assert read_registered({"ok": 1}) == []


def test_early_tasks_are_those_of_which_a_worker_says_so() -> None:
    """A task without the setting, and anything else, is none."""
    assert read_early(["one [acks_late=False]", "two [acks_late=True]", "three", "four [", 5]) == ["one"]
    assert read_early(None) == []


def test_stats_are_read_as_celerys_workers_send_them() -> None:
    """Slots, started tasks, seconds since the start, and the pool's class."""
    reply = {
        "pool": {"max-concurrency": 4, "implementation": "celery.concurrency.solo:TaskPool"},
        "total": {"proj.tasks.work": 3, "other": 4},
        "uptime": 17,
    }

    assert read_stats(reply) == Stats(slots=4, started=7, uptime_s=17, pool="celery.concurrency.solo:TaskPool")


@pytest.mark.parametrize(("held", "in_advance"), [(7, 7), (0, 0), (-1, 0), (2**31, 0), (True, 0), ("7", 0), (None, 0)])
def test_messages_in_advance_are_those_that_a_dispatcher_holds(held: object, in_advance: int) -> None:
    """Only a worker in adaptive dispatch has them."""
    said = read_stats({"dispatch": {"mode": "adaptive", "held": held, "window": 8, "given_back": held}})

    assert (said.adaptive, said.in_advance, said.window) == (True, in_advance, 8)
    assert said.given_back == (in_advance if held in (0, 7) else None)


@pytest.mark.parametrize("slots", [0, -1, 2**31, True, "4", None, float("nan")])
def test_slots_that_no_worker_has_are_unknown(slots: object) -> None:
    """They become a column of the journal, which holds 32 bits."""
    assert read_stats({"pool": {"max-concurrency": slots}}).slots is None


@pytest.mark.parametrize(
    ("maxrss", "memory_bytes"),
    [
        (80_000, 80_000 * 1024),
        (9_000_000, 9_000_000 * 1024),
        (82_000_000, 82_000_000),
        (2**31, 2**31),
        (0, None),
        (-1, None),
        (2**50, None),
        ("80000", None),
    ],
)
def test_memory_is_read_as_linux_and_as_macos_tell_it(maxrss: object, memory_bytes: int | None) -> None:
    """Linux counts in KiB, and macOS in bytes."""
    assert read_stats({"rusage": {"maxrss": maxrss}}).memory_bytes == memory_bytes


def test_queues_are_read_by_their_names() -> None:
    """Elements without one are left out."""
    assert read_queues([{"name": "broadcast.w1@host"}, {"name": "task_queue"}, {"name": 1}, {}, 2]) == [
        "broadcast.w1@host",
        "task_queue",
    ]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (
            {"id": "a", "delivery_info": {"routing_key": "q"}, "time_start": 2.5},
            TaskRequest(id="a", routing_key="q", started_at=2.5),
        ),
        ({"eta": "2030", "request": {"id": "a", "delivery_info": None}}, TaskRequest(id="a")),
        ({"id": 7, "delivery_info": "q", "time_start": "soon"}, TaskRequest()),
        ("a task", TaskRequest()),
    ],
)
def test_task_is_read_as_far_as_it_can_be(task: object, expected: TaskRequest) -> None:
    """A task that cannot be read still counts as one."""
    assert read_tasks([task]) == [expected]


@given(ANYTHING)
def test_no_reply_makes_a_reader_fail(reply: Any) -> None:
    """A stranger's reply must not end a probe or a halt."""
    by_node(reply, list)
    read_stats(reply)
    read_queues(reply)
    read_tasks(reply)
