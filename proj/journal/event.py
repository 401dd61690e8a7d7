"""Events of tasks and workers, as far as they can be believed: whoever reaches the broker may publish any."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

SENT = "sent"
RECEIVED = "received"
STARTED = "started"
SUCCEEDED = "succeeded"
RETRIED = "retried"
REVOKED = "revoked"
#: Celery revokes a task that comes too late, and says why in a field of the event.
EXPIRED = "expired"
#: How an attempt can end, by the worker's own word.
ENDS = frozenset({SUCCEEDED, "failed", RETRIED, "rejected", REVOKED, EXPIRED})
_KINDS = {f"task-{kind}": kind for kind in (SENT, RECEIVED, STARTED, *(ENDS - {EXPIRED}))}

#: No id or name that Celery or AMQP makes is longer.
LONGEST_NAME = 255
#: Celery cuts its own printed arguments at 1,024.
LONGEST_TEXT = 2000
#: Seconds since the epoch in the year 5138: beyond it a timestamp is not one.
LATEST = 1e11
#: Seconds between heartbeats that are believed.
SLOWEST_S = 300.0
#: A count that is larger is not one.
LARGEST = 2**53


class TaskEvent(NamedTuple):
    """One event of a task."""

    task_id: str
    #: sent, received, started, or how it ended.
    kind: str
    #: Seconds since the epoch by the sender's clock, as the sender wrote it: Celery's own receiver would shift it by
    #: the difference of the time zones (celery#2482).
    time: float
    #: Who told it; for a sent event the producer.
    host: str | None
    name: str | None = None
    queue: str | None = None
    arguments: str = ""
    #: None where the event does not say it: all but sent and received.
    retries: int | None = None
    eta: float | None = None
    runtime_s: float | None = None


class WorkerEvent(NamedTuple):
    """One event of a worker: that it is online, lives, or goes."""

    worker: str
    #: online, heartbeat or offline.
    kind: str
    time: float
    pid: int
    #: Task starts since the process began; None in the events of old workers.
    processed: int | None
    #: Seconds between its heartbeats; None when it does not say.
    freq_s: float | None = None


def parsed(event: object, *, arguments: bool = True) -> TaskEvent | WorkerEvent | None:
    """What an event says, or None for one that says nothing about tasks or workers, or is malformed.

    Without `arguments`, those of a task are left out.
    """
    # Nearly all are dictionaries, and to ask for any mapping takes as long as all the rest.
    if type(event) is not dict and not isinstance(event, Mapping):
        return None
    kind = event.get("type")
    time = _time(event.get("timestamp"))
    if not isinstance(kind, str) or time is None:
        return None
    if kind in _KINDS:
        expired = kind == "task-revoked" and event.get("expired") is True
        return _task_event(event, EXPIRED if expired else _KINDS[kind], time, arguments=arguments)
    group, _, rest = kind.partition("-")
    if group == "worker" and rest in {"online", "heartbeat", "offline"}:
        worker = _name(event.get("hostname"))
        if worker is not None:
            pid, processed = _count(event.get("pid")) or 0, _count(event.get("processed"))
            freq_s = _time(event.get("freq")) or None
            return WorkerEvent(worker, rest, time, pid, processed, None if freq_s is None else min(freq_s, SLOWEST_S))
    return None


def _task_event(event: Mapping[str, Any], kind: str, time: float, *, arguments: bool) -> TaskEvent | None:
    task_id = _name(event.get("uuid"))
    if task_id is None:
        return None
    host = _name(event.get("hostname"))
    if kind in {SENT, RECEIVED}:
        return TaskEvent(
            task_id,
            kind,
            time,
            host,
            name=_name(event.get("name")),
            queue=_name(event.get("queue")) if kind == SENT else None,
            arguments=(_text(event.get("args"), LONGEST_TEXT) or "") if arguments else "",
            retries=_count(event.get("retries")) or 0,
            eta=_moment(event.get("eta")),
        )
    return TaskEvent(task_id, kind, time, host, runtime_s=_time(event.get("runtime")) if kind == SUCCEEDED else None)


def _time(value: object) -> float | None:
    """A number of seconds that can be one: neither negative nor endless."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST:
        return float(value)
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _moment(value: object) -> float | None:
    """Seconds since the epoch of an ISO 8601 time; one without a zone is in UTC, as Celery's are."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def _name(value: object) -> str | None:
    return _text(value, LONGEST_NAME) or None


def _text(value: object, longest: int) -> str | None:
    """The text, cut; and without halves of characters, which JSON can carry and a file cannot."""
    if not isinstance(value, str):
        return None
    value = value[:longest]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
