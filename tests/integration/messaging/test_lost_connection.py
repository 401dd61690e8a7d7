"""Message queues when the connection is lost: closed by the broker, cut, half-open, or silent."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.errors import DeadlinePassed
from proj.lab.processes.waiting import wait_until
from tests.integration.messaging.conftest import TIMEOUT_S, through

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker
    from proj.lab.processes.proxy import Proxy
    from proj.messaging import Message
    from tests.integration.messaging.conftest import Queues


def close_connections(broker: Broker, vhost: str) -> int:
    """Close all connections that the management API lists; its list is some seconds late."""
    names = [row["name"] for row in broker.management.request("GET", f"vhosts/{vhost}/connections")]
    for name in names:
        broker.management.request("DELETE", f"connections/{quote(name, safe='')}")
    return len(names)


def test_consumer_and_publisher_go_on_when_the_broker_closes_their_connections(
    quorum: Queues, broker: Broker, vhost: str, running: Callable[..., Any]
) -> None:
    """No message is lost, and only the current one is worked on twice."""
    published: list[str] = []
    seen: list[str] = []
    ending = threading.Event()
    queue, consumer = quorum(), quorum()
    consumer.register(lambda message: (seen.append(message.text), ending.wait(0.02)))

    def publish() -> None:
        while not ending.wait(0.02):
            queue.publish(text := str(len(published)))
            published.append(text)

    publisher = threading.Thread(target=publish)
    with running(consumer):
        publisher.start()
        closed = wait_until(lambda: close_connections(broker, vhost), what="connections", timeout_s=TIMEOUT_S)
        before = len(published)
        wait_until(lambda: len(published) > before + 10, what="the publisher to go on", timeout_s=TIMEOUT_S)
        ending.set()
        publisher.join(TIMEOUT_S)
        wait_until(lambda: set(published) <= set(seen), what="every message", timeout_s=TIMEOUT_S)
        wait_until(lambda: quorum.ready() == 0, what="an empty queue", timeout_s=TIMEOUT_S)

    assert closed
    # One that the consumer worked on, and one that the publisher was publishing.
    assert len(seen) - len(set(seen)) <= 2


def test_consumer_that_starts_before_the_broker_waits_for_it(
    quorum: Queues, proxy: Proxy, running: Callable[..., Any]
) -> None:
    """It works on messages as soon as the broker answers."""
    proxy.refuse()
    seen: list[str] = []
    consumer = quorum(url=through(proxy, quorum))
    consumer.register(lambda message: seen.append(message.text))
    quorum().publish("first")
    with running(consumer):
        wait_until(lambda: proxy.refused > 2, what="three attempts", timeout_s=TIMEOUT_S)
        proxy.admit()
        wait_until(lambda: seen, what="the message", timeout_s=TIMEOUT_S)

    assert seen == ["first"]


def test_message_whose_connection_is_lost_while_its_handler_works_is_delivered_again(
    quorum: Queues, proxy: Proxy, running: Callable[..., Any]
) -> None:
    """It cannot be acknowledged any more; the consumer connects again."""
    seen: list[bool] = []
    consumer = quorum(url=through(proxy, quorum))

    def work(message: Message) -> None:
        if not seen:
            proxy.cut()
            wait_until(lambda: quorum.ready() > 0, what="the broker to take it back", timeout_s=TIMEOUT_S)
        seen.append(message.redelivered)

    consumer.register(work)
    quorum().publish("first")
    with running(consumer):
        wait_until(lambda: len(seen) == 2, what="the second delivery", timeout_s=TIMEOUT_S)

    assert seen == [False, True]
    assert quorum.ready() == 0


def test_half_open_connection_is_noticed_within_heartbeats(
    quorum: Queues, proxy: Proxy, running: Callable[..., Any]
) -> None:
    """A connection that a NAT has forgotten does not make a consumer wait for ever."""
    seen: list[str] = []
    consumer = quorum(url=through(proxy, quorum), heartbeat_s=1)
    consumer.register(lambda message: seen.append(message.text))
    with running(consumer):
        quorum().declare()
        wait_until(lambda: quorum.consumers() == 1, what="the consumer", timeout_s=TIMEOUT_S)
        proxy.freeze()
        quorum().publish("first")
        wait_until(lambda: seen, what="the message", timeout_s=TIMEOUT_S)

    assert seen == ["first"]


def test_handler_that_works_longer_than_the_heartbeat_keeps_its_message(quorum: Queues) -> None:
    """A handler may take minutes: another thread sends the heartbeats."""
    queue = quorum(heartbeat_s=1)
    queue.publish("long")

    def work(_message: Message) -> None:
        queue.stop()
        # The broker closes a connection after three silent seconds; another connection would see the message ready.
        with suppress(DeadlinePassed):
            wait_until(lambda: quorum.ready() > 0, what="the broker to take it back", timeout_s=4)

    queue.register(work)
    queue.start()

    assert quorum.ready() == 0


def test_consumer_without_heartbeats_starts_no_heartbeat_thread(quorum: Queues) -> None:
    """`heartbeat_s=0` works as any other value."""
    queue = quorum(heartbeat_s=0)
    queue.publish("first")
    names: list[str] = []

    def work(_message: Message) -> None:
        names.extend(thread.name for thread in threading.enumerate())
        queue.stop()

    queue.register(work)
    queue.start()

    assert names
    assert "heartbeat" not in names
    assert quorum.ready() == 0
