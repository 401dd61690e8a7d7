"""The catalogue of faults: what each one does, and what it needs of the system under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.lab.drills.faults import backend, broker, cluster, descriptors, embedded, messages, network, pipeline, workers
from proj.lab.drills.system.system_under_test import Needs
from proj.queues import CLASSIC

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.broker.version import BrokerVersion
    from proj.lab.drills.system.system_under_test import SystemUnderTest


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault."""

    name: str
    #: Injects the fault while tasks run, and returns what it did; raises `NotStruck` when it had no effect.
    strike: Callable[[SystemUnderTest], str]
    #: What it needs of the system under test.
    needs: Needs = field(default_factory=Needs)
    #: The type of queue on which `--short` tries it; None when `--short` leaves it out.
    short_on: str | None = None
    #: Whether it happens only where `consumer_timeout` applies.
    is_timeout: bool = False
    #: Whether it is a task or a message that deserves to be a dead letter.
    has_guilty: bool = False
    #: Whether it happens only to a cluster.
    on_cluster: bool = False

    def obstacle(self, version: BrokerVersion, queue_type: str, nodes: int = 1) -> str:
        """Why it cannot happen on this type of queue of this RabbitMQ, in one sentence; empty when it can."""
        if self.on_cluster and queue_type == CLASSIC:
            return "A classic queue is on one node of a cluster."
        if self.needs.through_proxy and nodes > 1:
            return "The proxy of the drills leads to one node."
        if self.is_timeout and queue_type == CLASSIC and not version.times_out_classic_queues:
            return f"RabbitMQ {version} has no consumer timeout on classic queues."
        return ""


_PROXY = Needs(through_proxy=True)
_STAGES = Needs(pipeline=True)
_BACKEND = Needs(worker_settings={"result_backend": "proj.lab.drills.system.backend:Backend"})
#: The broker redelivers an unacknowledged message after seconds instead of half an hour.
_IMPATIENT = (("consumer_timeout", str(broker.CONSUMER_TIMEOUT_S * 1000)),)

#: All faults, in the order in which they are tried. Those that need settings of the broker are last.
FAULTS: tuple[Fault, ...] = (
    Fault(name="worker-killed", strike=workers.kill_workers, short_on="quorum"),
    Fault(name="child-killed", strike=workers.kill_children, short_on="classic"),
    Fault(name="sigterm", strike=workers.terminate_workers),
    Fault(name="sigquit", strike=workers.quit_workers),
    Fault(
        name="soft-shutdown",
        strike=workers.shut_down_softly,
        needs=Needs(worker_settings={"worker_soft_shutdown_timeout": "1"}),
    ),
    Fault(name="suspended", strike=workers.suspend_worker),
    Fault(name="no-descriptors", strike=descriptors.exhaust, needs=_PROXY),
    Fault(name="connections-closed", strike=broker.close_connections),
    Fault(name="memory-alarm", strike=broker.block_publishers),
    Fault(name="queue-full", strike=broker.fill_queue),
    Fault(name="network-cut", strike=network.cut, needs=_PROXY),
    Fault(name="half-open", strike=network.freeze, needs=_PROXY),
    Fault(name="handshake-frozen", strike=network.freeze_handshakes, needs=_PROXY),
    Fault(name="embedded-worker", strike=embedded.end_workers, needs=Needs(through_proxy=True, embedded=True)),
    Fault(name="kills-child", strike=messages.poison("kill_child"), has_guilty=True),
    Fault(name="kills-main", strike=messages.poison("kill_main"), has_guilty=True),
    Fault(name="system-exit", strike=messages.poison("leave"), has_guilty=True),
    Fault(name="memory-error", strike=messages.poison("exhaust"), has_guilty=True),
    Fault(name="malformed", strike=messages.send_malformed, short_on="classic", has_guilty=True),
    Fault(name="poisoned-bulk", strike=messages.send_poisoned),
    Fault(name="backend-away", strike=backend.leave, needs=_BACKEND),
    Fault(name="backend-slow", strike=backend.slow_down, needs=_BACKEND),
    Fault(name="dead-letters-gone", strike=broker.delete_dead_letters, has_guilty=True),
    Fault(name="stage-killed", strike=workers.kill_workers, needs=_STAGES),
    Fault(name="stage-child-killed", strike=workers.kill_children, needs=_STAGES),
    Fault(name="stage-raises", strike=pipeline.raise_in_stages, needs=_STAGES),
    Fault(name="broker-restarted", strike=broker.restart),
    Fault(name="broker-killed", strike=broker.kill, short_on="quorum"),
    Fault(
        name="consumer-timeout",
        strike=broker.expire_delivery,
        is_timeout=True,
        needs=Needs(
            # The workers neither take leases nor set the timeout.
            worker_settings={"proj_consumer_timeout_s": "(float)0"},
            broker_settings=_IMPATIENT,
        ),
    ),
    Fault(
        name="long-task",
        strike=broker.outlast_timeout,
        is_timeout=True,
        needs=Needs(
            # Celery's syntax for the type of a setting that it does not know.
            worker_settings={"proj_consumer_timeout_s": f"(float){broker.CONSUMER_TIMEOUT_S}"},
            broker_settings=_IMPATIENT,
        ),
    ),
    Fault(
        name="alarm-with-lease",
        strike=broker.block_leases,
        needs=Needs(
            worker_settings={
                "proj_consumer_timeout_s": f"(float){broker.LEASE_TIMEOUT_S}",
                "worker_send_task_events": "true",
                # A result that no broker confirms keeps its task's message, here for longer than the timeout.
                "result_backend": "disabled://",
            },
            broker_settings=(("consumer_timeout", str(broker.LEASE_TIMEOUT_S * 1000)),),
        ),
    ),
)
#: Those of a cluster, in the order in which they are tried.
CLUSTER_FAULTS: tuple[Fault, ...] = (
    Fault(name="leader-killed", strike=cluster.kill_leader, short_on="quorum", on_cluster=True),
    Fault(name="follower-killed", strike=cluster.kill_follower, on_cluster=True),
    Fault(name="leader-moved", strike=cluster.move_leader, on_cluster=True),
    Fault(name="disk-alarm", strike=cluster.alarm_one_disk, on_cluster=True),
    Fault(name="node-cut-off", strike=cluster.cut_off, on_cluster=True),
    Fault(name="majority-killed", strike=cluster.kill_majority, on_cluster=True),
    Fault(name="rolling-restart", strike=cluster.restart_in_turn, on_cluster=True),
    Fault(name="cluster-killed", strike=cluster.kill_all, on_cluster=True),
)
BY_NAME = {fault.name: fault for fault in (*FAULTS, *CLUSTER_FAULTS)}
