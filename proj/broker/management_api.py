"""RabbitMQ's management API: requests, and one clear error when they fail."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from proj.broker.tls.mistakes import mistake, only_tls, speaks_tls
from proj.broker.tls.options import https_context
from proj.errors import InvalidSetting, NoManagement

if TYPE_CHECKING:
    from proj.broker.tls.options import TlsOptions

#: The plug-in's default port.
DEFAULT_PORT = 15672
#: And with TLS.
TLS_PORT = 15671
#: Seconds to wait for an answer; on loopback it takes milliseconds.
TIMEOUT_S = 5.0
#: The first status with which a node says that the fault is its own: it starts, or lacks the others.
_OUT_OF_ORDER = 500
#: Bytes that are read of a refusal.
_MOST_OF_A_REFUSAL = 500


class Management:
    """A client of one broker's management API, which each node of a cluster has."""

    def __init__(self, api_url: str, *, timeout_s: float = TIMEOUT_S, tls: TlsOptions = None) -> None:
        """Take the URL in Flower's form, `http://user:password@host:15672/api/`, and the seconds to wait for an answer.

        Several URLs have a `;` between them: a node that does not answer is passed over. `https://` trusts whom `tls`
        trusts, options as of Celery's `broker_use_ssl`.

        Raises:
            InvalidSetting: it is no such URL, or a file of the options cannot be used.
        """
        self._addresses = tuple(_read(url.strip()) for url in api_url.split(";"))
        self._tls = tls
        is_secured = any(address.base.startswith("https:") for address in self._addresses)
        self._context = https_context(tls) if is_secured else None
        self._timeout_s = timeout_s
        #: The number of the address that answered last.
        self._current = 0

    @property
    def page(self) -> str:
        """The address of the management page, without the password; of a cluster that of the node that answers."""
        return self._addresses[self._current].base + "/"

    def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 JSON has no narrower type
        """The API's answer as JSON, None when it is empty.

        Raises:
            NoManagement: nothing answers there, or it refuses.
        """
        silent: list[NoManagement] = []
        for number in range(len(self._addresses)):
            at = (self._current + number) % len(self._addresses)
            try:
                said = self._ask(self._addresses[at], method, path, body)
            except _PassedOver as error:
                silent.append(error)
                continue
            self._current = at
            return said
        raise NoManagement(" ".join(error.message for error in silent)) from silent[-1]

    def _ask(self, address: _Address, method: str, path: str, body: object) -> Any:  # noqa: ANN401 as above
        """The answer of one node.

        Raises:
            _PassedOver: another node may be asked.
            NoManagement: it refuses, and another would too.
        """
        request = urllib.request.Request(  # noqa: S310 the scheme is that of the URL the user gave
            f"{address.base}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": address.authorization, "Content-Type": "application/json"},
        )
        # What a node has taken and not answered may be done.
        is_harmless = method == "GET"
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._context) as answer:  # noqa: S310 as above
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            kind = _PassedOver if is_harmless and error.code >= _OUT_OF_ORDER else NoManagement
            said = f"{error.code} {error.reason}{_why(error)}"
            raise kind(f"The management API at {address.base} refuses {method} {path}: {said}.") from error
        # Another server, or a port that speaks something else, answers with what is no JSON or no HTTP.
        except (OSError, ValueError, HTTPException) as error:
            # The request was not sent.
            is_unsent = isinstance(error, urllib.error.URLError)
            kind = _PassedOver if is_harmless or is_unsent else NoManagement
            why = "its answer is no JSON" if isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)) else error
            said = self._mistake(address, error) or f"No management API answers at {address.base}: {why}."
            raise kind(said) from error

    def _mistake(self, address: _Address, error: Exception) -> str | None:
        """What is wrong with the use of TLS, if anything is."""
        where = f"the management API at {address.base}"
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, str):
            return None
        if address.base.startswith("https:"):
            # The TLS of what answers, or says nothing, is in order.
            if isinstance(cause, HTTPException):
                return None
            has_certificate = isinstance(self._tls, Mapping) and bool(self._tls.get("certfile"))
            return mistake(cause, where, has_certificate=has_certificate, tls_port=TLS_PORT, plain="http://")
        host, port = urlsplit(address.base).hostname or "", urlsplit(address.base).port or DEFAULT_PORT
        if isinstance(cause, HTTPException | ConnectionResetError) and speaks_tls(host, port):
            return only_tls(where, "https://", plain_port=DEFAULT_PORT)
        return None


class _PassedOver(NoManagement):
    """One node does not answer."""


class _Address(NamedTuple):
    base: str
    authorization: str


def _read(api_url: str) -> _Address:
    try:
        parts = urlsplit(api_url)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or a bracket that is not closed
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise InvalidSetting(
            "The broker API", api_url.rpartition("@")[2], "a URL such as http://user:password@localhost:15672/api/"
        )
    credentials = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    return _Address(
        f"{parts.scheme}://{bracketed(host)}:{port or (TLS_PORT if parts.scheme == 'https' else DEFAULT_PORT)}",
        "Basic " + base64.b64encode(credentials.encode()).decode(),
    )


def bracketed(host: str) -> str:
    """The host as a URL has it: an address of IPv6 is in brackets."""
    return f"[{host}]" if ":" in host else host


def _why(refusal: urllib.error.HTTPError) -> str:
    """The reason that RabbitMQ gives for a refusal, in brackets; empty when it gives none."""
    try:
        with refusal:
            reason = json.loads(refusal.read(_MOST_OF_A_REFUSAL))["reason"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return f" ({' '.join(reason.split())})" if isinstance(reason, str) else ""
