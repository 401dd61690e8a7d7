"""Mistakes in the use of TLS, each with a server of one connection that makes it."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from kombu import Connection

from proj.broker.connection import connected
from proj.broker.management_api import Management
from proj.errors import NoBroker, NoManagement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What RabbitMQ answers to what is no AMQP.
PLAIN = b"AMQP\x00\x00\x09\x01"
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(ca: trustme.CA, tmp_path: Path) -> dict[str, Any]:
    """The options of a client that trusts the CA."""
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return {"ca_certs": str(file)}


@contextmanager
def server(leaf: trustme.LeafCert | None, clients: trustme.CA | None = None) -> Iterator[int]:
    """The port of a server that speaks TLS with this certificate, or no TLS; with `clients` it demands theirs."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    ended = threading.Event()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if leaf is not None:
        leaf.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)

    def serve() -> None:
        while not ended.is_set():
            with suppress(OSError):
                raw, _ = listener.accept()
                with raw:
                    raw.settimeout(2)
                    if leaf is None:
                        raw.recv(100)
                        raw.sendall(PLAIN)
                        continue
                    with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as secured:
                        try:
                            secured.do_handshake()
                            secured.recv(100)
                        except ssl.SSLError:
                            # A socket that is closed before all is read resets the connection, and the client may
                            # lose the alert.
                            socket.socket.recv(secured, 100)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        thread.join()
        listener.close()


def refusal(url: str, options: dict[str, Any] | None = None) -> str:
    with pytest.raises(NoBroker) as caught, connected(Connection(url, ssl=options or False, connect_timeout=5)):
        pass
    return str(caught.value)


def test_expired_certificate_is_named(ca: trustme.CA, trusted: dict[str, Any]) -> None:
    """And renewing it is what to do."""
    with server(ca.issue_cert("127.0.0.1", not_before=PAST, not_after=PAST + dt.timedelta(days=1))) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", trusted)
    assert f"The certificate of the broker at 127.0.0.1:{port} has expired" in said


@pytest.mark.parametrize("given", [{}, {"server_hostname": None}, {"cert_reqs": ssl.CERT_REQUIRED}])
def test_certificate_of_another_host_is_refused_without_being_asked(
    ca: trustme.CA, trusted: dict[str, Any], given: dict[str, Any]
) -> None:
    """py-amqp alone takes any certificate of the CA."""
    with server(ca.issue_cert("elsewhere.example")) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", {**trusted, **given})
    assert "is for another host" in said
    assert "certificate is not valid for '127.0.0.1'" in said


def test_certificate_of_an_unknown_ca_is_refused_without_options(ca: trustme.CA) -> None:
    """`amqps://` alone trusts the CAs of the machine."""
    with server(ca.issue_cert("127.0.0.1")) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//")
    assert "is not signed by a CA that we trust" in said
    assert "PROJ_BROKER_CA" in said


def test_missing_client_certificate_is_named(ca: trustme.CA, trusted: dict[str, Any]) -> None:
    """And where it is set."""
    with server(ca.issue_cert("127.0.0.1"), clients=ca) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", trusted)
    assert "client certificate" in said
    assert "PROJ_BROKER_CERTIFICATE" in said


def test_client_certificate_of_another_ca_is_named(ca: trustme.CA, trusted: dict[str, Any], tmp_path: Path) -> None:
    """It is the one of ours that has to be corrected."""
    client = tmp_path / "client.pem"
    trustme.CA().issue_cert("client@localhost").private_key_and_cert_chain_pem.write_to_path(str(client))
    with server(ca.issue_cert("127.0.0.1"), clients=ca) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", {**trusted, "certfile": str(client)})
    assert "refuses our client certificate" in said


def test_plain_text_to_a_tls_port_is_named(ca: trustme.CA) -> None:
    """AMQP and HTTP."""
    with server(ca.issue_cert("127.0.0.1")) as port:
        said = refusal(f"amqp://127.0.0.1:{port}//")
        with pytest.raises(NoManagement) as caught:
            Management(f"http://127.0.0.1:{port}/api/").request("GET", "overview")
    assert "speaks only TLS. Use amqps://" in said
    assert "speaks only TLS. Use https://" in str(caught.value)


def test_tls_to_a_plain_port_is_named(trusted: dict[str, Any]) -> None:
    """AMQP and HTTPS."""
    with server(None) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", trusted)
        with pytest.raises(NoManagement, match="does not speak TLS"):
            Management(f"https://127.0.0.1:{port}/api/", tls=trusted).request("GET", "overview")
    assert "does not speak TLS. Use the port that does" in said


def test_file_that_is_not_there_is_named(ca: trustme.CA, tmp_path: Path) -> None:
    """The error of the system does not say which one."""
    with server(ca.issue_cert("127.0.0.1")) as port:
        said = refusal(f"amqps://127.0.0.1:{port}//", {"ca_certs": str(tmp_path / "none.pem")})
    assert "none.pem" in said


@pytest.mark.parametrize("port_of", ["amqps", "https"])
def test_server_that_is_trusted_is_talked_to(ca: trustme.CA, trusted: dict[str, Any], port_of: str) -> None:
    """The errors above are not those of every server: here it is that it answers nothing."""
    with server(ca.issue_cert("127.0.0.1")) as port:
        if port_of == "amqps":
            assert "No broker answers" in refusal(f"amqps://127.0.0.1:{port}//", trusted)
        else:
            with pytest.raises(NoManagement, match="No management API answers"):
                Management(f"https://127.0.0.1:{port}/api/", tls=trusted).request("GET", "overview")
