"""What every run of the lab starts with: a virtual host, an app that publishes to it, and workers that consume."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from celery import Celery

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.delivery.publishing.confirm_publishing import confirm_publishing
from proj.journal.recording.listener import Listener
from proj.lab.processes.waiting import wait_until
from proj.lab.processes.worker import refuse_ended
from proj.lab.runs.depth_sampler import DepthSampler
from proj.lab.runs.worker_info import ask_run_workers
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kombu import Connection
    from kombu.connection import ConnectionPool

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker as WorkerRecord
    from proj.lab.broker import Broker
    from proj.lab.cluster import Cluster
    from proj.lab.processes.worker import Worker

#: Seconds until all workers must consume and answer; 5 s were measured for four workers on two cores. The demo starts
#: six and Flower at once, and the machine may be busy.
WORKERS_TIMEOUT_S = 120.0


class RunClient(Service):
    """A virtual host that is named after the run, an app on it, and a listener to the events of its workers."""

    def __init__(self, run: str, *, broker: Broker | Cluster, **settings: object) -> None:
        """Prepare the app with `settings` besides those of `proj.settings`; nothing is started before `start`."""
        self.url = broker.url(run)
        self.app = Celery("proj.lab", set_as_current=False)
        self.app.config_from_object("proj.settings")
        # Both URLs, because CELERY_BROKER_URL in the user's environment would overrule `broker_url`. That broker may
        # speak TLS, and this one does not.
        self.app.conf.update(broker_read_url=self.url, broker_write_url=self.url, broker_use_ssl=False, **settings)
        # Of messages that nobody confirms, a quorum queue loses the last ones when their connection closes soon.
        confirm_publishing(self.app)
        self.listener = Listener(self.app, self.app.connection_for_read())
        self._run = run
        self._broker = broker
        self._running = ExitStack()

    def start(self) -> None:
        """Make the virtual host and listen to its events."""
        self._broker.add_vhost(self._run)
        self._running.callback(self._broker.remove_vhost, self._run)
        # The stub says ProducerPool; Celery gives its pool of connections.
        self._running.callback(cast("ConnectionPool", self.app.pool).force_close_all)
        self._running.enter_context(self.listener)

    def stop(self) -> None:
        """Stop listening and remove the virtual host; safe to call twice and before `start`."""
        self._running.close()

    def sampler(self, queue: str) -> DepthSampler:
        """A sampler of the queue, which is not started yet."""
        return DepthSampler(
            queue, connection=self.app.connection_for_read(), management=self._broker.management, vhost=self._run
        )

    def wait_until_ready(self, workers: Sequence[Worker], consumers: Mapping[str, int]) -> None:
        """Return when each queue has its number of consumers and each worker answers.

        Raises:
            ProcessEnded: a worker ended instead.
            DeadlinePassed: the workers took too long.
        """
        wait_for_consumers(self.app.connection_for_read(), workers, consumers)
        nodes = [worker.node for worker in workers]
        wait_until(
            lambda: len(self.worker_records(nodes, ())) == len(nodes),
            what="all workers to answer",
            timeout_s=WORKERS_TIMEOUT_S,
        )

    def worker_records(self, nodes: Sequence[str], attempts: Iterable[Attempt]) -> list[WorkerRecord]:
        """What each of these workers says of itself, and how many of the attempts it started; without silent ones."""
        started = Counter(attempt.worker for attempt in attempts if attempt.started is not None)
        return [self._with_most(record) for record in ask_run_workers(self.app, nodes, started_seen=started)]

    def _with_most(self, record: WorkerRecord) -> WorkerRecord:
        """The record with the largest window and the most held messages of all heartbeats, in adaptive dispatch."""
        told = self.listener.heartbeats.get(record.name)
        if told is None or told.window is None or told.held is None:
            return record
        return replace(record, window=max(record.window or 0, told.window), held=max(record.held or 0, told.held))


def wait_for_consumers(connection: Connection, workers: Sequence[Worker], consumers: Mapping[str, int]) -> None:
    """Return when each queue has its number of consumers; the connection is closed then.

    Raises:
        ProcessEnded: a worker ended instead.
        DeadlinePassed: the workers took too long.
    """
    with connected(connection) as open_connection:

        def all_consume() -> bool:
            refuse_ended(workers)
            depths = depths_by_declare(open_connection, list(consumers))
            return {depth.name: depth.consumers for depth in depths} == consumers

        wait_until(all_consume, what="all workers to consume", timeout_s=WORKERS_TIMEOUT_S)
