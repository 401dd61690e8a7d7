"""TLS options of a connection: whose certificate is taken."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from proj.broker.app_management import AppManagement
from proj.broker.tls.options import with_host_name
from proj.broker.tls.transport import AmqpConnection, TlsTransport, Transport


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (True, {"server_hostname": "rabbit"}),
        ({"server_hostname": None}, {"server_hostname": "rabbit"}),
        ({"server_hostname": "other"}, {"server_hostname": "other"}),
        ({"cert_reqs": ssl.CERT_NONE}, {"cert_reqs": ssl.CERT_NONE}),
        (
            {"context": {"cafile": "ca"}},
            {"context": {"cafile": "ca", "check_hostname": True}, "server_hostname": "rabbit"},
        ),
        (
            {"context": {"check_hostname": False}},
            {"context": {"check_hostname": False}, "server_hostname": "rabbit"},
        ),
    ],
)
def test_host_is_checked_unless_the_user_has_switched_it_off(given: Any, expected: dict[str, Any]) -> None:
    """And a name that the user gives is kept."""
    assert with_host_name(given, "rabbit") == expected


@pytest.mark.parametrize(("scheme", "transport"), [("amqp", Transport), ("pyamqp", Transport), ("amqps", TlsTransport)])
def test_every_connection_of_kombu_is_one_of_ours(scheme: str, transport: type) -> None:
    """Also those that Celery and Flower make."""
    made = Connection(f"{scheme}://localhost//").transport
    assert type(made) is transport
    assert made.Connection is AmqpConnection
    assert made.driver_type == "amqp"


@pytest.mark.parametrize("given", [{"server_hostname": None}, {"ca_certs": "ca", "server_hostname": None}, {}, False])
def test_each_of_several_hosts_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """Kombu alone writes the first one into the options of all, so no other node would ever be trusted."""
    checked: list[Any] = []

    def connect(self: Any) -> None:
        checked.append(self.Transport(self.host, 1, self.ssl).sslopts["server_hostname"])
        raise ConnectionResetError

    monkeypatch.setattr(AmqpConnection, "connect", connect)
    before = repr(given)
    connection = Connection("amqps://one;amqps://two", ssl=given)
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            connection.transport.establish_connection()
        connection.maybe_switch_next()

    assert checked == ["one", "two", "one"]
    assert repr(given) == before


@pytest.mark.parametrize(
    ("broker", "use_ssl", "page"),
    [
        ("amqp://host//", False, "http://host:15672/"),
        ("amqps://host//", False, "https://host:15671/"),
        ("amqp://host//", True, "https://host:15671/"),
        ("amqps://one//;amqps://two//", False, "https://one:15671/"),
    ],
)
def test_password_is_sent_in_plain_text_only_where_amqp_sends_it_so(broker: str, use_ssl: Any, page: str) -> None:
    """Without --broker-api the management API is looked for beside the broker."""
    app = Celery(broker=broker, set_as_current=False)
    app.conf.broker_use_ssl = use_ssl
    assert AppManagement(app).page == page
