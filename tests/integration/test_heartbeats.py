"""The connections of a worker beside the one that it consumes from, on a real broker."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from celery import Celery

from proj.broker.declaration import declare
from proj.delivery.consuming.forwarder import Forwarder, own_connection
from proj.delivery.install import install
from proj.delivery.results.attempt import Result
from proj.delivery.results.sender import Sender
from proj.lab.processes.proxy import Proxy
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from proj.lab.broker import Broker

HEARTBEAT_S = 1
TIMEOUT_S = 60
#: Those of three heartbeats: a frame of AMQP 0-9-1 without a payload has 8 bytes.
HEARTBEATS_BYTES = 3 * 8


def test_broker_closes_the_connections_of_a_host_that_is_gone_and_keeps_those_that_are_idle(
    broker: Broker, vhost: str
) -> None:
    """That of the forwarder and that of the results' sender; without heartbeats they stayed for hours."""

    def received() -> dict[str, int]:
        """The bytes that the broker has received over each connection, by its statistics."""
        rows = broker.management.request("GET", f"vhosts/{vhost}/connections")
        return {row["name"]: row.get("recv_oct", 0) for row in rows}

    def connections() -> int:
        return len(received())

    def await_heartbeats() -> None:
        begun = received()
        wait_until(
            lambda: all(received().get(name, 0) >= count + HEARTBEATS_BYTES for name, count in begun.items()),
            what="heartbeats over both",
            timeout_s=TIMEOUT_S,
        )

    with Proxy(broker.port) as proxy, Celery("idle", set_as_current=False) as app:
        app.conf.broker_url = broker.url(vhost).replace(f":{broker.port}/", f":{proxy.port}/")
        app.conf.broker_heartbeat = HEARTBEAT_S
        install(app)
        with (
            Forwarder(partial(own_connection, app), lambda _copy: None) as forwarder,
            Sender(app, lambda: None) as sender,
        ):
            forwarder.ask(partial(declare, queue_name="asked"))
            sender.add([Result("nobody", b"", "text/plain", "utf-8", "id", 1)], lambda: None)
            sender.wake()
            wait_until(lambda: proxy.open == connections() == 2, what="both connections", timeout_s=TIMEOUT_S)

            # The broker gives up a connection that is silent for two heartbeats.
            # The first growth may be the rest of the handshake, because statistics come late.
            await_heartbeats()
            await_heartbeats()
            assert (proxy.open, proxy.accepted) == (2, 2)

            proxy.freeze()
            # The threads have noticed it too, and connect again only when they have something to do.
            wait_until(lambda: connections() == 0, what="the end of both", timeout_s=TIMEOUT_S)
