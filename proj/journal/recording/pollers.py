"""Watches: threads that look at something again and again, and outlive the broker's absence."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from queue import SimpleQueue
from typing import TYPE_CHECKING

from proj.journal import worker_info
from proj.journal.records import Sample
from proj.service import Service

if TYPE_CHECKING:
    from celery import Celery

    from proj.broker.queue_depths import Depth, Gauge
    from proj.journal.records import Worker

logger = logging.getLogger(__name__)

#: Seconds between two samples of the queues.
SAMPLE_S = 1.0
#: Seconds after which a depth is sampled though it did not change.
UNCHANGED_S = 60.0
#: Seconds between two rounds of asking workers, as Flower's.
ROUND_S = 5.0
#: How often a worker that does not answer is asked.
TIMES = 5
#: Seconds to wait for the end of a thread; one that waits for an answer is left to end by itself.
END_S = 0.5


class _Poller(Service):
    """Looks every `interval_s` seconds until it is stopped."""

    def __init__(self, name: str, interval_s: float) -> None:
        self._ending = threading.Event()
        self._due = threading.Event()
        self._interval_s = interval_s
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to look, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Look no more; safe to call twice and before `start`."""
        self._ending.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(END_S)

    def poll_soon(self) -> None:
        """Look now, instead of when it would be time."""
        self._due.set()

    @abstractmethod
    def poll(self) -> None:
        """Look once; whatever fails is tried again in the next round."""

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.poll()
            except Exception as error:  # noqa: BLE001 the broker may be away, in any of the ways of three libraries
                logger.debug("%s could not poll: %s", self._thread.name, error, extra={"action": "poll_failed"})
            self._due.wait(self._interval_s)
            self._due.clear()


class DepthPoller(_Poller):
    """Samples the depths of queues."""

    def __init__(self, gauge: Gauge, *, without: str) -> None:
        """Read `gauge`, but for the queue `without`, which is the recorder's own."""
        super().__init__("sampler", SAMPLE_S)
        self.samples: SimpleQueue[Sample] = SimpleQueue()
        self._gauge = gauge
        self._without = without
        #: Of each queue, its last sample, and that which was given on last.
        self._last: dict[str, tuple[Sample, Sample]] = {}

    def poll(self) -> None:
        """Take a sample of each queue; those that repeat the last are left out, but for the last before a change."""
        self.sample()

    def sample(self) -> list[Depth]:
        """Look, and give the depths too.

        Raises:
            NoBroker: nobody can be asked.
        """
        now = time.time()
        depths = self._gauge.read()
        for depth in depths:
            if depth.is_plumbing or depth.name == self._without:
                continue
            sample = Sample(
                time=now,
                queue=depth.name,
                ready=depth.ready,
                unacknowledged=depth.unacknowledged,
                consumers=depth.consumers,
            )
            self._give(sample)
        return depths

    def _give(self, sample: Sample) -> None:
        before, given = self._last.get(sample.queue, (None, None))
        if before is None or given is None:
            self.samples.put(sample)
            given = sample
        elif _counts(sample) != _counts(given) or sample.time - given.time >= UNCHANGED_S:
            # So that a line that is drawn between two samples stays level until the change.
            if before is not given:
                self.samples.put(before)
            self.samples.put(sample)
            given = sample
        self._last[sample.queue] = (sample, given)


class WorkerPoller(_Poller):
    """Asks workers what they are: all at first, then those that are new or did not answer."""

    def __init__(self, app: Celery, *, enable: bool = True) -> None:
        """Ask the workers of `app`, and unless someone else does, `enable` their events."""
        super().__init__("worker_poller", ROUND_S)
        self.workers: SimpleQueue[Worker] = SimpleQueue()
        self._app = app
        self._enable = enable
        self._everyone = True
        #: Of each worker that is to be asked, how often it still is.
        self._wanted: dict[str, int] = {}
        self._lock = threading.Lock()

    def ask(self, names: set[str]) -> None:
        """Ask the named workers soon."""
        with self._lock:
            self._wanted.update(dict.fromkeys(names, TIMES))
        self._due.set()

    def poll(self) -> None:
        """Have events sent, and ask whoever is to be asked."""
        if self._enable:
            worker_info.enable_events(self._app)
        with self._lock:
            names = None if self._everyone else set(self._wanted)
        if names is not None and not names:
            return
        answered = worker_info.asked(self._app, names)
        self._everyone = False
        with self._lock:
            # A worker that is only just there may answer one question and not the next.
            complete = {worker.name for worker in answered if worker.slots and worker.queues and worker.dispatch}
            partial = {worker.name: TIMES for worker in answered if names is None}
            wanted = {name: times - (name in (names or ())) for name, times in {**partial, **self._wanted}.items()}
            self._wanted = {name: times for name, times in wanted.items() if times and name not in complete}
        for worker in answered:
            self.workers.put(worker)


def _counts(sample: Sample) -> tuple[int, int | None, int]:
    return sample.ready, sample.unacknowledged, sample.consumers
