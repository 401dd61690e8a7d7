"""Rounds: the checks of a worker that may be a little late, made in the turn of the loop that sends its heartbeat.

With a timer each, an idle worker would wake up for every one of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from celery.signals import heartbeat_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.asynchronous.timer import Timer

#: Seconds between two rounds at most: Celery's own heartbeat for monitors, or a timer of ours without it.
ROUND_S = 2.0
#: Seconds by which a check may be early: a round is never exactly on time.
_EARLY_S = 0.1


class Heart(Protocol):
    """Celery's `celery.worker.heartbeat.Heart`, of which celery-types leaves this out."""

    timer: Timer
    interval: float


class Consumer(Protocol):
    """Our consumer, `proj.delivery.consuming.consumer.Consumer`."""

    @property
    def timer(self) -> Timer:
        """The worker's."""


@dataclass
class _Check:
    call: Callable[[], object]
    seconds: float
    #: When it was made last.
    made: float


class Rounds:
    """The checks of one connection of a worker; in the thread of the worker's timer."""

    def __init__(self, consumer: Consumer, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make the rounds of `consumer`, which has no timer yet; `clock` gives seconds."""
        self._consumer = consumer
        self._clock = clock
        self._checks: list[_Check] = []
        # Weak. Celery sends it only if someone listens when the heartbeat begins.
        heartbeat_sent.connect(self._on_heartbeat)

    def every(self, seconds: float, check: Callable[[], object]) -> None:
        """Call `check` about every so many seconds, and up to one round later, for as long as the connection lasts."""
        self._checks.append(_Check(check, seconds, self._clock()))

    def begin(self) -> None:
        """Make rounds from now on; a worker without a heartbeat gets a timer for them."""
        if not self._has_heartbeat():
            self._consumer.timer.call_repeatedly(ROUND_S, self.make)
        gossip = getattr(self._consumer, "gossip", None)
        # None with --without-gossip.
        timer = getattr(gossip, "_tref", None)
        if gossip is not None and timer is not None:
            # Celery's own look for workers that are gone.
            timer.cancel()
            self.every(gossip.interval, gossip.periodic)

    def end(self) -> None:
        """Forget the checks: the connection is lost, and the next one has its own."""
        self._checks = []

    def make(self) -> None:
        """Make the checks that are due."""
        now = self._clock()
        for check in self._checks:
            if now - check.made >= check.seconds - _EARLY_S:
                # Before the call, which may fail.
                check.made = now
                check.call()

    def _has_heartbeat(self) -> bool:
        heart: Heart | None = getattr(self._consumer, "heart", None)
        return heart is not None and heart.interval <= ROUND_S

    def _on_heartbeat(self, sender: Heart, **_: object) -> None:
        # A process may have several workers. Not here, because a signal swallows errors on which a worker reconnects.
        if sender.timer is self._consumer.timer and self._has_heartbeat():
            self._consumer.timer.call_after(0, self.make)
