"""The management API of RabbitMQ, and the few questions that we ask it."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from proj.errors import NoManagement

#: Where the plug-in listens unless it was told otherwise.
DEFAULT_PORT = 15672
#: Seconds to wait for an answer; on loopback it takes milliseconds.
TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How full a queue is, as the broker says it."""

    name: str
    #: quorum, classic or stream.
    type: str
    #: Messages that wait for a consumer.
    ready: int
    #: Messages that a consumer has and did not acknowledge; None when the broker cannot be asked.
    unacknowledged: int | None
    consumers: int


class Management:
    """A client of one broker's management API."""

    def __init__(self, api_url: str) -> None:
        """Take the URL in Flower's form, `http://user:password@host:15672/api/`."""
        parts = urlsplit(api_url)
        self._base = f"{parts.scheme}://{parts.hostname}:{parts.port or DEFAULT_PORT}"
        credentials = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._authorization = "Basic " + base64.b64encode(credentials.encode()).decode()

    @property
    def page(self) -> str:
        """The address for a browser, without the password."""
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
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 as above
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise NoManagement(
                f"The management API at {self._base} refuses {method} {path}: {error.code} {error.reason}."
            ) from error
        except (OSError, ValueError) as error:
            raise NoManagement(f"No management API answers at {self._base}: {error}.") from error
        return json.loads(text) if text else None

    def depths(self, vhost: str = "/") -> list[Depth]:
        """Every queue of the virtual host, by name, counted now.

        The listing with `enable_queue_totals` is live, where the one with statistics is seconds
        old; it has no consumers, so these are counted from their own list.
        """
        there = quote(vhost, safe="")
        queues = self.request("GET", f"queues/{there}?disable_stats=true&enable_queue_totals=true")
        consumers: dict[str, int] = {}
        for consumer in self.request("GET", f"consumers/{there}"):
            name = consumer["queue"]["name"]
            consumers[name] = consumers.get(name, 0) + 1
        return [
            Depth(
                name=queue["name"],
                type=queue.get("type") or queue.get("arguments", {}).get("x-queue-type", "classic"),
                ready=queue.get("messages_ready", 0),
                unacknowledged=queue.get("messages_unacknowledged", 0),
                consumers=consumers.get(queue["name"], 0),
            )
            for queue in sorted(queues, key=lambda queue: str(queue["name"]))
        ]
