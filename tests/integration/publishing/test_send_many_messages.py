"""The messages that `send_many` builds: those that Celery would publish."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import kombu
from celery import Celery, chain, group
from celery.signals import after_task_publish, before_task_publish
from kombu import Connection, Exchange, Queue

from proj.delivery.publishing.building.task_template import Call, TaskTemplate
from proj.delivery.send_many import send_many
from proj.lab.processes.waiting import wait_until

from .conftest import QUEUE
from .signatures import ids, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest
    from celery.canvas import Signature

    from proj.delivery.publishing.encoded_message import EncodedMessage
    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy

    Arrivals = Callable[..., Counter[str]]


def test_send_many_builds_messages_as_celery_does(new_app: Callable[..., Celery], broker: Broker, vhost: str) -> None:
    """Routes, headers, stamps, expiry, signals and results are Celery's own; chains and groups go too."""
    app = new_app(result_backend="rpc://", task_send_sent_event=True)
    url = broker.url(vhost)
    note = app.tasks["note"]
    seen: Counter[str] = Counter()

    def before(headers: dict[str, Any], **_: object) -> None:
        seen["before"] += 1
        headers["x-added"] = "by a signal"

    def after(**_: object) -> None:
        seen["after"] += 1

    with Connection(url) as connection:
        Queue("events", Exchange("celeryev", "topic"), "#")(connection.default_channel).declare()
    before_task_publish.connect(before)
    after_task_publish.connect(after)
    try:
        summary = send_many(
            [
                note.s("a").set(task_id="plain", priority=3, expires=60, ignore_result=True),
                chain(note.s("b"), note.s("c")),
                group(note.s("d"), note.s("e")),
            ],
            app=app,
        )
    finally:
        before_task_publish.disconnect(before)
        after_task_publish.disconnect(after)

    assert summary.confirmed == 4
    assert seen == {"before": 4, "after": 4}
    with Connection(url) as connection, connection.channel() as channel:
        first = channel.basic_get(QUEUE, no_ack=True)
        events = wait_until(lambda: channel.basic_get("events", no_ack=True), what="the events", timeout_s=60)
        assert channel.queue_declare(app.thread_oid, passive=True).queue
    assert first.properties["priority"] == 3
    assert first.properties["expiration"] == "60000"
    assert first.headers["x-added"] == "by a signal"
    assert (first.headers["id"], first.headers["ignore_result"]) == ("plain", True)
    assert [event["type"] for event in json.loads(events.body)] == ["task-sent"] * 4


def test_send_many_and_delay_send_the_same_messages(
    new_app: Callable[..., Celery], broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third task of a kind on, `send_many` builds the messages in Celery's place."""
    app = new_app(result_backend="rpc://", task_send_sent_event=True)
    note = app.tasks["note"]
    made: list[str] = []
    make = TaskTemplate.make

    def counted(template: TaskTemplate, call: Call) -> EncodedMessage:
        made.append(call.task_id)
        return make(template, call)

    monkeypatch.setattr(TaskTemplate, "make", counted)
    with Connection(broker.url(vhost)) as connection:
        Queue("events", Exchange("celeryev", "topic"), "#")(connection.default_channel).declare()

    def calls(kind: str) -> Iterator[Signature]:
        return (note.s(n, "ü" * n).set(task_id=f"{kind}-{n}", priority=3, shadow="s") for n in range(6))

    send_many(calls("same"), app=app)
    for signature in calls("same"):
        signature.apply_async()

    assert made == [f"same-{n}" for n in range(1, 6)]
    with Connection(broker.url(vhost)) as connection, connection.channel() as channel:
        got = [
            wait_until(lambda: channel.basic_get(QUEUE, no_ack=True), what="a task", timeout_s=60) for _ in range(12)
        ]
        many, *alone = [
            wait_until(lambda: channel.basic_get("events", no_ack=True), what="events", timeout_s=60) for _ in range(7)
        ]
    messages = [(message.properties, bytes(message.body.encode())) for message in got]
    assert messages[:6] == messages[6:]
    told = [
        [{**event, "clock": 0, "timestamp": 0} for event in events]
        for events in (json.loads(many.body), [json.loads(one.body) for one in alone])
    ]
    assert told[0] == told[1]


def test_send_many_builds_a_message_like_celery_after_a_lost_connection(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy
) -> None:
    """The queues are declared again first."""
    app = new_app(through=proxy, result_backend="rpc://")

    def breaking() -> Iterator[Signature]:
        for number, signature in enumerate(signatures(app, 90)):
            if number % 30 == 10:
                proxy.cut()
            yield signature

    summary = send_many(breaking(), app=app)

    assert summary.confirmed == 90
    assert set(arrivals()) == ids(90)


def test_send_many_declares_a_reply_queue_that_was_deleted_meanwhile(
    new_app: Callable[..., Celery], broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a second, without waiting for the answer."""
    monkeypatch.setattr("proj.delivery.publishing.reply_queue.DECLARED_FOR_S", 0)
    app = new_app(result_backend="rpc://")
    asked: list[bool] = []
    declare = kombu.Queue.declare

    def spy(queue: Queue, **options: Any) -> Any:
        if queue.name == app.thread_oid:
            asked.append(not options.get("nowait"))
        return declare(queue, **options)

    monkeypatch.setattr(kombu.Queue, "declare", spy)

    def deleting() -> Iterator[Signature]:
        for number, signature in enumerate(signatures(app, 20)):
            if number == 10:
                channel.queue_delete(app.thread_oid)
            yield signature

    with Connection(broker.url(vhost)) as connection, connection.channel() as channel:
        assert send_many(deleting(), app=app).confirmed == 20

        assert channel.queue_declare(app.thread_oid, passive=True).queue
    assert asked == [True] + [False] * 19
