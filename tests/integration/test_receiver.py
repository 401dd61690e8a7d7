"""The receiver that the dashboard and the lab share, with malformed messages on a real broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.events.event import get_exchange
from kombu import Connection

from proj.journal.recording.listener import Listener
from proj.journal.recording.receiver import Receiver
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

#: JSON bodies that are not events.
NO_EVENTS: tuple[Any, ...] = (
    *(5, "text", None, [], [[]], [None, 5], {}, {"type": None}, {"type": ["x"]}),
    *({"type": {}, "clock": 1}, [{"uuid": "x"}]),
)
#: Bodies with a content type and an encoding that are wrong.
UNREADABLE = (
    (b"{not json", "application/json", "utf-8"),
    (b"\xff\xfe", "application/json", "utf-8"),
    (b"{}", "application/json", "no-such-coding"),
    (b"\x80\x04", "application/x-python-serialize", "binary"),
    (b"{}", "application/x-unheard-of", "utf-8"),
    (b"[" * 100_000, "application/json", "utf-8"),
    (b"", "", ""),
)


def publish(url: str, *bodies: Any, **options: Any) -> None:
    with Connection(url) as connection:
        producer = connection.Producer(exchange=get_exchange(connection))
        for body in bodies:
            producer.publish(body, routing_key="task.multi", delivery_mode=1, **options)


def publish_malformed(url: str) -> None:
    publish(url, *NO_EVENTS, serializer="json")
    for body, content_type, coding in UNREADABLE:
        publish(url, body, content_type=content_type, content_encoding=coding)
    publish(url, b"no gzip", content_type="application/json", content_encoding="utf-8", headers={"compression": "gzip"})


def event(task_id: str, kind: str = "received", **more: object) -> dict[str, Any]:
    return {"type": f"task-{kind}", "uuid": task_id, "timestamp": time.time(), "hostname": "w@h", **more}


@pytest.fixture
def app(broker: Broker, vhost: str) -> Celery:
    return Celery("theirs", broker=broker.url(vhost), set_as_current=False)


def received(app: Celery, publish: Callable[[], None], *, last: str) -> list[Any]:
    """The events that the handler gets while `publish` runs, up to that of the task `last`."""
    found: list[Any] = []
    with app.connection_for_read() as connection:

        def take(event: Any) -> None:
            found.append(event)
            receiver.should_stop = event is not None and event.get("uuid") == last

        receiver = Receiver(connection, app=app, handlers={"*": take}, on_ready=publish)
        receiver.capture(limit=None, timeout=20, wakeup=False)
    return found


def test_receiver_survives_malformed_messages(app: Celery, broker: Broker, vhost: str) -> None:
    """Celery's own receiver ends at the first event without a type, and its queue is deleted."""

    def malformed_then_event() -> None:
        publish_malformed(broker.url(vhost))
        publish(broker.url(vhost), [event("a"), 5, event("b")], serializer="json")

    found = received(app, malformed_then_event, last="b")

    # Each entry of a list counts as an event.
    malformed = sum(len(body) if isinstance(body, list) else 1 for body in NO_EVENTS)
    assert [one and one["uuid"] for one in found] == [*[None] * (malformed + len(UNREADABLE) + 1), "a", None, "b"]


def test_receiver_keeps_timestamps_and_replaces_forged_clocks(app: Celery, broker: Broker, vhost: str) -> None:
    """Celery would shift the time by the offset, and send a forged clock to all workers with our next message."""
    clock = app.clock.value
    hostile = (event(str(number), timestamp=1000.0, utcoffset=-5, clock=forged) for number, forged in enumerate(FORGED))

    found = received(
        app, lambda: publish(broker.url(vhost), *hostile, event("z", utcoffset="x"), serializer="json"), last="z"
    )

    assert {one["timestamp"] for one in found[:-1]} == {1000.0}
    assert all(type(one["clock"]) is int and 0 <= one["clock"] < 2**54 for one in found)
    assert app.clock.value == clock


FORGED = (None, "x", -1, 1.5, True, [], 10**400, 2**53, 2**53 - 1)


def test_listener_keeps_attempts_between_malformed_messages(app: Celery, broker: Broker, vhost: str) -> None:
    """The lab's runs and the demo use the same receiver."""
    with Listener(app, app.connection_for_read()) as listener:
        publish_malformed(broker.url(vhost))
        publish(broker.url(vhost), event("t", timestamp=1000.0, utcoffset=5), serializer="json")
        wait_until(lambda: bool(list(listener.attempts)), what="the attempt", timeout_s=60)

        (attempt,) = listener.attempts

    assert (attempt.task_id, attempt.received) == ("t", 1000.0)
