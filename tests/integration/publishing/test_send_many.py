"""`send_many` on a real broker: every task is confirmed, and only unconfirmed tasks are written again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.send_many import Progress, send_many
from proj.errors import ProjError, PublishRefused, QueueFull, Unconfirmed, Unroutable
from proj.lab.processes.ports import free_port

from .conftest import QUEUE, make_app
from .signatures import ids, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celery.canvas import Signature

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy

    Arrivals = Callable[..., Counter[str]]


def test_send_many_returns_when_the_queue_has_every_task_once(app: Celery, arrivals: Arrivals) -> None:
    """It returns the last progress, and reports each id when the broker has confirmed it."""
    confirmed: list[str] = []
    told: list[Progress] = []

    summary = send_many(signatures(app, 500), app=app, on_confirmed=confirmed.append, on_progress=told.append)

    assert arrivals() == dict.fromkeys(ids(500), 1)
    assert (summary.confirmed, summary.in_flight, summary.republished, summary.refused) == (500, 0, 0, 0)
    assert set(confirmed) == ids(500)
    assert told[-1].confirmed == 500


def test_declaration_on_a_connection_that_is_open_at_one_end_only_is_made_on_another_one(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy
) -> None:
    """The broker does not answer it, and the connection does not say that it is lost."""
    app = new_app(
        through=proxy,
        broker_transport_options={"read_timeout": 0.5, "write_timeout": 0.5},
        proj_publish_timeout_s=20.0,
    )
    app.conf.task_queues = [*app.conf.task_queues, Queue("next", Exchange("publishing", "topic"), "next")]
    send_many(signatures(app, 10), app=app)
    proxy.freeze()

    summary = send_many((each.set(queue="next") for each in signatures(app, 10)), app=app)

    assert summary.confirmed == 10
    assert arrivals("next") == dict.fromkeys(ids(10), 1)


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


def test_send_many_keeps_its_connection_while_the_broker_reads_nothing_for_some_seconds(
    app: Celery, arrivals: Arrivals, broker: Broker
) -> None:
    """A slow disk, or an alarm: py-amqp lets the kernel end such a connection after a second, and all is sent again."""
    go_on = threading.Timer(2.5, os.kill, (broker.pid, signal.SIGCONT))

    def large() -> Iterator[Signature]:
        for number in range(40):
            if number == 10:
                os.kill(broker.pid, signal.SIGSTOP)
                go_on.start()
            yield app.signature("note", ("x" * 1_000_000,), task_id=str(number))

    try:
        summary = send_many(large(), app=app)
    finally:
        go_on.cancel()
        os.kill(broker.pid, signal.SIGCONT)

    assert (summary.confirmed, summary.republished) == (40, 0)
    assert sum(arrivals().values()) == 40


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
    drainer.join(timeout=60)
    found.update(arrivals())

    assert ids(200) <= set(found)
    assert set(found.values()) == {1}
    assert summary.nacked > 0


@pytest.mark.parametrize("way", ["send_many", "delay"])
def test_publisher_goes_on_when_the_limit_of_a_full_queue_is_removed(
    new_app: Callable[..., Celery], policy: Callable[..., None], way: str
) -> None:
    """RabbitMQ 3.10 lets a channel that it has refused go on only when the queue drains below the limit."""
    app = new_app(queue_type="quorum", proj_publish_timeout_s=20.0, proj_queue_full_timeout_s=None)
    send_many(signatures(app, 30), app=app)
    policy(**{"max-length": 5, "overflow": "reject-publish"})
    with suppress(QueueFull):
        # The first nack comes after some confirms.
        send_many(signatures(app, 30), app=app, timeout_s=0.5)
    removal = threading.Timer(1.0, policy, kwargs={"overflow": "reject-publish"})
    removal.start()

    if way == "send_many":
        assert send_many(signatures(app, 30), app=app).nacked > 0
    else:
        app.send_task("note", task_id="the last")
    removal.join()


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


def test_full_queue_lets_no_task_change_nodes(
    broker: Broker,
    vhost: str,
    new_app: Callable[..., Celery],
    policy: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A broker that rejects everything answers, so the error says that the queue is full, also with several URLs."""
    monkeypatch.setattr("proj.delivery.publishing.confirm_channel.SILENCE_S", 2.0)
    app = new_app(broker_url=";".join([broker.url(vhost)] * 2))
    app.send_task("note", task_id="first")
    policy(**{"max-length": 5, "overflow": "reject-publish"})
    with pytest.raises(QueueFull):
        send_many(signatures(app, 3000), app=app, timeout_s=4)


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

    with pytest.raises(PublishRefused, match=r"Task 20 cannot be published: its header 'x-object' is <object"):
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


def test_send_many_asks_for_an_app_that_confirms() -> None:
    """An app without confirms could lose tasks, so it is refused."""
    with pytest.raises(ProjError, match="call confirm_publishing"):
        send_many([], app=Celery("stock", set_as_current=False))
