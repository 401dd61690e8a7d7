"""What is said of a queue: the broker's counts beside the events', the windows, and what contradicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proj.broker.queue_depths import Depth
from proj.dashboard.live.broker_poll import View, windows
from proj.dashboard.live.count_differences import Facts, explanation
from proj.dashboard.live.queue_status import contradictions, standings
from proj.dashboard.live.state import Scene
from proj.dashboard.live.status import EventCount, Window
from proj.journal.attempt import Attempt
from proj.journal.records import Worker

AGREED = Facts(ready=3, unacknowledged=2, sent=3, held=2, consumers=2, workers=2)


@pytest.mark.parametrize(
    ("facts", "part"),
    [
        ({}, None),
        ({"unacknowledged": None, "held": 7}, None),
        # Who acknowledges late has what it runs, too.
        ({"unacknowledged": 6, "running": 4}, None),
        ({"ready": 5, "silent": True}, "task_send_sent_event): events give the least"),
        ({"ready": 5}, "sent before the dashboard listened"),
        ({"ready": 5, "quiet_s": 0.1, "age_s": 0.8}, "counted 0.8 s ago, and events came since"),
        ({"ready": 1, "delayed": 2}, "not due yet"),
        ({"ready": 1, "delayed": 1, "quiet_s": 0.0}, "events came since"),
        ({"ready": 2, "consumers": 3}, "1 message that events tell of is not ready any more: the broker counts 3"),
        ({"ready": 1, "lost": 12}, "12 events are known to be lost"),
        ({"ready": 1}, "purged, expired, or taken by someone else"),
        ({"unacknowledged": 1, "orphaned": 1}, "with workers that are not heard of any more"),
        ({"unacknowledged": 5, "consumers": 9}, "the broker counts 9 consumers"),
        ({"unacknowledged": 5, "quorum": True, "quiet_s": 4.0}, "every 5 seconds only"),
        ({"unacknowledged": 5, "quorum": True, "quiet_s": 9.0}, "received before the dashboard listened"),
        ({"unacknowledged": 5, "quiet_s": 0.0}, "events came since"),
        ({"unacknowledged": 5, "lost": 1}, "1 events are known to be lost"),
        ({"unacknowledged": 0}, "acknowledged early, or ended without an event"),
    ],
)
def test_difference_between_broker_and_events_is_explained(facts: dict[str, Any], part: str | None) -> None:
    """In one sentence that names the likeliest reason; in none when they agree."""
    told = explanation(replace(AGREED, **facts))

    if part is None:
        assert told is None
    else:
        assert part in (told or "")
        assert (told or "").endswith(".")


def consumer(window: int, *, acknowledges: bool = True, channel: str = "c", queue: str = "q") -> dict[str, Any]:
    return {
        "queue": {"name": queue},
        "prefetch_count": window,
        "ack_required": acknowledges,
        "channel_details": {"name": channel},
    }


def test_consumer_without_a_window_has_that_of_its_channel() -> None:
    """Celery's window on a classic queue is one of the channel, and its consumer says 0."""
    found = windows(
        [consumer(4), consumer(0, channel="whole"), consumer(0, channel="free"), consumer(0, channel="new")],
        [{"name": "whole", "global_prefetch_count": 4}, {"name": "free", "global_prefetch_count": 0}],
    )

    assert found == {
        "q": (
            Window(window=0, consumers=1, acknowledges=True),
            Window(window=4, consumers=2, acknowledges=True),
            Window(window=None, consumers=1, acknowledges=True),
        )
    }


def test_windows_of_whatever_an_api_answers_are_found_or_passed_over() -> None:
    """An API in between may answer anything."""
    odd: list[Any] = [None, {}, {"queue": "q"}, {"queue": {"name": "q"}, "prefetch_count": "many"}]

    assert windows(odd, [None, {}, {"name": 7}]) == {"q": (Window(window=None, consumers=1, acknowledges=False),)}


@pytest.mark.parametrize(
    ("dispatch", "window", "acknowledges", "part"),
    [
        ("fair", 0, True, "without a limit"),
        ("fair", 4, False, "none of its consumers acknowledges anything"),
        ("round-robin", 4, True, "limits what it gives"),
        ("fair", 4, True, None),
        ("round-robin", 0, True, None),
        ("fair", None, True, None),
        ("other", 0, True, None),
    ],
)
def test_mode_that_the_broker_contradicts_is_noted(
    *, dispatch: str, window: int | None, acknowledges: bool, part: str | None
) -> None:
    """A worker may say fair while the broker gives it everything; nothing is said where it is not known."""
    of_queue = (Window(window=window, consumers=2, acknowledges=acknowledges),)

    notes = contradictions([("q", dispatch), ("elsewhere", dispatch)], {"q": of_queue})

    assert len(notes) == (part is not None)
    assert all((part or "") in note for note in notes)


@pytest.mark.parametrize(("dispatch", "held"), [("fair", 2), ("round-robin", 1), (None, 1)])
def test_events_count_as_unacknowledged_what_the_mode_leaves_so(dispatch: str | None, held: int) -> None:
    """A worker that acknowledges early has only what it holds unacknowledged; a late one also what it runs."""
    scene = Scene(10)
    scene.crew.introduce([Worker(name="w@h", slots=1, queues=("q",), dispatch=dispatch)], 0.0)
    scene.load(
        [
            Attempt(task_id="waiting", state="sent", queue="q", sent=1.0),
            Attempt(task_id="held", state="received", worker="w@h", sent=1.0, received=1.0),
            Attempt(task_id="running", state="started", worker="w@h", sent=1.0, received=1.0, started=1.0),
            Attempt(task_id="done", state="succeeded", worker="w@h", sent=1.0, received=1.0, started=1.0, finished=2.0),
        ],
        [],
        now=9.0,
    )
    depth = Depth(name="q", type="classic", ready=1, unacknowledged=held, consumers=1)

    (queue,) = standings(scene.history, scene.crew, View(time=9.0, depths={"q": depth}), lost=0, now=9.0)

    assert (queue.queue, queue.events, queue.explanation) == ("q", EventCount(ready=1, unacknowledged=held), None)
