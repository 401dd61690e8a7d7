"""A broker that speaks only TLS and demands client certificates: workers and publishers of an app that is not ours."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import QueueDepths
from proj.broker.tls.mistakes import speaks_tls
from proj.delivery.install import install
from proj.delivery.send_many import send_many
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.messaging.message_queue import MessageQueue
from tests.integration.publishing.conftest import close

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.processes.guard import Guard

TIMEOUT_S = 60
TASKS = 3000
#: Seconds; the broker gives up a connection that is silent for twice that time.
HEARTBEAT_S = 4
THEIRS = """
import os
from celery import Celery
from proj.delivery.install import install

app = Celery("theirs")
app.conf.update(
    task_default_queue="theirs",
    task_default_queue_type="quorum",
    task_default_exchange_type="topic",
    task_acks_late=True,
    broker_heartbeat=4,
    broker_use_ssl={"ca_certs": os.environ["CA"], "certfile": os.environ["CERTIFICATE"]},
    result_backend="rpc://",
)
install(app, dispatch="adaptive")


@app.task(name="same")
def same(value):
    return value
"""


@pytest.fixture(scope="module")
def secured(guard: Guard) -> Iterator[Broker]:
    """A RabbitMQ that speaks only TLS."""
    with Broker(guard, tls="mutual") as broker:
        yield broker


@pytest.fixture(scope="module")
def app(secured: Broker) -> Iterator[Celery]:
    """An app that is not ours, which publishes to it."""
    made = Celery("theirs", broker=secured.url(), backend="rpc://", set_as_current=False)
    made.conf.update(
        task_default_queue="theirs",
        task_default_queue_type="quorum",
        task_default_exchange_type="topic",
        broker_use_ssl=secured.use_ssl,
    )
    install(made)

    @made.task(name="same")
    def same(value: object) -> object:
        return value

    yield made
    close(made)


@pytest.fixture(scope="module")
def worker(secured: Broker, guard: Guard, app: Celery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A worker of it with two processes."""
    del app
    folder: Path = tmp_path_factory.mktemp("theirs")
    (folder / "theirs.py").write_text(THEIRS)
    assert secured.certificates is not None
    made = Process(
        "worker over TLS",
        [
            *(sys.executable, "-m", "celery", "-A", "theirs", "worker"),
            *("--concurrency", "2", "--loglevel", "INFO", "--without-mingle", "--without-gossip"),
        ],
        guard=guard,
        environment=child_environment(
            CELERY_BROKER_URL=secured.url(),
            CA=str(secured.certificates.ca),
            CERTIFICATE=str(secured.certificates.client),
            PYTHONPATH=str(folder),
            FLOWER_BROKER_API=secured.management_url,
        ),
        log=folder / "worker.log",
    )
    with made:
        made.wait_until_ready(lambda: " ready." in made.log_text(), timeout_s=TIMEOUT_S)
        yield made


@pytest.mark.one_version
def test_many_tasks_over_tls_are_all_run(app: Celery, worker: Process) -> None:
    """Their frames share records of TLS with each other and with answers; none is left in one."""
    same = app.tasks["same"]
    send_many((same.s(number).set(ignore_result=True) for number in range(TASKS)), app=app)

    def done() -> set[str]:
        return set(re.findall(r"Task same\[([^]]+)\] succeeded", worker.log_text()))

    wait_until(lambda: len(done()) == TASKS, what="the tasks", timeout_s=TIMEOUT_S)


@pytest.mark.one_version
def test_idle_worker_sends_heartbeats_and_goes_on(secured: Broker, app: Celery, worker: Process) -> None:
    """The broker gets bytes of each of its connections while nothing is done; then tasks and results go through."""
    del worker
    first: dict[str, int] = {}

    def all_have_sent() -> bool:
        now = {
            each["name"]: each["recv_cnt"]
            for each in secured.management.request("GET", "connections?columns=name,recv_cnt,timeout")
            if each["timeout"] == HEARTBEAT_S
        }
        for name, count in now.items():
            first.setdefault(name, count)
        return bool(now) and all(count > first[name] for name, count in now.items())

    wait_until(all_have_sent, what="heartbeats", timeout_s=TIMEOUT_S)

    results = [app.send_task("same", (number,)).get(timeout=TIMEOUT_S) for number in range(20)]

    assert results == list(range(20))


def test_counts_come_over_https_of_the_same_ca(secured: Broker, app: Celery, worker: Process) -> None:
    """The management API is known to be that of this broker."""
    del worker
    depths = QueueDepths(app, broker_api=secured.management_url)
    assert any(depth.name == "theirs" for depth in depths.read())


def test_messages_without_celery_go_over_tls(secured: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables of our own app."""
    assert secured.certificates is not None
    monkeypatch.setenv("PROJ_BROKER_CA", str(secured.certificates.ca))
    monkeypatch.setenv("PROJ_BROKER_CERTIFICATE", str(secured.certificates.client))
    with MessageQueue("texts", secured.url()) as queue:
        for number in range(50):
            queue.publish(f"text {number}")
        texts = []
        for message in queue:
            texts.append(message.text)
            message.ack()
            if len(texts) == 50:
                break
    assert texts == [f"text {number}" for number in range(50)]


def test_timeouts_of_the_app_hold_over_tls(app: Celery) -> None:
    """Python ignores those of the kernel on a TLS socket."""
    with connected(app.connection_for_write(transport_options={"read_timeout": 7, "write_timeout": 6})) as connection:
        sock = connection.connection.transport.sock
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.gettimeout() == 7


def test_port_that_resets_its_connections_speaks_no_tls() -> None:
    """Python 3.11 takes a socket that was reset before it was wrapped for a TLS connection, or leaves it open."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        ending = pool.submit(_reset_all, server)
        try:
            assert [speaks_tls(*server.getsockname()) for _ in range(50)] == [False] * 50
        finally:
            server.shutdown(socket.SHUT_RDWR)
            ending.result(timeout=TIMEOUT_S)


def _reset_all(server: socket.socket) -> None:
    """Reset each connection, until nobody listens any more."""
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
