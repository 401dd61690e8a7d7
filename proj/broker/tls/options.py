"""TLS options, by the names of Celery's `broker_use_ssl`: made safe for AMQP, and read for HTTPS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from proj.errors import InvalidSetting

#: What Celery's setting `broker_use_ssl` may be: whether to use TLS, or options of py-amqp's `SSLTransport`.
TlsOptions = bool | Mapping[str, Any] | None


def with_host_name(options: TlsOptions, host: str) -> dict[str, Any]:
    """The options of one connection to `host`, whose certificate must be for that host.

    py-amqp checks who has signed the certificate, but not for which host it is, unless `server_hostname` is given. So
    the owner of any certificate of the same CA could pose as the broker. A check that the user has switched off stays
    so: `cert_reqs` is `ssl.CERT_NONE`, or `context` has `check_hostname` False.
    """
    found = dict(options) if isinstance(options, Mapping) else {}
    if found.get("server_hostname") is None:
        found.pop("server_hostname", None)
    context = found.get("context")
    if context:
        found["context"] = {"check_hostname": True, **context}
        found.setdefault("server_hostname", host)
    elif found.get("cert_reqs") != ssl.CERT_NONE:
        found.setdefault("server_hostname", host)
    return found


def https_context(options: TlsOptions) -> ssl.SSLContext:
    """The same CA, client certificate and checks, for HTTPS to the same broker.

    Raises:
        InvalidSetting: a file cannot be read, or is not what it should be.
    """
    found = dict(options) if isinstance(options, Mapping) else {}
    given = dict(found.get("context") or {})
    checks_host = bool(given.pop("check_hostname", True))
    ca = given.pop("cafile", None) or found.get("ca_certs")
    try:
        context = ssl.create_default_context(cafile=ca, **given)
    except OSError as error:
        raise InvalidSetting("ca_certs of broker_use_ssl", ca, f"a file with certificates ({_said(error)})") from error
    certificate = found.get("certfile")
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, found.get("keyfile"))
        except OSError as error:
            raise InvalidSetting(
                "certfile of broker_use_ssl", certificate, f"a certificate with its key in keyfile ({_said(error)})"
            ) from error
    if found.get("cert_reqs") == ssl.CERT_NONE:
        checks_host = False
    context.check_hostname = checks_host
    if found.get("cert_reqs") is not None:
        context.verify_mode = found["cert_reqs"]
    return context


def unusable_file(options: TlsOptions) -> str | None:
    """What is wrong with a file of the options, in one sentence; None when nothing is."""
    try:
        https_context(options)
    except InvalidSetting as error:
        return error.message
    return None


def _said(error: OSError) -> str:
    return error.strerror or str(error)
