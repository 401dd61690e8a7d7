"""All scenes: those that go on side by side, and those that strike everything."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from alerts.scene import Scene
from alerts.scenes import backend, broker, messages, network, workers
from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds for which a fault that raises nothing is watched: longer than the alerts of a queue need, but for that of its
#: oldest task.
WATCHED_S = 330.0


def _gone(name: str, play: Callable[..., Iterator[None]], *, within_s: float) -> Scene:
    return Scene(name=name, play=play, alert="CeleryNoConsumers", queue=name, within_s=within_s)


def _letter(name: str, play: Callable[..., Iterator[None]], *, within_s: float) -> Scene:
    """Each in a virtual host of its own, because all have their letters in the same queue."""
    return Scene(
        name=name, play=play, alert="CeleryDeadLettersRising", queue=DEAD_LETTERS, within_s=within_s, host=name
    )


def _none(name: str, play: Callable[..., Iterator[None]]) -> Scene:
    return Scene(name=name, play=play, queue=name, within_s=WATCHED_S)


#: Those that go on side by side.
TOGETHER = (
    _gone("killed", workers.lasting("killed", workers.send(signal.SIGKILL)), within_s=180),
    _gone("suspended", workers.lasting("suspended", workers.send(signal.SIGSTOP)), within_s=240),
    _gone("sigterm", workers.lasting("sigterm", workers.send(signal.SIGTERM)), within_s=180),
    _gone("sigquit", workers.lasting("sigquit", workers.send(signal.SIGQUIT)), within_s=180),
    _gone(
        "soft-shutdown",
        workers.lasting(
            "soft-shutdown", workers.send(signal.SIGQUIT), settings={"worker_soft_shutdown_timeout": "(float)1"}
        ),
        within_s=180,
    ),
    _gone("no-descriptors", workers.no_descriptors, within_s=240),
    _gone("network-cut", network.cut, within_s=240),
    _gone("handshake-frozen", network.handshake_frozen, within_s=240),
    Scene(
        name="hung",
        play=workers.lasting("hung", workers.hang),
        alert="CeleryWorkersNotConsuming",
        queue="hung",
        within_s=330,
    ),
    Scene(name="unfair", play=workers.unfair, alert="CeleryAvoidableWait", queue="unfair", within_s=300),
    Scene(name="old", play=workers.old, alert="CeleryOldestMessage", queue="old", within_s=780),
    Scene(
        name="backend-away",
        play=backend.troubled("backend-away", "away"),
        alert="CeleryResultsLost",
        within_s=240,
        host="backend-away",
    ),
    Scene(name="suspects", play=messages.suspects, alert="CeleryQuarantine", queue="suspects", within_s=540),
    _letter("kills-child", messages.poison("kills-child", "kill_child"), within_s=150),
    _letter("kills-main", messages.poison("kills-main", "kill_main", is_killed=True), within_s=240),
    _letter("system-exit", messages.poison("system-exit", "leave"), within_s=150),
    _letter("memory-error", messages.poison("memory-error", "exhaust"), within_s=150),
    _letter("malformed", messages.malformed, within_s=150),
    _letter("stage-raises", messages.stage_raises, within_s=150),
    _letter("dead-letters-gone", messages.dead_letters_gone, within_s=180),
    Scene(
        name="dashboard-cut", play=network.dashboard_cut, alert="CeleryEventsLost", within_s=180, host="dashboard-cut"
    ),
    _none("worker-killed", workers.killed_again),
    _none("child-killed", workers.children_killed),
    _none("stage-killed", workers.stages_killed),
    _none("stage-child-killed", workers.stage_children_killed),
    _none("embedded-worker", workers.embedded),
    _none("half-open", network.half_open),
    _none("connections-closed", broker.connections_closed),
    _none("consumer-timeout", broker.consumer_timeout),
    _none("long-task", broker.long_task),
    _none("queue-full", broker.queue_full),
    _none("backend-slow", backend.troubled("backend-slow", "slow")),
    _none("poisoned-bulk", messages.poisoned_bulk),
)
#: Those that strike everything, in turn.
ALONE = (
    Scene(name="broker-restarted", play=broker.restarted, within_s=150),
    Scene(name="memory-alarm", play=broker.memory_alarm, alert="CeleryBrokerAlarm", within_s=180),
    Scene(name="broker-killed", play=broker.killed, alert="CeleryBrokerAway", within_s=120),
)
