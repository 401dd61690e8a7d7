"""Workers' replies on Celery's control bus, as far as they are what Celery's workers send.

Any version of Celery may reply, and so may anyone who can publish to the broker. So each field is checked, and what
does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A worker's reply to `stats`."""

    #: Tasks that it can run at a time.
    slots: int | None = None
    #: Tasks that it has started since it began.
    started: int | None = None
    #: Seconds since it began.
    uptime_s: float | None = None
    #: The name of its pool's class, such as `celery.concurrency.solo:TaskPool`.
    pool: str = ""
    #: Whether it is in adaptive dispatch, where a worker cancels consumers while it is busy.
    adaptive: bool = False
    #: Messages that it then has and has not given to its pool, so that no other reply names them.
    in_advance: int = 0
    #: Messages that it then asks for at a time, and those that it has given back since it began.
    window: int | None = None
    given_back: int | None = None
    #: The most resident memory that its main process has had, in bytes.
    memory_bytes: int | None = None
    #: The queues that it leaves alone because they are paused.
    paused_queues: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """One task in a worker's reply to `active`, `reserved` or `scheduled`; all None when it cannot be read."""

    id: str | None = None
    #: With which the message was published; for the default exchange that is the queue's name.
    routing_key: str | None = None
    #: The Unix time in seconds at which it was started.
    started_at: float | None = None


def by_node(replies: object, kind: type[_Kind]) -> dict[str, _Kind]:
    """The replies that are of the kind that the command gives, by node name."""
    if not isinstance(replies, Mapping):
        return {}
    return {node: reply for node, reply in replies.items() if isinstance(node, str) and isinstance(reply, kind)}


def read_stats(reply: object) -> Stats:
    """The reply to `stats`."""
    stats = _fields(reply)
    pool = _fields(stats.get("pool"))
    total = stats.get("total")
    dispatch = _fields(stats.get("dispatch"))
    slots = _count(pool.get("max-concurrency"))
    return Stats(
        slots=slots if slots is not None and 0 < slots < 2**31 else None,
        started=sum(_count(count) or 0 for count in total.values()) if isinstance(total, Mapping) else None,
        uptime_s=_number(stats.get("uptime")),
        pool=str(pool.get("implementation") or ""),
        adaptive=dispatch.get("mode") == "adaptive",
        in_advance=_small(dispatch.get("held")) or 0,
        window=_small(dispatch.get("window")),
        given_back=_small(dispatch.get("given_back")),
        memory_bytes=_memory_bytes(_fields(stats.get("rusage")).get("maxrss")),
        paused_queues=frozenset(_texts(stats.get("paused_queues"))),
    )


def read_queues(reply: object) -> list[str]:
    """The names of the queues in the reply to `active_queues`, those that Celery makes for itself too."""
    names = (_fields(queue).get("name") for queue in _elements(reply))
    return [name for name in names if isinstance(name, str)]


def read_registered(reply: object) -> list[str]:
    """The names of the tasks in the reply to `registered`, which may add settings: `name [rate_limit=1]`."""
    return [each.partition(" [")[0] for each in _texts(reply)]


def read_early(reply: object) -> list[str]:
    """The names of the tasks in the reply to `registered` with `acks_late` that are acknowledged before they run."""
    return [name for name, _, late in (each.partition(" [") for each in _texts(reply)) if late == "acks_late=False]"]


def read_tasks(reply: object) -> list[TaskRequest]:
    """The tasks in the reply to `active`, `reserved` or `scheduled`, also one for each element that cannot be read.

    `scheduled` wraps each task with its eta.
    """
    return [_read_task(_fields(task)) for task in _elements(reply)]


def _read_task(task: Mapping[object, object]) -> TaskRequest:
    task = _fields(task.get("request")) or task
    return TaskRequest(
        id=_text(task.get("id")),
        routing_key=_text(_fields(task.get("delivery_info")).get("routing_key")),
        started_at=_number(task.get("time_start")),
    )


def _fields(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}


def _elements(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    return [each for each in _elements(value) if isinstance(each, str)]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _small(value: object) -> int | None:
    """A count of messages that a worker can have."""
    count = _count(value)
    return count if count is not None and 0 <= count < 2**31 else None


def _memory_bytes(maxrss: object) -> int | None:
    """The bytes of `ru_maxrss`, which Linux gives in KiB and macOS in bytes.

    It is taken for bytes from 2**24 on: as KiB it would be 16 GiB or more, and Python alone has as many bytes.
    """
    count = _count(maxrss)
    if count is None or not 0 < count < 2**50:
        return None
    return count if count >= 2**24 else count * 1024


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
