"""A thread that samples the depth of a queue of the lab's broker."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare, depths_by_management
from proj.errors import ProjError
from proj.journal.records import Sample
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu import Connection

    from proj.broker.management_api import Management

#: Seconds between two samples. The lab's broker counts unacknowledged messages as often.
INTERVAL_S = 0.5
#: Seconds until the thread must have ended.
STOP_TIMEOUT_S = 10.0


class DepthSampler(Service):
    """The depth of one queue over time, between `start` and `stop`."""

    def __init__(self, queue: str, *, connection: Connection, management: Management, vhost: str) -> None:
        """Ask over `connection`, which the sampler closes, and over the management API."""
        self._queue = queue
        self._connection = connection
        self._management = management
        self._vhost = vhost
        self._samples: list[Sample] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue sampler", daemon=True)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples so far, the oldest first."""
        return tuple(self._samples)

    def start(self) -> None:
        """Start sampling; the first sample is taken at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; safe to call twice and before `start`."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        with connected(self._connection) as connection:
            while True:
                self._samples.extend(self._look(connection))
                if self._stopping.wait(INTERVAL_S):
                    return

    def _look(self, connection: Connection) -> list[Sample]:
        """One sample: ready messages and consumers now, unacknowledged messages as the broker counted them last."""
        try:
            known = {depth.name: depth for depth in depths_by_management(self._management, self._vhost)}
        except ProjError:
            known = {}
        return [
            Sample(
                time=time.time(),
                queue=depth.name,
                ready=depth.ready,
                unacknowledged=known[depth.name].unacknowledged if depth.name in known else None,
                consumers=depth.consumers,
            )
            for depth in depths_by_declare(connection, [self._queue])
        ]


def empty_for_s(samples: Sequence[Sample]) -> float:
    """Seconds for which every sample has found the queue empty; 0.0 when the last one did not.

    A queue is empty without ready and unacknowledged messages. A sample without a count of the latter finds nothing.
    """
    began = None
    for sample in reversed(samples):
        if sample.ready or sample.unacknowledged != 0:
            break
        began = sample.time
    return 0.0 if began is None else samples[-1].time - began
