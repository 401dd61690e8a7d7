"""Which workers the broker knows, and which queues each consumes, by the broker's own list of consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.broker.control_bus import node_of_mailbox
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celery import Celery

    from proj.broker.management_api import Management


def queues_by_worker(app: Celery, management: Management, vhost: str) -> dict[str, frozenset[str]]:
    """The queues that each worker consumes, by node name; up to five seconds old.

    A worker that is stopped or stuck is listed too, because the broker keeps its consumers for as long as its
    connection lives. That tells a silent worker from one that does not exist.

    Raises:
        NoManagement: the management API does not answer, or refuses.
    """
    consumers = management.request("GET", f"consumers/{quote(vhost, safe='')}")
    return by_node(consumers, control_exchange=app.conf.control_exchange)


def by_node(consumers: Iterable[Mapping[str, Any]], *, control_exchange: str) -> dict[str, frozenset[str]]:
    """The queues of each worker: those that are consumed over the connection on which it listens for commands."""
    by_connection: dict[str, set[str]] = {}
    for consumer in consumers:
        name = str(consumer["queue"]["name"])
        details = consumer.get("channel_details") or {}
        # The API gives an empty list in the place of an empty object.
        connection = details.get("connection_name", "") if isinstance(details, dict) else ""
        by_connection.setdefault(str(connection), set()).add(name)
    return {
        node: frozenset(other for other in names if not is_plumbing(other))
        for names in by_connection.values()
        for name in names
        if (node := node_of_mailbox(name, control_exchange)) is not None
    }
