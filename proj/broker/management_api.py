"""RabbitMQ's management API: requests, and one clear error when they fail."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit

from proj.errors import InvalidSetting, NoManagement

#: The plug-in's default port.
DEFAULT_PORT = 15672
#: Seconds to wait for an answer; on loopback it takes milliseconds.
TIMEOUT_S = 5.0
#: Bytes that are read of a refusal.
_MOST_OF_A_REFUSAL = 500


class Management:
    """A client of one broker's management API."""

    def __init__(self, api_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Take the URL in Flower's form, `http://user:password@host:15672/api/`, and the seconds to wait for an answer.

        Raises:
            InvalidSetting: it is no such URL.
        """
        parts = urlsplit(api_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidSetting(
                "The broker API", api_url.rpartition("@")[2], "a URL such as http://user:password@localhost:15672/api/"
            )
        self._base = f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORT}"
        credentials = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._timeout_s = timeout_s
        self._authorization = "Basic " + base64.b64encode(credentials.encode()).decode()

    @property
    def page(self) -> str:
        """The address of the management page, without the password."""
        return self._base + "/"

    def request(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 JSON has no narrower type
        """The API's answer as JSON, None when it is empty.

        Raises:
            NoManagement: nothing answers there, or it refuses.
        """
        request = urllib.request.Request(  # noqa: S310 the scheme is that of the URL the user gave
            f"{self._base}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310 as above
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise NoManagement(
                f"The management API at {self._base} refuses {method} {path}: {error.code} {error.reason}{_why(error)}."
            ) from error
        except (OSError, ValueError) as error:
            raise NoManagement(f"No management API answers at {self._base}: {error}.") from error
        return json.loads(text) if text else None


def _why(refusal: urllib.error.HTTPError) -> str:
    """The reason that RabbitMQ gives for a refusal, in brackets; empty when it gives none."""
    try:
        with refusal:
            reason = json.loads(refusal.read(_MOST_OF_A_REFUSAL))["reason"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return f" ({' '.join(reason.split())})" if isinstance(reason, str) else ""
