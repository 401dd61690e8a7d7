"""Runs drills in lanes, one for each type of queue, at the same time and on separate brokers."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from proj.errors import InvalidSetting
from proj.lab.cluster import private_broker
from proj.lab.drills.drill import Drill
from proj.lab.drills.faults.catalogue import BY_NAME, CLUSTER_FAULTS, FAULTS
from proj.lab.drills.system.strike import Cancelled
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from proj.lab.drills.drill import Result
    from proj.lab.drills.faults.catalogue import Fault
    from proj.lab.processes.guard import Guard


class Progress(Protocol):
    """Is told of drills, from several threads."""

    def begin(self, fault: Fault, queue_type: str) -> None:
        """A drill begins."""

    def end(self, result: Result) -> None:
        """A drill has ended."""

    def skip(self, fault: Fault, queue_type: str, reason: str) -> None:
        """A fault cannot happen there."""


def chosen_faults(names: Sequence[str], queue_type: str, *, short: bool, nodes: int = 1) -> list[Fault]:
    """The named faults, or all without a name: with several nodes those of a cluster, else those of one broker.

    With `short`, only those of the short run on this type of queue.

    Raises:
        InvalidSetting: there is no fault of a given name, or it needs a cluster.
    """
    for name in names:
        if name not in BY_NAME:
            raise InvalidSetting("--fault", name, "one of " + ", ".join(BY_NAME))
        if BY_NAME[name].on_cluster and nodes == 1:
            raise InvalidSetting("--fault", name, "given with --nodes 3")
    usual = CLUSTER_FAULTS if nodes > 1 else FAULTS
    chosen = [fault for fault in BY_NAME.values() if fault.name in names] if names else usual
    return [fault for fault in chosen if not short or fault.short_on == queue_type]


def run_drills(
    faults: dict[str, list[Fault]],
    *,
    dispatch: str,
    guard: Guard,
    progress: Progress,
    keep: Path | None = None,
    version: str | None = None,
    nodes: int = 1,
) -> list[Result]:
    """The results of all faults on each type of queue, in the order of the faults.

    `progress` is told of each drill. A fault that cannot happen on this RabbitMQ is skipped and has no result. Evidence
    and logs of a drill that broke a promise are copied into the folder `keep`. `version` chooses the RabbitMQ, as in
    `Broker`. With several `nodes` it is a cluster.

    Raises:
        ProjError: a broker did not start.
    """
    cancel = threading.Event()
    results: list[Result] = []

    def lane(queue_type: str) -> None:
        for settings, group in itertools.groupby(faults[queue_type], key=lambda fault: fault.needs.broker_settings):
            with ExitStack() as running:
                broker = private_broker(guard, nodes=nodes, settings=dict(settings), version=version)
                running.enter_context(broker)
                for fault in group:
                    if cancel.is_set():
                        raise Cancelled("The drills were interrupted.")
                    # The drill before may have left the broker stopped.
                    broker.start()
                    if obstacle := fault.obstacle(broker.version, queue_type, nodes):
                        progress.skip(fault, queue_type, obstacle)
                        continue
                    progress.begin(fault, queue_type)
                    drill = Drill(
                        fault, queue_type=queue_type, dispatch=dispatch, broker=broker, guard=guard, cancel=cancel
                    )
                    result = drill.run()
                    if keep is not None and result.complaints:
                        drill.keep(keep)
                    results.append(result)
                    progress.end(result)

    with ThreadPoolExecutor(len(faults), thread_name_prefix="drills") as executor:
        lanes = [executor.submit(lane, queue_type) for queue_type in faults]
        try:
            wait_until(lambda: _all_ended_or_one_failed(lanes), what="the end of all drills", timeout_s=float("inf"))
            for each in lanes:
                if each.done():
                    each.result()
        except BaseException:
            # Also at an interruption: the other lane must end before its processes are killed, because its supervisors
            # would start them again.
            cancel.set()
            raise
    order = list(BY_NAME)
    return sorted(results, key=lambda result: (order.index(result.fault), list(faults).index(result.queue_type)))


def _all_ended_or_one_failed(lanes: Sequence[Future[None]]) -> bool:
    ended = [each for each in lanes if each.done()]
    return len(ended) == len(lanes) or any(each.exception() for each in ended)
