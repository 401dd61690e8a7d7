"""`send_many` on a real broker: every task is confirmed, and only unconfirmed tasks are written again."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chain, group
from celery.signals import after_task_publish, before_task_publish
from kombu import Connection, Exchange, Queue

from proj.delivery.publishing.building.task_template import Call, TaskTemplate, TemplateMessage
from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.send_many import Progress, send_many
from proj.errors import ProjError, PublishRefused, QueueFull, Unconfirmed, Unroutable
from proj.lab.processes.ports import free_port
from proj.lab.processes.waiting import wait_until

from .conftest import QUEUE, make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery.canvas import Signature

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy

    Arrivals = Callable[..., Counter[str]]


def signatures(app: Celery, count: int, **options: Any) -> Iterator[Signature]:
    """Tasks with the ids "0", "1" and so on."""
    return (app.tasks["note"].s(number).set(task_id=str(number), **options) for number in range(count))


def ids(count: int) -> set[str]:
    return {str(number) for number in range(count)}


def test_send_many_returns_when_the_queue_has_every_task_once(app: Celery, arrivals: Arrivals) -> None:
    """It returns the last progress, and reports each id when the broker has confirmed it."""
    confirmed: list[str] = []
    told: list[Progress] = []

    summary = send_many(signatures(app, 500), app=app, on_confirmed=confirmed.append, on_progress=told.append)

    assert arrivals() == dict.fromkeys(ids(500), 1)
    assert (summary.confirmed, summary.in_flight, summary.republished, summary.refused) == (500, 0, 0, 0)
    assert set(confirmed) == ids(500)
    assert told[-1].confirmed == 500


def test_send_many_is_never_further_ahead_than_its_limit(app: Celery) -> None:
    """A generator of a million tasks needs no more memory than one of a hundred."""
    taken, ahead, confirmed = 0, [], [0]

    def lazily() -> Iterator[Signature]:
        nonlocal taken
        for signature in signatures(app, 300):
            taken += 1
            ahead.append(taken - confirmed[0])
            yield signature

    def count(_task_id: str) -> None:
        confirmed[0] += 1

    send_many(lazily(), app=app, in_flight=20, on_confirmed=count)

    assert confirmed == [300]
    assert max(ahead) <= 20


def test_send_many_writes_exactly_the_unconfirmed_again_after_a_broken_connection(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy
) -> None:
    """Every task arrives; only tasks that were unconfirmed when the connection broke may arrive twice."""
    app = new_app(through=proxy)
    confirmed: set[str] = set()
    at_break: list[set[str]] = []

    def breaking() -> Iterator[Signature]:
        for number, signature in enumerate(signatures(app, 600)):
            if number in {150, 400}:
                at_break.append(ids(number) - confirmed)
                proxy.cut()
            yield signature

    summary = send_many(breaking(), app=app, in_flight=100, on_confirmed=confirmed.add)

    found = arrivals()
    twice = {task_id for task_id, times in found.items() if times > 1}
    assert set(found) == confirmed == ids(600)
    assert twice <= at_break[0] | at_break[1]
    assert len(twice) <= summary.republished <= 200
    assert summary.republished > 0


def test_send_many_waits_for_a_full_queue(app: Celery, arrivals: Arrivals, policy: Callable[..., None]) -> None:
    """A task that got a nack is written again until the queue has room."""
    app.send_task("note")
    policy(**{"max-length": 10, "overflow": "reject-publish"})
    found: Counter[str] = Counter()
    done = threading.Event()

    def drain() -> None:
        while not done.is_set():
            found.update(arrivals())

    drainer = threading.Thread(target=drain, daemon=True)
    drainer.start()
    summary = send_many(signatures(app, 200), app=app, in_flight=50)
    done.set()
    drainer.join(timeout=20)
    found.update(arrivals())

    assert ids(200) <= set(found)
    assert set(found.values()) == {1}
    assert summary.nacked > 0


def test_send_many_names_the_tasks_that_a_full_queue_rejected(
    app: Celery, arrivals: Arrivals, policy: Callable[..., None]
) -> None:
    """After the deadline: how many, the first ids in the text and all in `task_ids`. All others have arrived."""
    app.send_task("note", task_id="first")
    policy(**{"max-length": 5, "overflow": "reject-publish"})

    with pytest.raises(QueueFull, match=r"rejected \d+ tasks .*nack from .* accepted [45] others\.") as caught:
        send_many(signatures(app, 30), app=app, timeout_s=1)

    missing = set(caught.value.task_ids)
    assert set(arrivals()) - {"first"} == ids(30) - missing
    assert len(missing) in {25, 26}
    app.send_task("note", task_id="later")
    assert set(arrivals()) == {"later"}


def test_send_many_names_the_unconfirmed_tasks_after_the_deadline(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that were written and got no answer may have arrived."""
    app.send_task("note")
    monkeypatch.setattr(ConfirmChannel, "_settle", lambda *_, **__: None)

    with pytest.raises(Unconfirmed, match=r"^RabbitMQ did not confirm 30 tasks \(.*\) within 1 s") as caught:
        send_many(signatures(app, 30), app=app, timeout_s=1)

    assert set(caught.value.task_ids) == ids(30)


def test_send_many_without_a_broker_ends_at_the_deadline_that_it_was_given() -> None:
    """The given timeout holds, not the app's own, which is for a task that is sent alone."""
    app = make_app(f"amqp://127.0.0.1:{free_port()}//")
    begun = time.monotonic()

    with pytest.raises(Unconfirmed, match=" within 1 s"):
        send_many(signatures(app, 3), app=app, timeout_s=1)

    assert time.monotonic() - begun < 10


def test_send_many_raises_unconfirmed_for_tasks_that_may_have_arrived_although_the_queue_is_full(
    app: Celery, policy: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after they were written; a nack of the second attempt says nothing about the first."""
    app.send_task("note")
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    drain = ConfirmChannel.drain
    first: list[ConfirmChannel] = []

    def lose(channel: ConfirmChannel, timeout_s: float) -> bool:
        if channel.in_flight and (channel in first or not first):
            first.append(channel)
            raise ConnectionResetError("lost")
        return drain(channel, timeout_s)

    monkeypatch.setattr(ConfirmChannel, "drain", lose)

    with pytest.raises(Unconfirmed, match="did not confirm 5 tasks"):
        send_many(signatures(app, 5), app=app, timeout_s=1)


def test_send_many_refuses_a_header_that_cannot_be_encoded_and_sends_all_others(
    app: Celery, arrivals: Arrivals
) -> None:
    """The error names the one task."""

    def mixed() -> Iterator[Signature]:
        for number, signature in enumerate(signatures(app, 50)):
            yield signature.set(headers={"x-object": object()}) if number == 20 else signature

    with pytest.raises(PublishRefused, match="Task 20 cannot be encoded"):
        send_many(mixed(), app=app)

    assert arrivals() == dict.fromkeys(ids(50) - {"20"}, 1)


def test_send_many_does_not_blame_the_broker_for_a_slow_source(app: Celery, arrivals: Arrivals) -> None:
    """Time spent in the generator does not count towards the deadline."""

    def slowly() -> Iterator[Signature]:
        for signature in signatures(app, 3):
            yield signature
            threading.Event().wait(0.5)

    assert send_many(slowly(), app=app, timeout_s=0.3).confirmed == 3
    assert set(arrivals()) == ids(3)


@pytest.mark.parametrize("wrong", [{"routing_key": "nobody"}, {"exchange": "nowhere"}])
def test_send_many_names_the_unroutable_tasks_and_sends_all_others(
    app: Celery, arrivals: Arrivals, wrong: dict[str, str]
) -> None:
    """Also when the broker closes the channel because of one task and does not say which.

    Where a binding may take effect late, they are tried for a second, and are refused in any order.
    """
    app.send_task("note", task_id="first")

    def mixed() -> Iterator[Signature]:
        for number, signature in enumerate(signatures(app, 200)):
            if number in {20, 120}:
                signature.set(**{"exchange": "publishing", "routing_key": QUEUE, **wrong})
            yield signature

    with pytest.raises(Unroutable, match=r"did not accept task (20|120):") as caught:
        send_many(mixed(), app=app)

    assert set(caught.value.task_ids) == {"20", "120"}
    assert set(arrivals()) == {"first"} | ids(200) - {"20", "120"}


def test_senders_that_bind_the_same_queue_at_once_reach_it(new_app: Callable[..., Celery], arrivals: Arrivals) -> None:
    """RabbitMQ 4.0 tells all but the first that the queue is bound before its exchange routes to it."""
    barrier = threading.Barrier(10)
    apps = [new_app() for _ in range(barrier.parties)]

    def send(app: Celery) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            ConfirmChannel.for_connection(producer.connection)
        barrier.wait()
        send_many((app.tasks["note"].s(number) for number in range(20)), app=app)

    threads = [threading.Thread(target=send, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sum(arrivals().values()) == 20 * len(apps)


def test_send_many_confirms_what_came_before_an_error_of_its_source(app: Celery, arrivals: Arrivals) -> None:
    """It raises that error when they are confirmed."""

    def failing() -> Iterator[Signature]:
        yield from signatures(app, 50)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        send_many(failing(), app=app)

    assert set(arrivals()) == ids(50)


def test_send_many_raises_an_error_of_its_callback_after_all_taken_tasks_are_confirmed_once(
    app: Celery, arrivals: Arrivals
) -> None:
    """An OSError too, as of a broken pipe: it is not taken for an error of the connection, so no task arrives twice.

    The callback is not called again, and no more tasks are taken.
    """
    told: list[str] = []
    taken = 0

    def counted() -> Iterator[Signature]:
        nonlocal taken
        for signature in signatures(app, 5000):
            taken += 1
            yield signature

    def break_at_the_third(task_id: str) -> None:
        told.append(task_id)
        if len(told) == 3:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        send_many(counted(), app=app, in_flight=100, on_confirmed=break_at_the_third)

    assert len(told) == 3
    assert arrivals() == dict.fromkeys(ids(taken), 1)
    assert taken < 5000


def test_send_many_does_not_blame_the_broker_for_a_slow_callback(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time spent in the callback does not count towards the deadline; a connection lost meanwhile is made again."""
    monkeypatch.setattr("proj.delivery.send_many.PROGRESS_EVERY_S", 0)
    app = new_app(through=proxy)
    cut: list[int] = []

    def slowly(now: Progress) -> None:
        if now.in_flight and not cut:
            cut.append(proxy.cut())
            threading.Event().wait(6)

    summary = send_many(signatures(app, 10), app=app, timeout_s=5, on_progress=slowly)

    assert cut == [1]
    assert summary.confirmed == 10
    assert set(arrivals()) == ids(10)


def test_send_many_refuses_a_declaration_that_the_broker_refuses(app: Celery, broker: Broker, vhost: str) -> None:
    """The error says which argument differs, at once."""
    with Connection(broker.url(vhost)) as connection:
        Queue(QUEUE, Exchange("publishing", "topic"), QUEUE, max_length=5)(connection.default_channel).declare()

    with pytest.raises(PublishRefused, match="exists with x-max-length=5, but is declared with no x-max-length"):
        send_many(signatures(app, 5), app=app)


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
        events = wait_until(lambda: channel.basic_get("events", no_ack=True), what="the events", timeout_s=5)
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

    def counted(template: TaskTemplate, call: Call) -> TemplateMessage:
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
        got = [wait_until(lambda: channel.basic_get(QUEUE, no_ack=True), what="a task", timeout_s=9) for _ in range(12)]
        many, *alone = [
            wait_until(lambda: channel.basic_get("events", no_ack=True), what="events", timeout_s=9) for _ in range(7)
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


def test_send_many_asks_for_an_app_that_confirms() -> None:
    """An app without confirms could lose tasks, so it is refused."""
    with pytest.raises(ProjError, match="call confirm_publishing"):
        send_many([], app=Celery("stock", set_as_current=False))
