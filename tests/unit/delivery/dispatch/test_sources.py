"""The consumers of a worker at the broker."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from amqp import spec
from kombu import Queue

from proj.delivery.dispatch.sources import MOST_CONSUMERS, Sources
from proj.queues import broadcast_queue


class Channel:
    """What was written to a channel."""

    def __init__(self) -> None:
        self.written: list[tuple[str, Any]] = []

    def basic_qos(self, *, prefetch_count: int, **_: object) -> None:
        self.written.append(("qos", prefetch_count))

    def send_method(self, method: object, _signature: str, words: tuple[Any, ...]) -> None:
        self.written.append(("qos", words[1]) if method is spec.Basic.Qos else ("cancel", words[0]))


class Consumed(Queue):
    """A queue that notes its consumers on the channel."""

    def consume(self, tag: str, *_: object, **__: object) -> None:
        self.noted.written.append(("consume", tag))


def task_consumer(*queues: Queue) -> Any:
    channel = Channel()
    for queue in queues:
        queue.noted = channel  # type: ignore[attr-defined]
    return SimpleNamespace(
        queues=list(queues),
        channel=channel,
        no_ack=False,
        tag_prefix="tag",
        _tags=count(),
        _active_tags={},
        _receive_callback=None,
    )


def prepared(*queues: Queue, prefetch: int = 1) -> tuple[Sources, Any]:
    consumer = task_consumer(*queues)
    consumer._active_tags.update({queue.name: f"kombu-{queue.name}" for queue in queues})  # noqa: SLF001 kombu's own
    sources = Sources()
    sources.prepare(consumer, {}, prefetch)
    sources.adopt()
    consumer.channel.written.clear()
    return sources, consumer


@pytest.mark.parametrize(
    "queue",
    [
        Queue("q", auto_delete=True),
        Queue("q", exclusive=True),
        Queue("q", no_ack=True),
        Queue("q", expires=60),
        Queue("q", queue_arguments={"x-expires": 60_000}),
        Queue("q", queue_arguments={"x-queue-type": "stream"}),
        Queue("q", queue_arguments={"x-single-active-consumer": True}),
        broadcast_queue("worker@host"),
    ],
    ids=["auto-delete", "exclusive", "no-ack", "expires", "x-expires", "stream", "single-active", "broadcast"],
)
def test_queue_whose_messages_may_not_return_is_left_alone(queue: Queue) -> None:
    """Its consumer is kombu's, and stays open: a queue that expires unused would be deleted behind a long task."""
    sources, _consumer = prepared(queue)

    assert sources.source_of(queue.name) is None


def test_prefetch_count_of_zero_is_refused() -> None:
    """RabbitMQ takes it for no limit."""
    sources, consumer = prepared(Consumed("q"))
    (source,) = sources

    with pytest.raises(ValueError, match="above 0, and not 0"):
        sources.open(source, 0)
    assert not consumer.channel.written


def test_consumers_of_a_queue_are_replaced_by_one_when_they_are_many() -> None:
    """Tasks with an ETA use up one after the other."""
    sources, consumer = prepared(Consumed("q"))
    (source,) = sources
    for _ in range(100):
        source.unsettled = source.prefetch
        sources.open(source, 1)

    opened = sum(what == "consume" for what, _ in consumer.channel.written)
    cancelled = sum(what == "cancel" for what, _ in consumer.channel.written)
    assert 1 + opened - cancelled == len(source.consumers) <= MOST_CONSUMERS


def test_consumer_that_the_broker_cancelled_is_forgotten_and_the_others_stay() -> None:
    """And it is cancelled here too: RabbitMQ 4.3.6 would send more over it."""
    sources, consumer = prepared(Consumed("q"))
    (source,) = sources
    sources.open(source, 3)

    sources.was_cancelled("kombu-q")

    assert source.consumers == {"tag0": 3}
    assert consumer._active_tags == {"q": "tag0"}  # noqa: SLF001 kombu's own
    assert consumer.channel.written[-1] == ("cancel", "kombu-q")


def test_queue_that_is_left_has_no_consumer_any_more() -> None:
    """`celery control cancel_consumer` knows one of them only."""
    sources, consumer = prepared(Consumed("q"), Consumed("other"))
    source = sources.source_of("q")
    assert source is not None
    sources.open(source, 3)

    sources.leave("q")

    assert {tag for what, tag in consumer.channel.written if what == "cancel"} == {"kombu-q", "tag0"}
    assert [each.queue.name for each in sources] == ["other"]


def test_smaller_window_takes_another_consumer_when_nothing_is_on_its_way() -> None:
    """A quorum queue would take that back, and count it. The next one is opened when few messages wait."""
    sources, consumer = prepared(Consumed("q"), prefetch=32)
    (source,) = sources
    sources.stream(16, 0, is_full=True)
    assert not consumer.channel.written

    source.unsettled = 32
    sources.stream(16, 0, is_full=True)
    assert consumer.channel.written == [("cancel", "kombu-q")]

    sources.stream(16, 0, is_full=True)
    assert not source.consumers

    sources.stream(16, 10, is_full=False)
    assert source.consumers == {"tag0": 16}


def test_first_message_after_the_broker_was_asked_tells_the_round_trip() -> None:
    """The others were on their way with it, or were asked for before it came."""
    sources, _consumer = prepared(Consumed("q"), prefetch=2)
    (source,) = sources

    assert [source.received("kombu-q"), source.received("kombu-q")] == [None, None]
    source.settled("kombu-q", 5.0)
    source.settled("kombu-q", 6.0)
    assert [source.received("kombu-q"), source.received("kombu-q")] == [5.0, None]
