"""How full a queue is: asked of the management API where there is one, else of AMQP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.broker.connection import connected, count_queue, open_channel
from proj.broker.management_api import Management
from proj.errors import NoManagement
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery
    from kombu import Connection

#: Counts of messages that have left a queue by way of a consumer.
FINISHED = ("ack", "deliver_no_ack", "get_no_ack")


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What the broker says of one queue."""

    name: str
    #: quorum, classic or stream; None when the broker cannot be asked.
    type: str | None
    #: Messages that wait for a consumer.
    ready: int
    #: Messages that a consumer has and did not acknowledge yet; None when the broker cannot be asked.
    unacknowledged: int | None
    consumers: int
    #: Messages that may wait in it, by policy or argument; None when there is no such limit, or nobody may tell.
    limit: int | None = None
    #: Whether it goes when nobody has asked for it for a while; by policy or argument.
    expires: bool = False

    @property
    def is_plumbing(self) -> bool:
        """Whether Celery or our workers made the queue for themselves, and nothing waits in it."""
        return self.ready == 0 and is_plumbing(self.name)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the broker says of what consumers did with one queue's messages; seconds old."""

    #: Acknowledged, or taken without acknowledgement, since the queue or the broker began.
    finished: int
    #: Whether no consumer has more than its window, all of them have one, and all of them acknowledge.
    windowed: bool


class QueueDepths:
    """Reads the depths of the queues that an app uses, from the best source there is."""

    def __init__(self, app: Celery, *, broker_api: str | None = None) -> None:
        """Look at the broker of `app`; its management API is at `broker_api`, or on its host's usual port.

        Raises:
            InvalidSetting: `broker_api` is not a URL.
        """
        self._app = app
        self._address = app.connection_for_read()
        self.management = (
            Management(broker_api)
            if broker_api
            else Management.beside(
                hostname=self._address.hostname or "localhost",
                userid=self._address.userid or "guest",
                password=self._address.password or "guest",
            )
        )
        #: Why the last reading is not complete, for people; None when it is.
        self.doubt: str | None = None

    def read(self, also: Iterable[str] = ()) -> list[Depth]:
        """The queues now, by name; those called `also` too where only the app's own are known.

        Raises:
            NoBroker: neither the management API nor AMQP answers.
        """
        try:
            depths = depths_by_management(self.management, self._address.virtual_host or "/")
        except NoManagement as error:
            self.doubt = (
                f"{error.message} So these are the app's own queues as AMQP counts them, "
                "without what is unacknowledged; --broker-api says where the API is."
            )
            return self._by_declare({*self._app.amqp.queues, *also})
        self.doubt = None
        # The API learns of consumers, and of what is ready in a quorum queue, seconds late; a declaration asks now. It
        # also begins a queue's time to expire anew, and so would keep what a dead worker left for as long as one looks.
        asked = (depth.name for depth in depths if not depth.is_plumbing and not depth.expires)
        now = {depth.name: depth for depth in self._by_declare(asked)}
        return [
            replace(depth, ready=now[depth.name].ready, consumers=now[depth.name].consumers)
            if depth.name in now
            else depth
            for depth in depths
        ]

    def read_progress(self) -> dict[str, Progress]:
        """What consumers did with the messages of each queue; empty when the management API does not tell."""
        try:
            return progress_by_management(self.management, self._address.virtual_host or "/")
        except NoManagement:
            return {}

    def _by_declare(self, names: Iterable[str]) -> list[Depth]:
        with connected(self._app.connection_for_read()) as connection:
            return depths_by_declare(connection, names)


def depths_by_management(management: Management, vhost: str = "/") -> list[Depth]:
    """Every queue of the virtual host, by name.

    The listing with `enable_queue_totals` is live for classic queues, where the one with statistics is up
    to nine seconds old; for quorum queues it is as old as their last tick (`quorum_tick_interval`, five
    seconds). It has no consumers; these come from a list of their own, up to five seconds old.

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
    """What consumers did with the messages of each queue, by its name.

    Raises:
        NoManagement: the API does not answer, or refuses.
    """
    there = quote(vhost, safe="")
    consumers = management.request("GET", f"consumers/{there}")
    # A consumer that says 0 has the window of its channel, which is 0 when there is none.
    whole = any(not consumer.get("prefetch_count") for consumer in consumers)
    channels = management.request("GET", f"vhosts/{there}/channels") if whole else []
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
    """The named queues that exist, counted now by a passive declaration, which knows no more than this."""
    depths = []
    for name in sorted(names):
        # A queue that is not there closes the channel, so each is asked on one of its own.
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
    """The definition of each policy, by its name; none for a user who may not see policies."""
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
        # The lesser one counts.
        limit=min((limit for limit in limits if isinstance(limit, int)), default=None),
        expires="x-expires" in arguments or "expires" in policy,
    )
