"""`delay` and its kin on a real broker: each returns when the broker has the task, or raises."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, chain, group
from celery.app.task import Context
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.signals import before_task_publish
from kombu import Connection, Exchange, Queue
from kombu.exceptions import EncodeError, OperationalError

from proj.delivery.publishing.confirm_channel import ConfirmChannel
from proj.delivery.publishing.confirm_publishing import close_publishing
from proj.errors import PublishRefused, QueueFull, Unconfirmed, Unroutable
from proj.lab.processes.ports import free_port
from proj.lab.processes.waiting import wait_until

from .conftest import QUEUE, make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy

Arrivals = "Callable[..., Counter[str]]"
#: Seconds for what comes at once, on a busy machine; a publish is tried for ninety.
AT_ONCE_S = 30


def in_threads(count: int, work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()


def test_delay_returns_when_the_queue_has_the_task(app: Celery, arrivals: Arrivals) -> None:
    """Alone, by name, in a group and as the first of a chain."""
    note = app.tasks["note"]

    alone = note.delay("x")
    named = app.send_task("note", ("x",))
    both = group(note.s("a"), note.s("b")).delay()
    chain(note.si("first"), note.si("second"))()

    found = arrivals()
    assert {alone.id, named.id, both[0].id, both[1].id} <= set(found)
    assert sum(found.values()) == 5


def test_delay_opens_another_connection_after_the_publishing_was_closed(app: Celery, arrivals: Arrivals) -> None:
    """After `close_publishing`, as before a fork, the app can be used again."""
    app.tasks["note"].delay("before")
    close_publishing(app)

    after = app.tasks["note"].delay("after")

    assert arrivals()[after.id] == 1


def test_app_that_was_closed_has_no_connection(app: Celery) -> None:
    """`close_publishing` is not needed; Celery's own `close` does it, and closes that for results too."""
    app.conf.result_backend = "rpc://"
    sent = app.tasks["note"].delay()
    with app.producer_pool.acquire(block=True) as producer:
        connection = producer.connection
    with pytest.raises(CeleryTimeoutError):
        sent.get(timeout=0.1)
    for_results = app.backend.result_consumer._connection  # noqa: SLF001 Celery has no public name for it
    assert connection.connected
    assert for_results.connected

    app.close()

    assert not connection.connected
    assert not for_results.connected


def test_result_that_was_awaited_before_the_app_was_closed_comes_afterwards(app: Celery) -> None:
    """Over another connection."""
    app.conf.result_backend = "rpc://"
    sent = app.tasks["note"].delay()
    with pytest.raises(CeleryTimeoutError):
        sent.get(timeout=0.1)
    app.close()
    # It declares its queue again, which the broker deleted with the connection.
    with pytest.raises(CeleryTimeoutError):
        sent.get(timeout=0.1)

    caller = Context(reply_to=app.thread_oid, correlation_id=sent.id)
    app.backend.store_result(sent.id, 3, "SUCCESS", request=caller)

    assert sent.get(timeout=AT_ONCE_S) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"exchange": "publishing", "routing_key": "nobody"},
            "RabbitMQ did not accept task the-id: no queue is bound to exchange 'publishing' with routing key 'nobody'",
        ),
        ({"exchange": "nowhere", "routing_key": QUEUE}, "no exchange 'nowhere'"),
    ],
)
def test_unroutable_task_is_an_error_at_once(
    app: Celery, arrivals: Arrivals, options: dict[str, str], sentence: str
) -> None:
    """The error names the id and comes before any retry; the next task is published as usual."""
    begun = time.monotonic()

    with pytest.raises(Unroutable, match=sentence) as caught:
        app.send_task("note", task_id="the-id", **options)

    assert time.monotonic() - begun < AT_ONCE_S
    assert "the-id" in str(caught.value)
    fine = app.send_task("note")
    assert set(arrivals()) == {fine.id}


def test_unroutable_task_is_no_error_when_it_is_not_mandatory(app: Celery) -> None:
    """`mandatory=False` is AMQP's own option: no queue at all is fine."""
    app.send_task("note")

    app.send_task("note", exchange="publishing", routing_key="nobody", mandatory=False)


def test_task_for_a_queue_that_exists_with_other_arguments_is_refused_at_once(
    app: Celery, broker: Broker, vhost: str
) -> None:
    """The error says which argument differs; there is no retry, because it would fail in the same way."""
    with Connection(broker.url(vhost)) as connection:
        Queue(QUEUE, Exchange("publishing", "topic"), QUEUE, max_length=5)(connection.default_channel).declare()
    begun = time.monotonic()

    with pytest.raises(PublishRefused, match=r"RabbitMQ did not accept task the-id: the queue .* no x-max-length"):
        app.send_task("note", task_id="the-id")

    assert time.monotonic() - begun < AT_ONCE_S


def test_task_that_cannot_be_encoded_raises_celerys_own_error(app: Celery) -> None:
    """The EncodeError of kombu, at once."""
    with pytest.raises(EncodeError):
        app.tasks["note"].delay(object())


def test_task_without_a_broker_raises_unconfirmed_after_the_deadline() -> None:
    """The error names the id, and it is the OperationalError that users of Celery catch already."""
    app = make_app(f"amqp://127.0.0.1:{free_port()}//", proj_publish_timeout_s=1.0)
    begun = time.monotonic()

    with pytest.raises(Unconfirmed, match=r"did not confirm task the-id within 1 s .* may or may not") as caught:
        app.send_task("note", task_id="the-id")

    assert 1 <= time.monotonic() - begun < AT_ONCE_S
    assert isinstance(caught.value, OperationalError)
    assert caught.value.task_ids == ("the-id",)


def test_task_that_is_not_to_be_retried_raises_at_once_without_a_broker() -> None:
    """`retry=False` is Celery's own."""
    app = make_app(f"amqp://127.0.0.1:{free_port()}//")
    begun = time.monotonic()

    with pytest.raises(Unconfirmed):
        app.send_task("note", retry=False)

    assert time.monotonic() - begun < AT_ONCE_S


def test_task_for_a_full_queue_waits_for_room(app: Celery, arrivals: Arrivals, policy: Callable[..., None]) -> None:
    """A nack of the broker is retried, and the task arrives when the queue has room."""
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    first = app.send_task("note")
    waiting = threading.Thread(target=app.send_task, args=("note",), kwargs={"task_id": "second"}, daemon=True)

    waiting.start()
    waiting.join(timeout=0.5)
    was_waiting = waiting.is_alive()
    found = arrivals()
    waiting.join(timeout=60)

    assert was_waiting
    assert set(found) == {first.id}
    assert set(arrivals()) == {"second"}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
def test_task_for_a_queue_that_stays_full_raises_queue_full(
    new_app: Callable[..., Celery], arrivals: Arrivals, policy: Callable[..., None], queue_type: str
) -> None:
    """Before the publish deadline. The broker does not have the task, so it can be sent again and arrives once."""
    app = new_app(proj_queue_full_timeout_s=0.5, queue_type=queue_type)
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    # A quorum queue takes one or two beyond its limit.
    there = fill(app)
    begun = time.monotonic()

    with pytest.raises(QueueFull, match=r"rejected task the-id for .* a queue is probably full") as caught:
        app.send_task("note", task_id="the-id")

    assert 0.5 <= time.monotonic() - begun < AT_ONCE_S
    assert "(nack from exchange 'publishing', routing key 'publishing')" in str(caught.value)
    assert caught.value.task_ids == ("the-id",)
    assert set(arrivals()) == there
    app.send_task("note", task_id="the-id")
    assert arrivals() == {"the-id": 1}


def fill(app: Celery) -> set[str]:
    """The ids of the tasks that fill the queue."""
    found = set()
    while True:
        try:
            found.add(app.send_task("note", retry=False).id)
        except QueueFull:  # noqa: PERF203 the last one fails
            return found


def test_queue_full_is_an_operational_error_and_a_refused_publish(app: Celery, policy: Callable[..., None]) -> None:
    """Users of Celery catch the first, users of proj the second; `retry=False` does not wait at all."""
    app.send_task("note")
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    fill(app)

    for kind in (OperationalError, PublishRefused):
        with pytest.raises(kind):
            app.send_task("note", retry=False)


def test_task_that_may_have_arrived_raises_unconfirmed_and_not_queue_full(
    new_app: Callable[..., Celery], policy: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after the first attempt was written; a nack of the second says nothing about the first."""
    app = new_app(proj_publish_timeout_s=1.0, proj_queue_full_timeout_s=0.3)
    app.send_task("note")
    policy(**{"max-length": 1, "overflow": "reject-publish"})
    fill(app)
    waits = ConfirmChannel._wait_for  # noqa: SLF001 where the answer would come
    lost = iter([True])

    def lose(channel: Any, publish: Any, timeout_s: float | None) -> None:
        if next(lost, False):
            raise ConnectionResetError("lost")
        waits(channel, publish, timeout_s)

    monkeypatch.setattr(ConfirmChannel, "_wait_for", lose)

    with pytest.raises(Unconfirmed, match="did not confirm task the-id"):
        app.send_task("note", task_id="the-id")


@pytest.mark.parametrize("fault", ["cut", "freeze"])
def test_every_delay_returns_when_connections_are_lost(
    new_app: Callable[..., Celery], arrivals: Arrivals, proxy: Proxy, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reset, or silent: every task arrives; at most the one that each thread was sending arrives twice."""
    monkeypatch.setattr("proj.delivery.publishing.confirm_channel.SILENCE_S", 0.5)
    app = new_app(through=proxy, broker_transport_options={"read_timeout": 1, "write_timeout": 1})
    sent: list[str] = []
    faults = iter([60, 120])

    def publish() -> None:
        sent.extend(app.send_task("note").id for _ in range(50))

    def strike() -> None:
        for size in faults:
            wait_until(lambda size=size: len(sent) >= size, what=f"{size} tasks to be sent", timeout_s=60)  # type: ignore[misc] # a default for the loop's value
            getattr(proxy, fault)()

    striker = threading.Thread(target=strike, daemon=True)
    striker.start()
    in_threads(4, publish)
    striker.join()

    found = arrivals()
    assert set(sent) == set(found)
    assert len(sent) == 200
    assert sum(found.values()) - len(found) <= 2 * 4


@pytest.mark.parametrize("limit", [1, 2, None])
def test_threads_that_publish_while_they_publish_never_wait_for_each_other(
    new_app: Callable[..., Celery], arrivals: Arrivals, limit: int | None
) -> None:
    """A handler of `before_task_publish` that sends a task needs a second producer, also from a small pool."""
    app = new_app(broker_pool_limit=limit)

    def also(sender: str, **_: object) -> None:
        if sender == "note":
            app.send_task("other")

    before_task_publish.connect(also)
    try:
        in_threads(6, lambda: app.send_task("note"))
    finally:
        before_task_publish.disconnect(also)

    assert sum(arrivals().values()) == 12


def test_publish_without_a_free_producer_raises_unconfirmed_after_the_deadline(new_app: Callable[..., Celery]) -> None:
    """The error says how many producers there are."""
    app = new_app(broker_pool_limit=1, proj_publish_timeout_s=0.3)
    errors: list[BaseException] = []

    def publish() -> None:
        try:
            app.send_task("note")
        except Unconfirmed as error:
            errors.append(error)

    with app.producer_pool.acquire():
        in_threads(1, publish)

    assert "all 1 producers of this process were in use for 0.3 s" in str(errors[0])


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The exchange of each message that is written in confirm mode."""
    exchanges: list[str] = []
    write = ConfirmChannel.write

    def spy(channel: Any, publish: Any) -> int:
        exchanges.append(publish.exchange)
        return write(channel, publish)

    monkeypatch.setattr(ConfirmChannel, "write", spy)
    return exchanges


def test_event_that_a_task_was_sent_costs_no_confirm(
    new_app: Callable[..., Celery], arrivals: Arrivals, broker: Broker, vhost: str, written: list[str]
) -> None:
    """The event is sent too, on a channel of its own."""
    app = new_app(task_send_sent_event=True)
    with Connection(broker.url(vhost)) as connection:
        channel = connection.default_channel
        Queue("events", Exchange("celeryev", "topic"), "#")(channel).declare()

    ids = {app.send_task("note").id for _ in range(3)}

    assert written == ["publishing"] * 3
    assert set(arrivals()) == ids
    with Connection(broker.url(vhost)) as connection, connection.channel() as channel:
        wait_until(
            lambda: channel.queue_declare("events", passive=True).message_count == 3,
            what="three events",
            timeout_s=5,
        )


def test_result_over_the_broker_is_confirmed_before_the_task_is_acknowledged(
    new_app: Callable[..., Celery], broker: Broker, vhost: str, written: list[str]
) -> None:
    """Storing a result returns when the broker has it, and no event or reply shares its channel."""
    app = new_app(result_backend="rpc://", result_persistent=True)
    with Connection(broker.url(vhost)) as connection:
        Queue("reply", durable=True)(connection.default_channel).declare()

        class Request:
            reply_to = "reply"
            correlation_id = "the-id"

        app.backend.store_result("the-id", 1, "SUCCESS", request=Request())

        assert connection.default_channel.basic_get("reply", no_ack=True).properties["correlation_id"] == "the-id"
    assert written == [""]


@pytest.mark.parametrize("options", [{"countdown": 0.5}, {"countdown": 1}])
def test_delayed_task_reaches_a_quorum_queue_that_no_worker_has_prepared(
    new_app: Callable[..., Celery], arrivals: Arrivals, options: dict[str, float]
) -> None:
    """Not before its time. Less than a second, which Celery refuses, becomes one second."""
    app = new_app(queue_type="quorum")

    sent = app.send_task("note", **options)

    begun = time.monotonic()
    assert wait_until(arrivals, what="the task", timeout_s=60) == {sent.id: 1}
    assert time.monotonic() - begun >= 0.5
