"""The management API of the broker that an app's tasks are on, checked to be of that broker before it is used."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import kombu

from proj.broker.connection import connected, default_channel
from proj.broker.management_api import DEFAULT_PORT, TLS_PORT, Management, bracketed
from proj.errors import NoBroker, NoManagement, OtherBroker

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

#: Seconds after which every node of a cluster knows a new queue; on one node it is known at once.
_KNOWN_S = 1.0
_POLL_S = 0.1


class AppManagement(Management):
    """A client of the management API of an app's broker. Its first request refuses the API of another broker.

    An app on port 5700 and another RabbitMQ's API on port 15672 of the same host, with the same credentials, would
    otherwise mix two brokers: one gets the policies, the other has the tasks.
    """

    def __init__(self, app: Celery, api_url: str | None = None) -> None:
        """Take the URL of the API; None is the default port of the broker's host, with the credentials of AMQP.

        Raises:
            InvalidSetting: it is no such URL.
        """
        super().__init__(api_url or _beside(app.connection_for_read()), tls=app.conf.broker_use_ssl)
        self._app = app
        self._checking = threading.Lock()
        self._is_checked = False

    def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 JSON has no narrower type
        """The API's answer as JSON, None when it is empty.

        Raises:
            NoManagement: nothing answers there, or it refuses.
            OtherBroker: it is the API of another broker.
            NoBroker: no broker answers over AMQP, so it is not known whose API this is.
        """
        self.check()
        return super().request(method, path, body)

    def check(self) -> None:
        """Refuse the API of another broker; asked once. The errors are those of `request`."""
        with self._checking:
            if self._is_checked:
                return
            name = super().request("GET", "cluster-name")["name"]
            with connected(self._app.connection_for_read()) as connection:
                expected = default_channel(connection).connection.server_properties.get("cluster_name", name)
                # RabbitMQ names a cluster after its host, so several brokers of a host often have the same name. The
                # nodes of one cluster may each say another name, as those of 3.10 do until somebody sets one.
                knows = self._knows_queue_of(connection)
                is_unlike = expected != name and not connection.alt
                if knows is False or (knows is None and is_unlike):
                    raise OtherBroker(self.page, name, connection.as_uri(), expected)
            self._is_checked = True

    def check_if_it_answers(self) -> None:
        """Refuse the API of another broker now; where one of the two does not answer yet, the first request will.

        Raises:
            OtherBroker: it is the API of another broker.
        """
        with suppress(NoManagement, NoBroker):
            self.check()

    def _knows_queue_of(self, connection: Connection) -> bool | None:
        """Whether a new queue of the connection is known to the API; None when that cannot be told.

        It cannot when one of the two users has too few rights.
        """
        # The name of a reply queue of Celery's control bus, which a user of Celery is usually allowed to declare.
        queue = f"{uuid.uuid4()}.reply.{self._app.conf.control_exchange}.pidbox"
        there = quote(connection.virtual_host or "/", safe="")
        channel = default_channel(connection)
        try:
            # Exclusive, so that the broker deletes it with the connection, whatever happens here.
            channel.queue_declare(queue, exclusive=True)
        except connection.channel_errors:
            return None
        except TimeoutError:
            # A cluster without a majority of its nodes makes no queue. Nor would it answer that this is closed.
            connection.collect()
            return None
        try:
            return self._knows(queue, there)
        finally:
            # Before the next request lists queues: RabbitMQ 4.3 deletes it a moment after the connection has ended.
            channel.queue_delete(queue)

    def _knows(self, queue: str, there: str) -> bool | None:
        deadline = time.monotonic() + _KNOWN_S
        while not self._has(f"queues/{there}/{queue}?columns=name"):
            # A virtual host that only the other broker has is not found either. RabbitMQ 4.3 answers so also to a user
            # who may not see the virtual host; an administrator sees all. Each has this exchange.
            if not (self._has(f"exchanges/{there}/amq.direct?columns=name") or self._is_administrator()):
                return None
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _is_administrator(self) -> bool:
        return "administrator" in super().request("GET", "whoami")["tags"]

    def _has(self, path: str) -> bool:
        try:
            super().request("GET", path)
        except NoManagement:
            return False
        return True


def _beside(connection: Connection) -> str:
    """The URL of the API on the default port of the broker's host, with the credentials used for AMQP; one a host.

    Where AMQP is spoken over TLS it is that of HTTPS, because the password must not travel in plain text.
    """
    hosts = [kombu.Connection(each, ssl=connection.ssl or False) for each in connection.alt] or [connection]
    return ";".join(dict.fromkeys(_api_of(each) for each in hosts))


def _api_of(connection: Connection) -> str:
    user, password = (quote(text or "guest", safe="") for text in (connection.userid, connection.password))
    is_secured = connection.transport_cls == "amqps" or bool(connection.ssl)
    scheme, port = ("https", TLS_PORT) if is_secured else ("http", DEFAULT_PORT)
    return f"{scheme}://{user}:{password}@{bracketed(connection.hostname or 'localhost')}:{port}/api/"
