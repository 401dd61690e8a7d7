"""Message queues on a virtual host for each test, and consumers in threads that end with the test."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from kombu import Connection

from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.messaging import MessageQueue
from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker

TIMEOUT_S = 60


class Startable(Protocol):
    """A `MessageQueue` or a consumer."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


class Queues:
    """Makes queues on one broker, and reads what they hold."""

    def __init__(self, url: str, queue_type: str) -> None:
        self.url = url
        self.options = {"url": url, "queue_type": queue_type}
        self.made: list[MessageQueue] = []

    def __call__(self, name: str = "my_queue", **options: Any) -> MessageQueue:
        """A queue that is closed at the end of the test."""
        self.made.append(MessageQueue(name, **{**self.options, **options}))
        return self.made[-1]

    def ready(self, name: str = "my_queue") -> int:
        """How many messages are ready."""
        with Connection(self.url) as connection, connection.channel() as channel:
            return int(channel.queue_declare(name, passive=True).message_count)

    def consumers(self, name: str = "my_queue") -> int:
        with Connection(self.url) as connection, connection.channel() as channel:
            return int(channel.queue_declare(name, passive=True).consumer_count)

    def take(self, name: str = "my_queue") -> list[Any]:
        """All ready messages, removed from the queue, as py-amqp's."""
        taken = []
        with Connection(self.url) as connection, connection.channel() as channel:
            channel.auto_decode = False
            while (message := channel.basic_get(name, no_ack=True)) is not None:
                taken.append(message)
        return taken

    def bodies(self, name: str = "my_queue") -> list[str]:
        return [bytes(message.body or b"").decode() for message in self.take(name)]

    def letters(self) -> list[Any]:
        """All dead letters, removed from their queue."""
        return self.take(DEAD_LETTERS)


@pytest.fixture(params=["quorum", "classic"])
def queues(broker: Broker, vhost: str, request: pytest.FixtureRequest) -> Iterator[Queues]:
    """Queues of both types."""
    yield from _queues(broker.url(vhost), request.param)


@pytest.fixture
def quorum(broker: Broker, vhost: str) -> Iterator[Queues]:
    """Quorum queues, for tests that do not depend on the type."""
    yield from _queues(broker.url(vhost), "quorum")


def _queues(url: str, queue_type: str) -> Iterator[Queues]:
    queues = Queues(url, queue_type)
    yield queues
    for queue in queues.made:
        queue.close()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    """A proxy between a consumer and the broker."""
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def running() -> Callable[..., Any]:
    """Runs consumers in threads during a `with` block, and stops those that still run at its end."""

    @contextmanager
    def run(*startables: Startable) -> Iterator[list[threading.Thread]]:
        errors: list[BaseException] = []

        def start(one: Startable) -> None:
            try:
                one.start()
            except BaseException as error:  # noqa: BLE001 raised again below
                errors.append(error)

        threads = [threading.Thread(target=start, args=(one,)) for one in startables]
        for thread in threads:
            thread.start()
        try:
            yield threads
        finally:
            for one, thread in zip(startables, threads, strict=True):
                if thread.is_alive():
                    one.stop()
                thread.join(TIMEOUT_S)
                one.close()
        if errors:
            raise errors[0]
        assert not any(thread.is_alive() for thread in threads)

    return run


def wait_for_end(threads: list[threading.Thread]) -> None:
    """Return when all have ended by themselves."""
    wait_until(
        lambda: not any(thread.is_alive() for thread in threads), what="every consumer to end", timeout_s=TIMEOUT_S
    )


def through(proxy: Proxy, queues: Queues) -> str:
    """The URL of the broker through the proxy."""
    head, _, tail = queues.url.rpartition(":")
    return f"{head}:{proxy.port}/{tail.partition('/')[2]}"
