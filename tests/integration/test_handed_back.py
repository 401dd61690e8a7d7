"""A message that workers hold and hand back a hundred times, on a real broker: none of them died of it."""

from __future__ import annotations

import logging
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from amqp.transport import _AbstractTransport as Transport
from celery import Celery
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from proj.broker.connection import connected
from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import depths_by_declare
from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.consuming.lease import Lease
from proj.delivery.consuming.receiving import Delivery, receive_kept_messages
from proj.delivery.consuming.redeliveries import Decision, decide, history
from proj.delivery.recovery.unblocked_publisher import unblocked_publisher
from proj.delivery.shutdown import halt_reply
from proj.delivery.shutdown.halt_command import HALT, answer_halt
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until
from proj.queues import CLASSIC, DEAD_LETTERS, QUORUM, WORK_QUEUE, quarantine_queue, work_queue
from tests.processes.in_process import HoldingWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.broker.version import BrokerVersion
    from proj.delivery.consuming.receiving import KeptMessage
    from proj.lab.broker import Broker

#: A hundred rounds take half a minute on an idle machine of two cores, and many times that on a busy one.
pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("transports")]
TIMEOUT_S = 60
#: Seconds after which a lease expires here.
LEASE_S = 0.05
ROUNDS = 100
#: The queues of one worker. The broker has our policies for names that begin as the first two do; the third has the
#: broker's own delivery limit, and no dead-letter exchange, so what reaches the limit is lost.
QUEUES = {f"{WORK_QUEUE}.quorum": QUORUM, f"{WORK_QUEUE}.classic": CLASSIC, "without.policy": QUORUM}


def make_app(url: str) -> Celery:
    app = Celery("handed", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[work_queue(kind, name) for name, kind in QUEUES.items()],
        task_acks_late=True,
        task_default_queue=next(iter(QUEUES)),
        task_default_exchange="tasks",
        task_default_exchange_type="topic",
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_channel_error_retry=True,
        # Without it Celery warns at each lost connection, and a warning is an error here. No task is active.
        worker_cancel_long_running_tasks_on_connection_loss=True,
    )
    keep_messages(app)
    answer_halt(app)

    @app.task(name="handed.waits", shared=False)
    def waits() -> None:
        pass

    return app


@pytest.fixture
def transports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every socket at the end; kombu leaves some of lost connections open, and Python warns of them."""
    opened: list[Transport] = []
    connect = Transport.connect

    def note(transport: Transport) -> None:
        opened.append(transport)
        connect(transport)

    monkeypatch.setattr(Transport, "connect", note)
    yield
    for transport in opened:
        if transport.sock is not None:
            transport.sock.close()


@pytest.fixture
def app(broker: Broker, vhost: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """An app with one task and one message of it in each queue."""
    # A worker declares 28 queues for delayed tasks at its start, which takes it longer than everything else.
    monkeypatch.setattr(DelayedDelivery, "include_if", lambda *_: False)
    with make_app(broker.url(vhost)) as app:
        with app.connection_for_write() as connection:
            for queue in app.conf.task_queues:
                queue(connection.default_channel).declare()
        for name in QUEUES:
            app.send_task("handed.waits", queue=name, ignore_result=True)
        yield app


def assert_nobody_was_blamed(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    """Every message is in its queue, and nowhere else, and no worker took it for one that killed a worker."""
    names = [*QUEUES, *map(quarantine_queue, QUEUES), DEAD_LETTERS]
    with connected(app.connection_for_write()) as connection:
        wait_until(
            lambda: sum(depth.ready for depth in depths_by_declare(connection, names)) >= len(QUEUES),
            what="the messages to be back",
            timeout_s=TIMEOUT_S,
        )
        depths = {depth.name: depth.ready for depth in depths_by_declare(connection, names)}
    # A quarantine queue exists only once a worker has looked at it.
    assert {name: ready for name, ready in depths.items() if ready} == dict.fromkeys(QUEUES, 1)
    assert not {"message_quarantined", "message_requeued"} & {getattr(each, "action", "") for each in caplog.records}


def is_new(worker: HoldingWorker, held: object) -> bool:
    return worker.consumer.held.unsettled is not held


def halt(worker: HoldingWorker, bus: ControlBus) -> None:
    (reply,) = bus.ask(HALT, timeout_s=TIMEOUT_S, limit=1).values()
    assert reply["held"] == len(QUEUES)
    worker.join()
    # They stay open until their process ends, which here is that of all workers.
    connections = halt_reply._open_until_the_end  # noqa: SLF001 nothing else closes them
    while connections:
        connections.pop().release()


def test_message_that_a_hundred_workers_held_and_gave_back_is_no_suspect(
    app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    """A warm shutdown and `queues halt`, in turn, give back what was not run, whatever the broker counts."""
    caplog.set_level(logging.INFO)
    with ControlBus(app) as bus:
        for number in range(ROUNDS):
            with HoldingWorker(app, slots=1) as worker:
                wait_until(partial(worker.holds, len(QUEUES)), what="messages in hand", timeout_s=TIMEOUT_S)
                if number % 2:
                    halt(worker, bus)

    assert_nobody_was_blamed(app, caplog)


def test_message_that_a_worker_held_when_it_lost_a_hundred_connections_is_no_suspect(
    broker: Broker, vhost: str, app: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker is alive, so the message did not kill it; and the broker's delivery limit is never reached."""
    caplog.set_level(logging.INFO)
    with (
        Proxy(broker.port) as proxy,
        make_app(broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/")) as own,
        HoldingWorker(own, slots=1) as worker,
    ):
        for _ in range(ROUNDS):
            wait_until(partial(worker.holds, len(QUEUES)), what="messages in hand", timeout_s=TIMEOUT_S)
            worker.tolerate(ROUNDS)
            held = worker.consumer.held.unsettled
            assert proxy.cut()
            wait_until(partial(is_new, worker, held), what="a connection", timeout_s=TIMEOUT_S)
        wait_until(partial(worker.holds, len(QUEUES)), what="messages in hand", timeout_s=TIMEOUT_S)

    assert_nobody_was_blamed(app, caplog)


def test_message_that_a_hundred_leases_gave_back_is_run_like_any_other(
    app: Celery, caplog: pytest.LogCaptureFixture, version: BrokerVersion
) -> None:
    """A lease that its worker did not renew in time expires, and the broker puts the message back into its queue."""
    leases: Any = SimpleNamespace(lease_s=LEASE_S)
    with (
        connected(app.connection_for_write()) as connection,
        unblocked_publisher(app.connection_for_write()) as publish,
    ):
        channel: Any = connection.channel()
        receive_kept_messages(channel, disposition=None, unsettled={}, largest_bytes=1000)  # type: ignore[arg-type] # nothing is moved
        for _ in range(ROUNDS):
            for name in QUEUES:
                message = next_message(channel, name)
                told = history(message.headers, redelivered=message.delivery_info["redelivered"], version=version)
                assert (told.attempts, decide(told, alone=False, limit=1)) == (1, Decision.RUN)
                message.delivery = Delivery(queue=name, history=told, contents=None, refusal=None)
                lease = Lease(leases, message)
                lease.take(connection.connection, publish)
                message.move_settlement(lease)

    assert_nobody_was_blamed(app, caplog)


def next_message(channel: Any, queue: str) -> KeptMessage:
    raw = wait_until(lambda: channel.basic_get(queue), what=f"a message of {queue}", timeout_s=TIMEOUT_S)
    message: KeptMessage = channel.message_to_python(raw)
    return message
