"""How long a broker may be silent before it counts as gone."""

from __future__ import annotations

#: Heartbeats without a sign of life from the broker after which it is gone; RabbitMQ's own rule.
BEATS = 2
#: Seconds for a worker that has switched heartbeats off.
UNBEATEN_S = 20.0


def limit_s(heartbeat: float | None) -> float:
    """Seconds after which a broker that says nothing is gone, for a heartbeat of so many seconds."""
    return BEATS * heartbeat if heartbeat else UNBEATEN_S
