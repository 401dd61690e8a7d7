"""AMQP over TLS with a host name that is checked, with timeouts, and with an error that says what to do.

kombu makes its transports of these classes once `use_our_transports` was called.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import kombu.transport
from amqp.transport import SSLTransport, TCPTransport, to_host_port
from kombu.transport import pyamqp

from proj.broker.tls.mistakes import TlsMistake, mistake, only_tls, speaks_tls
from proj.broker.tls.options import unusable_file, with_host_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import amqp

    class _SSLTransport(SSLTransport):
        """py-amqp's class, with what its stub does not say."""

        sock: Any
        connected: bool

        def _setup_transport(self) -> None: ...

else:
    _SSLTransport = SSLTransport


class TlsSocket(_SSLTransport):
    """py-amqp's transport over TLS, which gives a connection up in time."""

    def _setup_transport(self) -> None:
        super()._setup_transport()
        # py-amqp leaves the timeout for connecting. Python ignores the timeouts of the kernel on a TLS socket, which
        # py-amqp sets for `read_timeout` and `write_timeout`.
        limits = [limit for limit in (self.read_timeout, self.write_timeout) if limit is not None]
        if limits:
            self.sock.settimeout(max(limits))

    def _shutdown_transport(self) -> None:
        # py-amqp would wait until the other side has said that it ends too; a frozen one never does.
        if self.sock is not None:
            self.sock.settimeout(0)
            with suppress(OSError, ValueError):
                self.sock.unwrap()

    def write(self, s: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: it was not written in time, or the connection is lost. Nothing can follow what is half written.
        """
        try:
            super().write(s)
        except OSError:
            self.connected = False
            raise


class AmqpConnection(pyamqp.Connection):
    """py-amqp's connection, as kombu uses it."""

    def connect(self, callback: Callable[[], object] | None = None) -> None:
        """As py-amqp's.

        Raises:
            TlsMistake: TLS is used where it is not spoken, or not where it is; or one of the two trusts not the other.
        """
        try:
            super().connect(callback)
        except OSError as error:
            said = self._mistake(error)
            if said is None:
                raise
            raise TlsMistake(said) from error

    def Transport(  # noqa: N802 py-amqp's own name
        self,
        host: str,
        connect_timeout: float | None,
        ssl: bool | dict[str, Any] = False,  # noqa: FBT001, FBT002 py-amqp's own signature
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Mapping[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 as py-amqp's
    ) -> TCPTransport:
        """As py-amqp's; with TLS, one that checks the name of the host."""
        options.update(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            socket_settings=socket_settings,
        )
        if not ssl:
            return TCPTransport(host, **options)
        return TlsSocket(host, ssl=with_host_name(ssl, to_host_port(host)[0]), **options)

    def _mistake(self, error: OSError) -> str | None:
        at: Any = self
        host, port = to_host_port(at.host)
        where = f"the broker at {host}:{port}"
        if at.ssl:
            if (unusable := unusable_file(at.ssl)) is not None:
                return unusable
            certificate = isinstance(at.ssl, dict) and bool(at.ssl.get("certfile"))
            return mistake(
                error,
                where,
                has_certificate=certificate,
                tls_port=pyamqp.DEFAULT_SSL_PORT,
                plain="amqp:// in CELERY_BROKER_URL",
            )
        # A frozen broker or a closed port is not asked again.
        if isinstance(error, TimeoutError | ConnectionRefusedError | socket.gaierror) or not speaks_tls(host, port):
            return None
        return only_tls(where, "amqps:// in CELERY_BROKER_URL", plain_port=pyamqp.DEFAULT_PORT)


class Transport(pyamqp.Transport):
    """kombu's transport of `amqp://`."""

    Connection = AmqpConnection

    def establish_connection(self) -> amqp.Connection:
        """As kombu's, which would write the first host's name into the options, for all hosts of the app."""
        client: Any = self.client
        if isinstance(client.ssl, dict) and client.ssl.get("server_hostname", "") is None:
            # Never empty, which would be without TLS.
            client.ssl = {name: value for name, value in client.ssl.items() if name != "server_hostname"} or True
        return super().establish_connection()


class TlsTransport(Transport):
    """kombu's transport of `amqps://`."""

    def __init__(self, client: kombu.Connection, **options: Any) -> None:  # noqa: ANN401 as kombu's
        """As kombu's."""
        super().__init__(client, **options)
        self._secure()

    def establish_connection(self) -> amqp.Connection:
        """As kombu's; never without TLS, also where kombu has turned to the next of several URLs."""
        self._secure()
        return super().establish_connection()

    def _secure(self) -> None:
        client: Any = self.client
        client.ssl = client.ssl or True


def use_our_transports() -> None:
    """Let kombu make its AMQP connections of the classes above, in this process."""
    for scheme, transport in (("amqp", Transport), ("pyamqp", Transport), ("amqps", TlsTransport)):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{transport.__module__}:{transport.__qualname__}"
        # kombu has looked it up before, where a connection was made before.
        vars(kombu.transport)["_transport_cache"].pop(scheme, None)
