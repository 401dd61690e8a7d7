"""The catalogue of faults: what each does, and what it needs of the system under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proj.lab.drills.faults import broker, messages, network, pipeline, workers
from proj.lab.drills.system.system_under_test import Needs

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.drills.system.system_under_test import SystemUnderTest


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way to do harm."""

    name: str
    #: Does the harm while tasks run and are published, returns what it did, and raises when it did not strike.
    strike: Callable[[SystemUnderTest], str]
    #: How the system under test must be made for it.
    needs: Needs = field(default_factory=Needs)
    #: Whether it is one of the few that `--short` tries, on this type of queue.
    short_on: str | None = None


_PROXY = Needs(through_proxy=True)
_STAGES = Needs(pipeline=True)
#: Takes a delivery for lost after seconds instead of half an hour.
_IMPATIENT = (("consumer_timeout", str(broker.CONSUMER_TIMEOUT_S * 1000)),)

#: All of them, in the order in which they are tried: those that need a broker of their own kind last.
FAULTS: tuple[Fault, ...] = (
    Fault(name="worker-killed", strike=workers.kill_workers, short_on="quorum"),
    Fault(name="child-killed", strike=workers.kill_children, short_on="classic"),
    Fault(name="sigterm", strike=workers.terminate_workers),
    Fault(name="sigquit", strike=workers.quit_workers),
    Fault(
        name="soft-shutdown",
        strike=workers.leave_softly,
        needs=Needs(worker_settings={"worker_soft_shutdown_timeout": "1"}),
    ),
    Fault(name="suspended", strike=workers.suspend_worker),
    Fault(name="connections-closed", strike=broker.close_connections),
    Fault(name="memory-alarm", strike=broker.block_publishers),
    Fault(name="queue-full", strike=broker.fill_queue),
    Fault(name="network-cut", strike=network.cut, needs=_PROXY),
    Fault(name="half-open", strike=network.freeze, needs=_PROXY),
    Fault(name="handshake-frozen", strike=network.freeze_handshakes, needs=_PROXY),
    Fault(name="kills-child", strike=messages.poison("kill_child")),
    Fault(name="kills-main", strike=messages.poison("kill_main")),
    Fault(name="system-exit", strike=messages.poison("leave")),
    Fault(name="memory-error", strike=messages.poison("exhaust")),
    Fault(name="malformed", strike=messages.send_malformed, short_on="classic"),
    Fault(name="stage-killed", strike=workers.kill_workers, needs=_STAGES),
    Fault(name="stage-child-killed", strike=workers.kill_children, needs=_STAGES),
    Fault(name="stage-raises", strike=pipeline.raise_in_stages, needs=_STAGES),
    Fault(name="broker-restarted", strike=broker.restart),
    Fault(name="broker-killed", strike=broker.kill, short_on="quorum"),
    Fault(name="consumer-timeout", strike=broker.expire_delivery, needs=Needs(broker_settings=_IMPATIENT)),
    Fault(
        name="long-task",
        strike=broker.outlast_timeout,
        needs=Needs(
            # Celery's own spelling of a setting that it has no type for.
            worker_settings={"proj_consumer_timeout_s": f"(float){broker.CONSUMER_TIMEOUT_S}"},
            broker_settings=_IMPATIENT,
        ),
    ),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
