"""An app of its own for each test, which publishes with confirms, and what the broker then has."""

from __future__ import annotations

import gc
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue

from proj.delivery.publishing.confirm_publishing import close_publishing, confirm_publishing
from proj.lab.processes.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker

QUEUE = "publishing"


def make_app(url: str, *, queue_type: str = "classic", **settings: Any) -> Celery:
    app = Celery("publishing", broker=url, set_as_current=False)
    app.conf.task_default_queue = QUEUE
    arguments = {"x-queue-type": "quorum"} if queue_type == "quorum" else None
    app.conf.task_queues = [Queue(QUEUE, Exchange("publishing", "topic"), QUEUE, queue_arguments=arguments)]
    app.conf.task_default_exchange = "publishing"
    app.conf.task_default_exchange_type = "topic"
    app.conf.task_default_routing_key = QUEUE
    app.conf.task_send_sent_event = False
    app.conf.update(settings)
    confirm_publishing(app)

    @app.task(name="note", shared=False)
    def note(*_: object) -> None:
        """Never run here."""

    return app


def close(app: Celery) -> None:
    close_publishing(app)
    # The one on which results of groups are awaited, which Celery leaves to the garbage collector.
    awaiting = getattr(app.backend, "result_consumer", None)
    if awaiting is not None and awaiting._connection is not None:  # noqa: SLF001 nothing else says whether it is used
        awaiting.stop()
    app.close()
    with warnings.catch_warnings():
        # A handshake that the other side breaks off may leave py-amqp's socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    """Stands between the publishers of a test and the broker."""
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture
def new_app(broker: Broker, vhost: str) -> Iterator[Callable[..., Celery]]:
    """Makes an app on the test's virtual host, through a proxy when it is given one."""
    apps = []

    def new(*, through: Proxy | None = None, **settings: Any) -> Celery:
        url = broker.url(vhost)
        if through is not None:
            url = url.replace(f":{broker.port}/", f":{through.port}/")
        apps.append(make_app(url, **settings))
        return apps[-1]

    yield new
    for app in apps:
        close(app)


@pytest.fixture
def app(new_app: Callable[..., Celery]) -> Celery:
    """An app whose queue is a classic one."""
    return new_app()


def arrived(url: str, queue: str = QUEUE) -> Counter[str]:
    """How often each task is in the queue, by id; they are taken out of it."""
    found: Counter[str] = Counter()
    with Connection(url) as connection, connection.channel() as channel:
        while message := channel.basic_get(queue, no_ack=True):
            found[message.properties["correlation_id"]] += 1
    return found


@pytest.fixture
def arrivals(broker: Broker, vhost: str) -> Callable[..., Counter[str]]:
    """What has arrived in a queue of the test's virtual host."""
    return lambda queue=QUEUE: arrived(broker.url(vhost), queue)


@pytest.fixture
def policy(broker: Broker, vhost: str) -> Callable[..., None]:
    """Sets a policy on the test's queue."""

    def put(**definition: object) -> None:
        broker.management.request(
            "PUT",
            f"policies/{vhost}/publishing",
            {"pattern": f"^{QUEUE}$", "definition": definition, "apply-to": "queues", "priority": 9},
        )

    return put
