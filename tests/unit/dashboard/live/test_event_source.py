"""The event source, fed with events, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from proj.dashboard.live.event_source import EventSource
from proj.dashboard.live.state import State
from proj.delivery.dead_letters.app_queues import Routes
from proj.journal.attempt import Attempt
from proj.journal.records import Worker

NOWHERE = "amqp://nobody@127.0.0.1:1//"


def event(kind: str, timestamp: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return timestamp, {"type": kind, "timestamp": timestamp, "hostname": "w@h", "pid": 1, **fields}


def source() -> EventSource:
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    return EventSource(app, keep=100, journal=None, broker_api=None, wanted=lambda: False)


def starts(first: int, count: int, timestamp: float) -> list[tuple[float, dict[str, Any]]]:
    return [
        event(f"task-{kind}", timestamp, uuid=f"t{number}")
        for number in range(first, first + count)
        for kind in ("received", "started")
    ]


def test_starts_ahead_of_two_heartbeats_in_one_batch_are_not_lost() -> None:
    """After a pause a batch has everything at once; no heartbeat may be judged before the starts that it counts."""
    followed = source()
    followed.update([event("worker-heartbeat", 1.0, processed=0)])
    followed.update(
        [
            *starts(0, 3, 2.0),
            event("worker-heartbeat", 3.0, processed=3),
            event("worker-heartbeat", 5.0, processed=3),
        ]
    )

    assert followed.state.workers.lost_events() == ()
    assert list(followed.state.gaps) == []


def test_lost_starts_become_fewer_when_their_events_come_late() -> None:
    """An alarm ends when its cause has."""
    followed = source()
    for time, processed in ((1.0, 0), (3.0, 3), (5.0, 3)):
        followed.update([event("worker-heartbeat", time, processed=processed)])
    (lost,) = followed.state.workers.lost_events()
    followed.update([*starts(0, 2, 2.0), event("worker-heartbeat", 7.0, processed=3)])
    (still,) = followed.state.workers.lost_events()
    followed.update([*starts(2, 1, 2.5), event("worker-heartbeat", 9.0, processed=3)])

    assert (lost.lost, still.lost, followed.state.workers.lost_events()) == (3, 1, ())


@pytest.mark.parametrize(
    ("queues", "told", "known"),
    [
        ((), {}, "media"),
        (("mail", "media"), {}, "media"),
        # Its event tells the queue; or it must have been sent elsewhere.
        (("mail", "media"), {"queue": "mail"}, "mail"),
        (("mail", "report"), {}, None),
    ],
)
def test_queue_of_a_task_without_a_sent_event_comes_from_its_worker_else_from_the_routes(
    queues: tuple[str, ...], told: dict[str, str], known: str | None
) -> None:
    """Few producers send task-sent events."""
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    app.conf.task_routes = {"theirs.media*": {"queue": "media"}}
    followed = EventSource(app, keep=100, journal=None, broker_api=None, wanted=lambda: False)
    followed.worker_poller.workers.put(Worker(name="w@h", queues=queues))
    followed.update([event("task-received", 1.0, uuid="t", name="theirs.media_in", **told)])

    ((_, task),) = followed.state.history
    assert [one.queue for one in task.attempts] == [known]


def test_queue_of_a_task_in_a_journal_comes_from_the_routes_too() -> None:
    """A recorder knows no app's routes."""
    app = Celery("theirs", broker=NOWHERE, set_as_current=False)
    app.conf.task_routes = {"theirs.media*": "media"}
    state = State(10)
    state.routes = Routes(app)
    state.load(
        [Attempt(task_id="t", state="received", name="theirs.media_in", worker="w@h", received=1.0)], [], now=2.0
    )

    ((_, task),) = state.history
    assert task.attempts[0].queue == "media"
