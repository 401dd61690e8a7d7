"""Broker poll: asks the broker for the counts of its queues and for the prefetch windows of their consumers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from proj.dashboard.live.status import PrefetchWindow
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.dead_letters.destinations import dropped
from proj.errors import ProjError
from proj.journal.recording.pollers import DepthPoller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from celery import Celery

    from proj.broker.queue_depths import Depth, QueueDepths

#: Seconds between two polls while nobody looks at the page, and between two questions for windows, which the API lists
#: late anyway.
IDLE_S = 15.0
WINDOWS_S = 5.0
#: Seconds after which counts are too old to be shown.
STALE_S = 45.0


@dataclass(frozen=True, kw_only=True)
class BrokerState:
    """The broker's last answers."""

    #: Seconds since the epoch.
    time: float = 0.0
    depths: Mapping[str, Depth] | None = None
    #: By queue; None when the management API could not be asked.
    windows: Mapping[str, tuple[PrefetchWindow, ...]] | None = None
    #: Why the dead letters of a queue go nowhere, by its name.
    dropped: Mapping[str, str] = field(default_factory=dict)
    #: Whether a node has an alarm of its memory or its disk; None when the management API does not tell.
    alarm: bool | None = None
    #: Why the answers are not complete, in one sentence; None when they are.
    doubt: str | None = None
    #: Whether the broker answered, with or without its management API; None before the first answer.
    answers: bool | None = None
    #: Since when it does not answer, in seconds since the epoch.
    away_since: float | None = None


class BrokerPoller(DepthPoller):
    """Polls often while someone looks at the page or reads /metrics, and seldom otherwise."""

    def __init__(self, app: Celery, queue_depths: QueueDepths, *, wanted: Callable[[], bool]) -> None:
        """Ask `queue_depths` and its management API; `wanted` returns whether someone looks."""
        super().__init__(queue_depths, without="")
        self._app = app
        self._vhost = str(app.connection_for_read().virtual_host or "/")
        self._wanted = wanted
        self._polled = self._windows_at = 0.0
        self._windows: Mapping[str, tuple[PrefetchWindow, ...]] | None = None
        self._dropped: Mapping[str, str] = {}
        self._alarm: bool | None = None
        self._seldom_at = 0.0
        self.state = BrokerState()

    def poll(self) -> None:
        """Poll once, unless nobody looks and the last poll is recent."""
        now = time.time()
        if not self._wanted() and 0 <= now - self._polled < IDLE_S:
            return
        self._polled = now
        try:
            depths = self.sample()
        except ProjError as error:
            away_since = now if self.state.away_since is None else self.state.away_since
            self.state = BrokerState(doubt=error.message, answers=False, away_since=away_since)
            return
        if self._queue_depths.doubt is not None:
            self._windows = None
        elif not 0 <= now - self._windows_at < WINDOWS_S:
            self._windows_at = now
            self._windows = self._ask_for_windows()
        if self._queue_depths.doubt is not None:
            self._alarm = None
        elif not 0 <= now - self._seldom_at < IDLE_S:
            self._seldom_at = now
            self._dropped = self._ask_for_dropped()
            self._alarm = self._ask_for_alarm()
        self.state = BrokerState(
            time=now,
            depths={depth.name: depth for depth in depths},
            windows=self._windows,
            dropped=self._dropped,
            alarm=self._alarm,
            doubt=self._queue_depths.doubt,
            answers=True,
        )

    def _ask_for_dropped(self) -> Mapping[str, str]:
        try:
            return dropped(self._queue_depths.management, self._vhost, dead_letters=dead_letter_queue(self._app))
        except ProjError:
            return {}

    def _ask_for_alarm(self) -> bool | None:
        try:
            return has_alarm(self._queue_depths.management.request("GET", "nodes?columns=mem_alarm,disk_free_alarm"))
        except ProjError:  # a user without the tag `monitoring` may not ask
            return None

    def _ask_for_windows(self) -> Mapping[str, tuple[PrefetchWindow, ...]] | None:
        vhost = quote(self._vhost, safe="")
        request = self._queue_depths.management.request
        try:
            consumers = request("GET", f"consumers/{vhost}")
            # A consumer is listed with 0 when its channel has the window; only then are the channels needed.
            some_without = any(isinstance(one, dict) and not one.get("prefetch_count") for one in consumers)
            return prefetch_windows(consumers, request("GET", f"vhosts/{vhost}/channels") if some_without else ())
        except ProjError:
            return None


def has_alarm(nodes: object) -> bool | None:
    """Whether one of the nodes has an alarm, from the management API's list; None when it does not tell.

    Source: https://www.rabbitmq.com/docs/alarms
    """
    alarms = [
        node[name]
        for node in (nodes if isinstance(nodes, list) else ())
        if isinstance(node, dict)
        for name in ("mem_alarm", "disk_free_alarm")
        if name in node
    ]
    return any(alarm is True for alarm in alarms) if alarms else None


def prefetch_windows(consumers: Iterable[object], channels: Iterable[object]) -> dict[str, tuple[PrefetchWindow, ...]]:
    """The prefetch windows of each queue's channels, from the management API's lists of consumers and channels.

    Several consumers of a queue on one channel, as in adaptive dispatch, have the sum of their windows.
    A consumer that is listed with 0 has the window of its channel (`global_prefetch_count`), which is 0 when there is
    no limit. A new channel is listed some seconds late, or without counts; until then the window is not known.
    RabbitMQ 4.3 has no windows of channels: it lists a channel's `prefetch_count` alone.
    """
    by_channel = {
        channel["name"]: channel.get("global_prefetch_count", 0 if "prefetch_count" in channel else None)
        for channel in channels
        if isinstance(channel, dict) and isinstance(channel.get("name"), str)
    }
    found: dict[str, dict[_Channel, list[int | None]]] = defaultdict(lambda: defaultdict(list))
    for number, consumer in enumerate(consumers):
        if not isinstance(consumer, dict) or not isinstance(consumer.get("queue"), dict):
            continue
        own, details = consumer.get("prefetch_count"), consumer.get("channel_details")
        channel = details.get("name") if isinstance(details, dict) else None
        window = own or by_channel.get(channel)
        # A consumer whose channel is not told counts as one with a channel of its own.
        key = _Channel(str(channel or number), is_shared=not own, acknowledges=consumer.get("ack_required") is True)
        found[str(consumer["queue"].get("name"))][key].append(window if isinstance(window, int) else None)
    return {queue: _alike(channels) for queue, channels in found.items()}


class _Channel(NamedTuple):
    name: str
    #: Whether its consumers share the window of the channel.
    is_shared: bool
    acknowledges: bool


def _alike(channels: Mapping[_Channel, Sequence[int | None]]) -> tuple[PrefetchWindow, ...]:
    """The windows of a queue's channels, each with the number of channels and consumers that have it."""
    counts: dict[tuple[int | None, bool], Counter[str]] = defaultdict(Counter)
    for channel, windows in channels.items():
        known = [window for window in windows if window is not None]
        size = None if len(known) < len(windows) else known[0] if channel.is_shared else sum(known)
        counts[size, channel.acknowledges].update(channels=1, consumers=len(windows))
    return tuple(
        PrefetchWindow(window=size, acknowledges=acknowledges, **count)
        for (size, acknowledges), count in sorted(counts.items(), key=lambda one: (one[0][0] is None, one[0]))
    )
