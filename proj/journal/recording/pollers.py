"""Pollers: threads that ask the broker for queue depths and workers for their settings, again and again."""

from __future__ import annotations

import logging
import threading
import time
from abc import abstractmethod
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from proj.journal import worker_info
from proj.journal.records import Sample
from proj.service import Service

if TYPE_CHECKING:
    from celery import Celery

    from proj.broker.queue_depths import Depth, QueueDepths
    from proj.journal.records import Worker

logger = logging.getLogger(__name__)

#: Seconds between two samples of the queue depths.
SAMPLE_S = 1.0
#: Seconds after which a depth is kept although it has not changed.
UNCHANGED_S = 60.0
#: Seconds between two rounds of asking workers, as in Flower.
ROUND_S = 5.0
#: How often a worker is asked that does not answer completely, and how often of these with the usual time limit.
TIMES = 15
QUICK_TIMES = 5
#: Seconds that a worker may take to reply after that: one on a busy machine, or in the middle of a task in a solo pool.
PATIENT_S = 5.0
#: Seconds to wait for the end of a thread. A thread that still waits for an answer then ends by itself.
END_S = 0.5


class Poller(Service):
    """Calls `poll` every `interval_s` seconds in a thread, until it is stopped."""

    def __init__(self, name: str, interval_s: float, *, stop_timeout_s: float = END_S) -> None:
        """Name the thread; `stop` waits for its end for `stop_timeout_s` seconds."""
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._interval_s = interval_s
        self._stop_timeout_s = stop_timeout_s
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; safe to call twice."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; safe to call twice and before `start`."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(self._stop_timeout_s)

    def poll_soon(self) -> None:
        """Poll now, without waiting for the end of the interval."""
        self._due.set()

    @abstractmethod
    def poll(self) -> None:
        """Poll once. An error is logged, and the next round tries again."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.poll()
            except Exception as error:  # noqa: BLE001 a broker that is away shows as errors of three libraries
                logger.debug(
                    "The thread %s could not poll: %s", self._thread.name, error, extra={"action": "poll_failed"}
                )
            self._due.wait(self._interval_s)
            self._due.clear()


class DepthPoller(Poller):
    """Samples the depths of all queues."""

    def __init__(self, queue_depths: QueueDepths, *, without: str) -> None:
        """Read `queue_depths`, and leave out the queue `without`, which is the recorder's own."""
        super().__init__("depth poller", SAMPLE_S)
        self.samples: SimpleQueue[Sample] = SimpleQueue()
        self._queue_depths = queue_depths
        self._without = without
        #: The last sample of each queue, and the last one that was put into `samples`.
        self._last: dict[str, tuple[Sample, Sample]] = {}

    def poll(self) -> None:
        """Sample each queue into `samples`."""
        self.sample()

    def sample(self) -> list[Depth]:
        """Sample each queue into `samples`, and return the depths.

        A sample that repeats the one before is left out, unless `UNCHANGED_S` seconds have passed or the next one
        differs.

        Raises:
            NoBroker: neither the management API nor the broker answers.
        """
        now = time.time()
        depths = self._queue_depths.read()
        for depth in depths:
            if depth.is_plumbing or depth.name == self._without:
                continue
            self._put(sample_of(depth, now))
        return depths

    def _put(self, sample: Sample) -> None:
        before, kept = self._last.get(sample.queue, (None, None))
        if before is None or kept is None:
            self.samples.put(sample)
            kept = sample
        elif _counts(sample) != _counts(kept) or sample.time - kept.time >= UNCHANGED_S:
            # The sample before the change, too: a line between the kept samples then stays level until the change.
            if before is not kept:
                self.samples.put(before)
            self.samples.put(sample)
            kept = sample
        self._last[sample.queue] = (sample, kept)


class WorkerPoller(Poller):
    """Asks workers for slots, queues and dispatch: all of them at first, then those that `ask` names."""

    def __init__(self, app: Celery, *, enable: bool = True) -> None:
        """Ask the workers of `app`; with `enable`, also tell them to send events of tasks."""
        super().__init__("worker poller", ROUND_S)
        self.workers: SimpleQueue[Worker] = SimpleQueue()
        self._app = app
        self._enable = enable
        self._asked_all = False
        #: How often each worker is still to be asked.
        self._remaining: dict[str, int] = {}
        self._lock = threading.Lock()

    def ask(self, names: set[str]) -> None:
        """Ask the named workers soon."""
        with self._lock:
            self._remaining.update(dict.fromkeys(names, TIMES))
        self.poll_soon()

    def poll(self) -> None:
        """Enable events, and put the answers of the workers that are to be asked into `workers`."""
        if self._enable:
            worker_info.enable_events(self._app)
        if not self._asked_all:
            self._ask(None, worker_info.TIMEOUT_S)
            self._asked_all = True
            return
        with self._lock:
            quick = {name for name, times in self._remaining.items() if times > TIMES - QUICK_TIMES}
            slow = self._remaining.keys() - quick
        # Those that have not answered for long come last: each question to them takes its whole time limit.
        for names, timeout_s in ((quick, worker_info.TIMEOUT_S), (slow, PATIENT_S)):
            if names:
                self._ask(names, timeout_s)

    def _ask(self, names: set[str] | None, timeout_s: float) -> None:
        # A worker counts since its own start, and the recorder from heartbeats since it listens.
        answered = [
            replace(worker, processed=None, window=None, held=None, given_back=None)
            for worker in worker_info.ask_workers(self._app, names, timeout_s=timeout_s)
        ]
        with self._lock:
            # A worker that is just starting may answer one question and not the next.
            complete = {worker.name for worker in answered if worker.slots and worker.queues and worker.dispatch}
            again = {worker.name: TIMES for worker in answered if names is None}
            remaining = {name: times - (name in (names or ())) for name, times in {**again, **self._remaining}.items()}
            self._remaining = {name: times for name, times in remaining.items() if times and name not in complete}
        for worker in answered:
            self.workers.put(worker)


def sample_of(depth: Depth, now: float) -> Sample:
    """The depth of a queue as a sample of the Unix time `now`."""
    return Sample(
        time=now,
        queue=depth.name,
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        consumers=depth.consumers,
    )


def _counts(sample: Sample) -> tuple[int, int | None, int]:
    return sample.ready, sample.unacknowledged, sample.consumers
