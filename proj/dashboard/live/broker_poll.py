"""The broker's side: what it counts in queues, and how many messages it gives their consumers ahead."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.dashboard.live.status import Window
from proj.errors import ProjError
from proj.journal.recording.pollers import DepthPoller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from celery import Celery

    from proj.broker.queue_depths import Depth, QueueDepths

#: Seconds between two looks while nobody waits for one, and between two at the windows, which the API has late anyway.
RARE_S = 15.0
WINDOWS_S = 5.0
#: Seconds after which a count is of no use any more.
STALE_S = 45.0


@dataclass(frozen=True, kw_only=True)
class View:
    """What the broker said last."""

    #: Seconds since the epoch.
    time: float = 0.0
    depths: Mapping[str, Depth] | None = None
    #: By queue; None when nobody could be asked.
    windows: Mapping[str, tuple[Window, ...]] | None = None
    #: Why it is not complete, in one sentence; None when it is.
    doubt: str | None = None


class Broker(DepthPoller):
    """Samples queues while someone wants to know, and now and then when nobody does."""

    def __init__(self, app: Celery, queue_depths: QueueDepths, *, wanted: Callable[[], bool]) -> None:
        """Read `queue_depths`, and the management API that it reads."""
        super().__init__(queue_depths, without="")
        self._app = app
        self._wanted = wanted
        self._looked = self._windows_at = 0.0
        self._windows: Mapping[str, tuple[Window, ...]] | None = None
        self.view = View()

    def poll(self) -> None:
        """Look once, unless nobody wants to know."""
        now = time.time()
        if not self._wanted() and 0 <= now - self._looked < RARE_S:
            return
        self._looked = now
        try:
            depths = self.sample()
        except ProjError as error:
            self.view = View(doubt=error.message)
            return
        if self._queue_depths.doubt is not None:
            self._windows = None
        elif not 0 <= now - self._windows_at < WINDOWS_S:
            self._windows_at = now
            self._windows = self._asked()
        self.view = View(
            time=now,
            depths={depth.name: depth for depth in depths},
            windows=self._windows,
            doubt=self._queue_depths.doubt,
        )

    def _asked(self) -> Mapping[str, tuple[Window, ...]] | None:
        there = quote(self._app.connection_for_read().virtual_host or "/", safe="")
        request = self._queue_depths.management.request
        try:
            consumers = request("GET", f"consumers/{there}")
            # A window of a whole channel is not one of its consumers, who say 0.
            whole = any(isinstance(one, dict) and not one.get("prefetch_count") for one in consumers)
            return windows(consumers, request("GET", f"vhosts/{there}/channels") if whole else ())
        except ProjError:
            return None


def windows(consumers: Iterable[Any], channels: Iterable[Any]) -> dict[str, tuple[Window, ...]]:
    """The windows of each queue's consumers, as the management API lists consumers and channels.

    A consumer that says 0 has the window of its channel (`global_prefetch_count`), which is 0 when there is none. What
    a new channel has is listed some seconds late; until then it is not known.
    """
    of_channel = {
        channel["name"]: channel.get("global_prefetch_count")
        for channel in channels
        if isinstance(channel, dict) and isinstance(channel.get("name"), str)
    }
    found: dict[str, Counter[tuple[int | None, bool]]] = defaultdict(Counter)
    for consumer in consumers:
        if not isinstance(consumer, dict) or not isinstance(consumer.get("queue"), dict):
            continue
        own, channel = consumer.get("prefetch_count"), consumer.get("channel_details")
        window = own or of_channel.get(channel.get("name") if isinstance(channel, dict) else None)
        size = window if isinstance(window, int) else None
        found[str(consumer["queue"].get("name"))][size, consumer.get("ack_required") is True] += 1
    return {
        queue: tuple(
            Window(window=size, consumers=count, acknowledges=acknowledges)
            for (size, acknowledges), count in sorted(own.items(), key=lambda one: (one[0][0] is None, one[0]))
        )
        for queue, own in found.items()
    }
