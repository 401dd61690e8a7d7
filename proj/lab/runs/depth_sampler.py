"""A thread that samples the depth of a queue of the lab's broker."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from proj.broker.queue_depths import depths_by_declare, depths_by_management
from proj.errors import ProjError
from proj.journal.recording.pollers import Poller, sample_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu import Connection

    from proj.broker.management_api import Management
    from proj.journal.records import Sample

#: Seconds between two samples. The lab's broker counts unacknowledged messages as often.
INTERVAL_S = 0.5
#: Seconds until the thread must have ended.
STOP_TIMEOUT_S = 10.0


class DepthSampler(Poller):
    """Keeps every sample of the depth of one queue between `start` and `stop`.

    The journal's `DepthPoller` leaves out samples that repeat the one before; `empty_for_s` needs them all. This one
    also keeps its connection, because connecting for each sample would disturb the run that is measured.
    """

    def __init__(self, queue: str, *, connection: Connection, management: Management, vhost: str) -> None:
        """Ask over `connection`, which the sampler closes, and over the management API."""
        super().__init__("queue sampler", INTERVAL_S, stop_timeout_s=STOP_TIMEOUT_S)
        self._queue = queue
        self._connection = connection
        self._management = management
        self._vhost = vhost
        self._samples: list[Sample] = []

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples so far, the oldest first."""
        return tuple(self._samples)

    def stop(self) -> None:
        """Stop sampling; safe to call twice and before `start`."""
        super().stop()
        self._connection.release()

    def poll(self) -> None:
        """Take one sample: ready messages and consumers now, unacknowledged ones as the broker counted them last."""
        try:
            known = {depth.name: depth for depth in depths_by_management(self._management, self._vhost)}
        except ProjError:
            known = {}
        for depth in depths_by_declare(self._connection, [self._queue]):
            unacknowledged = known[depth.name].unacknowledged if depth.name in known else None
            self._samples.append(sample_of(replace(depth, unacknowledged=unacknowledged), time.time()))


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
