"""Mistakes in the use of TLS: which one an error means, and what to do about it, in one sentence."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

#: Seconds to find out whether a port speaks TLS.
_PROBE_S = 2.0
#: What OpenSSL finds in a certificate that it refuses. Source: openssl/x509_vfy.h
_NOT_YET_VALID, _EXPIRED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 62, 64
#: OpenSSL's names of what the other side says when it refuses our certificate.
_MISSING = {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"}
_REFUSED = {
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
}
#: When the connection ended instead.
_ENDED = (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
#: And when what came is no TLS.
_PLAIN = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}

_CA = "broker_use_ssl's ca_certs (proj: PROJ_BROKER_CA)"
_CERTIFICATE = "broker_use_ssl's certfile and keyfile (proj: PROJ_BROKER_CERTIFICATE and PROJ_BROKER_KEY)"


class TlsMistake(ConnectionError):
    """A connection that TLS did not allow; its text is one sentence that says what to do.

    It is an error of the connection, as what it stands for, so that workers and publishers try again.
    """


def mistake(error: BaseException, where: str, *, has_certificate: bool, tls_port: int, plain: str) -> str | None:
    """The sentence for an error of a connection with TLS; None when TLS is not at fault.

    Args:
        error: what the connection raised.
        where: the address, such as "the broker at localhost:5671".
        has_certificate: whether the client has a certificate of its own.
        tls_port: RabbitMQ's own for TLS.
        plain: how to reach a port without TLS, such as "amqp:// in CELERY_BROKER_URL".
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, where)
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLError) and reason in _PLAIN:
        return f"The port of {where} does not speak TLS. Use the port that does (RabbitMQ: {tls_port}), or {plain}."
    if isinstance(error, ssl.SSLError) and reason in _REFUSED:
        return f"{_began(where)} refuses our client certificate ({reason}). Correct {_CERTIFICATE}."
    if reason in _MISSING and not has_certificate:
        return f"{_began(where)} demands a client certificate, and we have none. Set {_CERTIFICATE}."
    if not isinstance(error, _ENDED):
        return None
    # What it said of the certificate may be lost with the connection.
    remedy = (
        f"refuses our client certificate, correct {_CERTIFICATE}"
        if has_certificate
        else (f"demands a client certificate, set {_CERTIFICATE}")
    )
    return f"{_began(where)} ended the connection at once. If it {remedy}."


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS server answers there; it is told nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            # Wrapped before it is connected: Python 3.11 leaves a socket open that the other end resets before that, or
            # takes it for a TLS connection.
            with (
                context.wrap_socket(socket.socket(family, kind, protocol)) as secured,
                suppress(ConnectionRefusedError),
            ):
                secured.settimeout(_PROBE_S)
                secured.connect(address)
                return True
    except OSError as error:
        # A server that demands a certificate has answered too.
        return (getattr(error, "reason", None) or "") in _MISSING
    return False


def only_tls(where: str, secured: str, *, plain_port: int) -> str:
    """The sentence for a port that speaks TLS, and was spoken to without."""
    return f"The port of {where} speaks only TLS. Use {secured}, or the port without TLS (RabbitMQ: {plain_port})."


def _of_certificate(error: ssl.SSLCertVerificationError, where: str) -> str:
    code, said = error.verify_code, error.verify_message.rstrip(".")
    if code == _EXPIRED:
        return f"The certificate of {where} has expired, or that of its CA. Renew it, and restart the broker."
    if code == _NOT_YET_VALID:
        return f"The certificate of {where} is not valid yet. Are the clocks of both machines right?"
    if code in {_WRONG_HOST, _WRONG_ADDRESS}:
        return (
            f"The certificate of {where} is for another host ({said}). Use a host name of the certificate in the URL; "
            "Celery replaces localhost by 127.0.0.1."
        )
    return f"The certificate of {where} is not signed by a CA that we trust ({said}). Set {_CA} to the broker's CA."


def _began(where: str) -> str:
    return where[:1].upper() + where[1:]
