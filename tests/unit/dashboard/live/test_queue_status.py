"""The status of a queue: counts by broker and events, prefetch windows, and contradictions between the two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proj.broker.queue_depths import Depth
from proj.dashboard.live.broker_poll import BrokerState, has_alarm, prefetch_windows
from proj.dashboard.live.count_differences import QueueCounts, explain_difference
from proj.dashboard.live.queue_status import contradictions, queue_statuses
from proj.dashboard.live.state import State
from proj.dashboard.live.status import EventCount, PrefetchWindow
from proj.journal.attempt import Attempt
from proj.journal.event import AdaptiveCounts, WorkerEvent
from proj.journal.records import Worker

AGREED = QueueCounts(ready=3, unacknowledged=2, sent=3, held=2, consumers=2, workers=2)


@pytest.mark.parametrize(
    ("counts", "part"),
    [
        ({}, None),
        ({"unacknowledged": None, "held": 7}, None),
        # Messages that run are unacknowledged, too, if their workers acknowledge late.
        ({"unacknowledged": 6, "running": 4}, None),
        ({"ready": 5, "unannounced": True}, "(task_send_sent_event), so the events' count is a lower bound"),
        ({"ready": 5}, "sent before the dashboard listened"),
        ({"ready": 5, "quiet_s": 0.1, "age_s": 0.8}, "counted 0.8 s ago, and events came after that"),
        ({"ready": 1, "delayed": 2}, "not due yet"),
        ({"ready": 1, "delayed": 1, "quiet_s": 0.0}, "events came after that"),
        (
            {"ready": 2, "consumers": 3},
            "1 message fewer ready than events report: the broker counts 3 ",
        ),
        ({"ready": 1, "in_advance": 4, "consumers": 3}, "fewer ready than events report: workers in adaptive dispatch"),
        ({"ready": 1, "in_advance": 1}, "taken by a consumer that sends no events"),
        (
            {"unacknowledged": 5, "in_advance": 4, "lost": 1},
            "ask for up to 4 messages, and no event tells of one before",
        ),
        ({"unacknowledged": 5, "in_advance": 2, "lost": 1}, "1 event is known to be lost"),
        ({"ready": 1, "lost": 12}, "12 events are known to be lost"),
        ({"ready": 1}, "purged, expired, or taken by a consumer that sends no events"),
        ({"unacknowledged": 1, "orphaned": 1}, "1 message went to workers whose heartbeats have stopped"),
        ({"unacknowledged": 5, "consumers": 9}, "the broker counts 9 consumers"),
        ({"unacknowledged": 5, "quorum": True, "quiet_s": 4.0}, "only every 5 seconds"),
        ({"unacknowledged": 5, "quorum": True, "quiet_s": 9.0}, "received before the dashboard listened"),
        ({"unacknowledged": 5, "quiet_s": 0.0}, "events came after that"),
        ({"unacknowledged": 5, "lost": 1}, "1 event is known to be lost"),
        ({"unacknowledged": 0}, "acknowledged early, or ended without an event"),
    ],
)
def test_difference_between_broker_and_events_is_explained(counts: dict[str, Any], part: str | None) -> None:
    """The likeliest reason is given in one sentence; there is none when the two agree."""
    sentence = explain_difference(replace(AGREED, **counts))

    if part is None:
        assert sentence is None
    else:
        assert part in (sentence or "")
        assert (sentence or "").endswith(".")


def consumer(window: int, *, acknowledges: bool = True, channel: str = "c", queue: str = "q") -> dict[str, Any]:
    return {
        "queue": {"name": queue},
        "prefetch_count": window,
        "ack_required": acknowledges,
        "channel_details": {"name": channel},
    }


def test_consumer_without_a_prefetch_window_has_that_of_its_channel() -> None:
    """On a classic queue, Celery sets the window for the channel, and the API lists the consumer with 0."""
    found = prefetch_windows(
        [consumer(4), consumer(0, channel="whole"), consumer(0, channel="free"), consumer(0, channel="new")],
        [{"name": "whole", "global_prefetch_count": 4}, {"name": "free", "global_prefetch_count": 0}],
    )

    assert found == {
        "q": (
            PrefetchWindow(window=0, channels=1, consumers=1, acknowledges=True),
            PrefetchWindow(window=4, channels=2, consumers=2, acknowledges=True),
            PrefetchWindow(window=None, channels=1, consumers=1, acknowledges=True),
        )
    }


def test_consumers_of_one_channel_have_the_sum_of_their_prefetch_windows() -> None:
    """A worker in adaptive dispatch opens a further consumer for a larger window; those of a channel share one."""
    found = prefetch_windows(
        [
            *(consumer(size) for size in (1, 1, 2)),
            consumer(1, channel="other"),
            *(consumer(0, channel="whole") for _ in range(2)),
        ],
        [{"name": "whole", "global_prefetch_count": 4}],
    )

    assert found == {
        "q": (
            PrefetchWindow(window=1, channels=1, consumers=1, acknowledges=True),
            PrefetchWindow(window=4, channels=2, consumers=5, acknowledges=True),
        )
    }


@pytest.mark.parametrize(
    ("channels", "part"), [(1, "received before the dashboard listened"), (2, "the broker counts 2 consumers")]
)
def test_several_consumers_of_an_adaptive_worker_are_not_taken_for_silent_workers(channels: int, part: str) -> None:
    """Such a worker has one channel, and one consumer or more on it."""
    state = State(10)
    state.workers.update([Worker(name="w@h", slots=1, queues=("q",), dispatch="adaptive")], 0.0)
    depth = Depth(name="q", type="classic", ready=0, unacknowledged=5, consumers=7)
    window = PrefetchWindow(window=8, channels=channels, consumers=7, acknowledges=True)
    broker = BrokerState(time=60.0, depths={"q": depth}, windows={"q": (window,)})

    (queue,) = queue_statuses(state.history, state.workers, broker, lost=0, now=60.0)

    assert part in (queue.explanation or "")


def test_consumer_without_a_prefetch_window_has_none_where_channels_have_none() -> None:
    """RabbitMQ 4.3 lists only `prefetch_count` of a channel; a channel without any count is new, on every version."""
    found = prefetch_windows(
        [consumer(0, channel="listed"), consumer(0, channel="new")],
        [{"name": "listed", "prefetch_count": 0}, {"name": "new"}],
    )

    assert [window.window for window in found["q"]] == [0, None]


def test_malformed_answers_of_the_api_have_no_windows() -> None:
    """A proxy before the management API may answer anything."""
    odd: list[Any] = [None, {}, {"queue": "q"}, {"queue": {"name": "q"}, "prefetch_count": "many"}]

    assert prefetch_windows(odd, [None, {}, {"name": 7}]) == {
        "q": (PrefetchWindow(window=None, channels=1, consumers=1, acknowledges=False),)
    }


@pytest.mark.parametrize(
    ("dispatch", "window", "acknowledges", "part"),
    [
        ("fair", 0, True, "none of its consumers has a prefetch limit"),
        ("fair", 4, False, "none of its consumers acknowledges messages"),
        ("round-robin", 4, True, "all its consumers have a prefetch limit"),
        ("fair", 4, True, None),
        ("round-robin", 0, True, None),
        ("fair", None, True, None),
        ("other", 0, True, None),
    ],
)
def test_dispatch_mode_that_the_windows_contradict_is_noted(
    *, dispatch: str, window: int | None, acknowledges: bool, part: str | None
) -> None:
    """A worker may report fair and have no prefetch limit. Without known windows there is no note."""
    of_queue = (PrefetchWindow(window=window, channels=2, consumers=2, acknowledges=acknowledges),)

    notes = contradictions([("q", dispatch), ("elsewhere", dispatch)], {"q": of_queue})

    assert len(notes) == (part is not None)
    assert all((part or "") in note for note in notes)


@pytest.mark.parametrize(
    ("quiet_s", "held", "part"),
    [(1.0, 0, "ask for up to 8 messages"), (9.0, 0, "purged, expired"), (9.0, 2, "ask for up to 2 messages")],
    ids=["tasks run", "nothing runs", "nothing runs beside what it holds"],
)
def test_messages_that_an_adaptive_worker_has_in_advance_are_a_reason(quiet_s: float, held: int, part: str) -> None:
    """Its events do not tell of them, and its heartbeats do; while tasks run it may have as many as it asks for."""
    state = State(10)
    state.workers.update([Worker(name="w@h", slots=1, queues=("q",), dispatch="adaptive")], 0.0)
    state.workers.add_event(WorkerEvent("w@h", "heartbeat", 60.0, 1, 0, 2.0, AdaptiveCounts(8, held, 0)), 60.0)
    state.load([Attempt(task_id=id_, state="sent", queue="q", sent=60.0 - quiet_s) for id_ in "ab"], [], now=60.0)
    depth = Depth(name="q", type="classic", ready=0, unacknowledged=0, consumers=1)

    (queue,) = queue_statuses(
        state.history, state.workers, BrokerState(time=60.0, depths={"q": depth}), lost=0, now=60.0
    )

    assert part in (queue.explanation or "")


@pytest.mark.parametrize(("dispatch", "held"), [("fair", 2), ("round-robin", 1), (None, 1)])
def test_events_count_as_unacknowledged_what_the_dispatch_mode_leaves_unacknowledged(
    dispatch: str | None, held: int
) -> None:
    """With early acknowledgement only held tasks are unacknowledged; with late, running ones, too."""
    state = State(10)
    state.workers.update([Worker(name="w@h", slots=1, queues=("q",), dispatch=dispatch)], 0.0)
    state.load(
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

    (queue,) = queue_statuses(state.history, state.workers, BrokerState(time=9.0, depths={"q": depth}), lost=0, now=9.0)

    assert (queue.queue, queue.events, queue.explanation) == ("q", EventCount(ready=1, unacknowledged=held), None)


@pytest.mark.parametrize(
    ("nodes", "alarm"),
    [
        ([{"mem_alarm": False, "disk_free_alarm": False}, {"mem_alarm": True, "disk_free_alarm": False}], True),
        ([{"mem_alarm": False, "disk_free_alarm": True}], True),
        ([{"mem_alarm": False, "disk_free_alarm": False}], False),
        # A node of the cluster that is down is listed without them.
        ([{}], None),
        ([], None),
        ({"error": "not_authorised"}, None),
    ],
)
def test_alarm_of_one_node_blocks_all_publishers(nodes: object, *, alarm: bool | None) -> None:
    """Memory or disk; it is not known when the API does not tell."""
    assert has_alarm(nodes) is alarm
