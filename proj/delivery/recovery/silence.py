"""How long a broker may be silent before it counts as gone."""

from __future__ import annotations

#: Heartbeat intervals without a sign of life after which the broker is gone: RabbitMQ's own rule.
#: Source: https://www.rabbitmq.com/docs/heartbeats
INTERVALS = 2
#: Seconds for a worker without heartbeats (`broker_heartbeat` 0 or None).
WITHOUT_HEARTBEATS_S = 20.0


def silence_limit_s(heartbeat_s: float | None) -> float:
    """Seconds after which a silent broker counts as gone, for heartbeats every `heartbeat_s` seconds."""
    return INTERVALS * heartbeat_s if heartbeat_s else WITHOUT_HEARTBEATS_S
