"""Events of tasks and workers, checked: everyone who can reach the broker can publish events with any content."""

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
#: A task that was received after its `expires`. Celery sends a `task-revoked` event with the field `expired` for it.
EXPIRED = "expired"
#: The ends of an attempt that a worker reports.
ENDS = frozenset({SUCCEEDED, "failed", RETRIED, "rejected", REVOKED, EXPIRED})
_KINDS = {f"task-{kind}": kind for kind in (SENT, RECEIVED, STARTED, *(ENDS - {EXPIRED}))}

#: Characters: AMQP limits names to 255, and the ids and names that Celery makes are shorter.
LONGEST_NAME = 255
#: Characters: Celery cuts the arguments that it prints at 1,024.
LONGEST_TEXT = 2000
#: Seconds since the epoch, in the year 5138. A later timestamp is taken to be wrong.
LATEST = 1e11
#: Seconds: a longer interval between heartbeats is cut to this.
SLOWEST_S = 300.0
#: Queues of which a worker counts its dead letters.
MOST_LETTER_QUEUES = 50
#: A larger count is taken to be wrong.
LARGEST = 2**53


class TaskEvent(NamedTuple):
    """One event of a task."""

    task_id: str
    #: sent, received or started, or one of `ENDS`.
    kind: str
    #: Seconds since the epoch by the sender's clock. Celery's own receiver would shift it by the difference of the
    #: time zones (celery#2482).
    time: float
    #: The node name of the worker that sent it; of the producer, for a sent event.
    host: str | None
    name: str | None = None
    #: In sent events, and in the received events of workers with `proj.delivery`.
    queue: str | None = None
    arguments: str = ""
    #: None in all events but sent and received, which do not report it.
    retries: int | None = None
    eta: float | None = None
    runtime_s: float | None = None


class AdaptiveCounts(NamedTuple):
    """What a worker in adaptive dispatch tells of the messages that it asked for in advance."""

    #: Messages that it asks for at a time.
    window: int
    #: Messages that it has and has not given to its pool, so that no event tells of them.
    held: int
    #: Messages that it gave back to their queues since its process began.
    given_back: int


class WorkerEvent(NamedTuple):
    """One event of a worker itself."""

    worker: str
    #: online, heartbeat or offline.
    kind: str
    time: float
    pid: int
    #: Task starts since its process began; None if the event does not report it.
    processed: int | None
    #: Seconds between its heartbeats; None if the event does not report it.
    freq_s: float | None = None
    #: None when the worker is in another dispatch mode.
    adaptive: AdaptiveCounts | None = None
    #: Dead letters that its process has made, by the queue of the message; None when it does not count them.
    letters: Mapping[str, int] | None = None
    #: Results that its processes could not store; None when it does not count them.
    results_lost: int | None = None


def parsed(event: object, *, arguments: bool = True) -> TaskEvent | WorkerEvent | None:
    """The checked event, or None if it is malformed or is not an event of a task or worker.

    With `arguments=False`, the arguments of a task are left out.
    """
    # `isinstance(event, Mapping)` takes as long as the rest of the function, and nearly all events are dictionaries.
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
            interval_s = None if freq_s is None else min(freq_s, SLOWEST_S)
            told = _adaptive_counts(event), _letters(event.get("dead_letters")), _count(event.get("results_lost"))
            return WorkerEvent(worker, rest, time, pid, processed, interval_s, *told)
    return None


def _letters(value: object) -> Mapping[str, int] | None:
    """Counts by queue; None if they are missing or malformed."""
    if not isinstance(value, dict) or len(value) > MOST_LETTER_QUEUES:
        return None
    found = {}
    for key, number in value.items():
        queue, count = _name(key), _count(number)
        if queue is None or count is None:
            return None
        found[queue] = count
    return found


def _adaptive_counts(event: Mapping[str, Any]) -> AdaptiveCounts | None:
    """The counts of adaptive dispatch; None if one is missing or malformed."""
    window, held, given_back = (_count(event.get(field)) for field in AdaptiveCounts._fields)
    if window is None or held is None or given_back is None:
        return None
    return AdaptiveCounts(window, held, given_back)


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
            queue=_name(event.get("queue")),
            arguments=(_text(event.get("args"), LONGEST_TEXT) or "") if arguments else "",
            retries=_count(event.get("retries")) or 0,
            eta=_epoch_s(event.get("eta")),
        )
    return TaskEvent(task_id, kind, time, host, runtime_s=_time(event.get("runtime")) if kind == SUCCEEDED else None)


def _time(value: object) -> float | None:
    """The value as seconds; None if it is not a number from 0 to `LATEST`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST:
        return float(value)
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST else None


def _epoch_s(value: object) -> float | None:
    """Seconds since the epoch of an ISO 8601 time. One without a time zone is in UTC, as Celery's are."""
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
    """The text, cut to `longest` characters, with lone surrogates replaced: JSON can hold them, UTF-8 cannot."""
    if not isinstance(value, str):
        return None
    value = value[:longest]
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
