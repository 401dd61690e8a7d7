"""How full queues are: by the management API where there is one, else by AMQP alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.broker.app_management import AppManagement
from proj.broker.cluster import majority
from proj.broker.connection import connected, count_queue, open_channel
from proj.broker.pauses import paused, paused_by_management
from proj.errors import NoManagement
from proj.queues import JOURNAL_ARGUMENT, MADE_ARGUMENT, is_plumbing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery
    from kombu import Connection

    from proj.broker.management_api import Management

#: Counters of the management API for messages that consumers have finished.
FINISHED = ("ack", "deliver_no_ack", "get_no_ack")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What the broker says of one queue."""

    name: str
    #: quorum, classic or stream; None without the management API.
    type: str | None
    #: Messages that wait for a consumer.
    ready: int
    #: Messages that consumers have and did not acknowledge yet; None without the management API.
    unacknowledged: int | None
    consumers: int
    #: Messages that may wait in it, by policy or argument; None when there is no limit, or it is unknown.
    limit: int | None = None
    #: Whether the broker deletes it when it is unused for a while, by policy or argument.
    expires: bool = False
    #: Of the event queue of a journal: the path of the journal, and when the queue was made (seconds since the epoch).
    journal: str | None = None
    made: float | None = None
    #: Whether workers are told not to consume from it (`proj.broker.pauses`).
    paused: bool = False
    #: Of a quorum queue of which too few members are online: which are.
    lost_majority: majority.LostMajority | None = None

    @property
    def is_plumbing(self) -> bool:
        """Whether Celery or our workers made the queue for themselves, and no message waits in it."""
        return self.ready == 0 and is_plumbing(self.name)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What consumers have done with one queue's messages, by the broker's statistics, which are seconds old."""

    #: Messages acknowledged, or taken without acknowledgement, since the queue or the broker started.
    finished: int
    #: Whether every consumer acknowledges and has a prefetch window.
    windowed: bool


class QueueDepths:
    """Reads the depths of the queues that an app uses, from the best source that answers."""

    def __init__(self, app: Celery, *, broker_api: str | None = None) -> None:
        """Read the broker of `app`; its management API is at `broker_api`, or on the usual port of the broker's host.

        Raises:
            InvalidSetting: `broker_api` is not a URL.
        """
        self._app = app
        self._address = app.connection_for_read()
        self.management = AppManagement(app, broker_api)
        #: Why the last reading is not complete, for people; None when it is.
        self.doubt: str | None = None
        #: Which queues of the last reading have no majority, for people; None when none is known.
        self.without_majority: str | None = None

    def read(self, also: Iterable[str] = ()) -> list[Depth]:
        """The depths of all queues now, by name; without the management API, of the app's own queues and `also`.

        Raises:
            NoBroker: neither the management API nor AMQP answers.
            OtherBroker: the management API is that of another broker.
        """
        vhost = self._address.virtual_host or "/"
        try:
            depths = depths_by_management(self.management, vhost)
            at_rest = paused_by_management(self.management, vhost)
        except NoManagement as error:
            self.doubt = (
                f"{error.message} So only the app's own queues are shown, without unacknowledged messages. "
                "--broker-api takes another address or user."
            )
            return self._by_declare({*self._app.amqp.queues, *also}, with_pauses=True)
        self.doubt = None
        self.without_majority = majority.sentence([lost for each in depths if (lost := each.lost_majority) is not None])
        depths = [replace(depth, paused=depth.name in at_rest) for depth in depths]
        # The API knows consumers, and a quorum queue's ready messages, seconds late; a passive declaration counts now.
        # But it restarts the time after which an unused queue expires, and so would keep what a dead worker left.
        # Of a queue without a majority it says that it is empty.
        asked = (
            depth.name
            for depth in depths
            if not depth.is_plumbing and not depth.expires and depth.lost_majority is None
        )
        now = {depth.name: depth for depth in self._by_declare(asked)}
        return [
            replace(depth, ready=now[depth.name].ready, consumers=now[depth.name].consumers)
            if depth.name in now
            else depth
            for depth in depths
        ]

    def read_progress(self) -> dict[str, Progress]:
        """What consumers have done with the messages of each queue; empty without the management API."""
        try:
            return progress_by_management(self.management, self._address.virtual_host or "/")
        except NoManagement:
            return {}

    def _by_declare(self, names: Iterable[str], *, with_pauses: bool = False) -> list[Depth]:
        with connected(self._app.connection_for_read()) as connection:
            depths = depths_by_declare(connection, names)
            if not with_pauses:
                return depths
            at_rest = paused(connection.connection, [depth.name for depth in depths])
            return [replace(depth, paused=depth.name in at_rest) for depth in depths]


def depths_by_management(management: Management, vhost: str = "/") -> list[Depth]:
    """Every queue of the virtual host, by name.

    The listing with `enable_queue_totals` is live for classic queues, where the one with statistics is up to nine
    seconds old. For quorum queues it is as old as their last tick (`quorum_tick_interval`, five seconds). It has no
    consumers; these come from a list of their own, up to five seconds old.

    Raises:
        NoManagement: the API does not answer, or refuses.
    """
    there = quote(vhost, safe="")
    queues = management.request("GET", f"queues/{there}?disable_stats=true&enable_queue_totals=true")
    policies = _policies(management, there)
    consumers: dict[str, int] = {}
    for consumer in management.request("GET", f"consumers/{there}"):
        name = consumer["queue"]["name"]
        consumers[name] = consumers.get(name, 0) + 1
    return [_from_listing(queue, consumers, policies) for queue in sorted(queues, key=lambda queue: str(queue["name"]))]


def progress_by_management(management: Management, vhost: str = "/") -> dict[str, Progress]:
    """What consumers have done with the messages of each queue, by the queue's name.

    Raises:
        NoManagement: the API does not answer, or refuses.
    """
    there = quote(vhost, safe="")
    consumers = management.request("GET", f"consumers/{there}")
    # A consumer whose prefetch count is 0 has its channel's, which is 0 for no limit.
    has_channel_windows = any(not consumer.get("prefetch_count") for consumer in consumers)
    channels = management.request("GET", f"vhosts/{there}/channels") if has_channel_windows else []
    windows = {channel.get("name"): channel.get("global_prefetch_count") for channel in channels}
    unlimited = {
        consumer["queue"]["name"]
        for consumer in consumers
        if not consumer.get("ack_required")
        or not (consumer.get("prefetch_count") or windows.get(consumer.get("channel_details", {}).get("name")))
    }
    return {
        queue["name"]: Progress(
            finished=sum(queue.get("message_stats", {}).get(count, 0) for count in FINISHED),
            windowed=queue["name"] not in unlimited,
        )
        for queue in management.request("GET", f"queues/{there}?columns=name,message_stats")
    }


def depths_by_declare(connection: Connection, names: Iterable[str]) -> list[Depth]:
    """The named queues that exist, counted now by passive declarations: ready messages and consumers."""
    depths = []
    for name in sorted(names):
        # The broker closes the channel when a queue does not exist, so each is asked on its own.
        channel = open_channel(connection)
        try:
            answer = count_queue(channel, name)
        except connection.channel_errors:
            continue
        depths.append(
            Depth(
                name=name,
                type=None,
                ready=answer.message_count,
                unacknowledged=None,
                consumers=answer.consumer_count,
            )
        )
        channel.close()
    return depths


def _policies(management: Management, there: str) -> dict[str, dict[str, Any]]:
    """The definition of each policy, by its name; empty for a user who may not see policies."""
    try:
        policies = management.request("GET", f"policies/{there}")
    except NoManagement:
        return {}
    return {each["name"]: each["definition"] for each in policies}


def _from_listing(queue: dict[str, Any], consumers: dict[str, int], policies: dict[str, dict[str, Any]]) -> Depth:
    arguments = queue.get("arguments", {})
    policy = policies.get(queue.get("policy") or "", {})
    limits = [arguments.get("x-max-length"), policy.get("max-length")]
    return Depth(
        name=queue["name"],
        type=queue.get("type") or arguments.get("x-queue-type", "classic"),
        ready=queue.get("messages_ready", 0),
        unacknowledged=queue.get("messages_unacknowledged", 0),
        consumers=consumers.get(queue["name"], 0),
        # RabbitMQ applies the lesser one.
        limit=min((limit for limit in limits if isinstance(limit, int)), default=None),
        expires="x-expires" in arguments or "expires" in policy,
        journal=arguments.get(JOURNAL_ARGUMENT),
        made=arguments.get(MADE_ARGUMENT),
        lost_majority=majority.lost_majority(queue),
    )
