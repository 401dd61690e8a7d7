"""Event filter: refuses events that Flower's pages could not show; anyone who reaches the broker can publish them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proj.journal.event import LARGEST, LATEST, LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters after which a text is cut. Celery cuts arguments and results at 1,024, but not a failure's reason.
LONGEST_TEXT = 4096
LONGEST_TRACEBACK = 16_384
#: The most seconds between two heartbeats that a worker may report.
SLOWEST_S = 86_400.0
#: Load averages: over 1, 5 and 15 minutes.
MOST_LOADS = 3
#: Event types that are not Celery's own, and task names. Flower keeps a counter for each and never removes one.
MOST_TYPES = 100
MOST_TASKS = 5000
#: Seconds without an event after which a new sender may replace a sender, when there are as many as Flower may keep.
SILENCE_S = 120.0
#: Seconds between two searches for silent senders.
SEARCH_S = 1.0


def checked_event(event: object) -> dict[str, Any] | None:
    """A copy of the event with the fields that Flower knows; None if any field is malformed.

    An event with one malformed field is refused as a whole. Fields that Flower does not know are left out, because
    Celery's state would set them as attributes of its own objects.
    """
    # Nearly all events are of type dict, and isinstance with Mapping takes as long as all the rest.
    if type(event) is not dict and not isinstance(event, Mapping):
        return None
    kind = event.get("type")
    if not isinstance(kind, str) or not _is_name(kind):
        return None
    group, _, subject = kind.partition("-")
    if not group or not subject:
        return None
    fields = _FIELDS.get(group, _SENDER)
    copy: dict[str, Any] = {"type": kind}
    for field, value in event.items():
        check = fields.get(field)
        if check is None or value is None:
            continue
        if isinstance(check, int):
            if not isinstance(value, str):
                return None
            copy[field] = _cut(value, check)
        elif check(value):
            copy[field] = value
        else:
            return None
    return copy if all(name in copy for name in _REQUIRED.get(group, _ALWAYS)) else None


class EventFilter:
    """Checks events, and accepts them from no more senders than Flower may keep.

    When there are too many workers, Flower removes the oldest, alive or not, and keeps its counters. Here a new sender
    replaces silent ones, and Flower is told to forget those altogether.
    """

    def __init__(self, *, senders: int, forget: Callable[[set[str]], None]) -> None:
        """Accept events of at most `senders`; `forget` is called with the names of those that were replaced."""
        self._most = senders
        self._forget = forget
        #: When the last event of each sender came.
        self._senders: dict[str, float] = {}
        self._types: set[str] = set()
        self._tasks: set[str] = set()
        self._searched = 0.0

    def accept(self, event: object, *, now: float | None = None) -> dict[str, Any] | None:
        """The event for Flower; None if it is refused."""
        copy = checked_event(event)
        if copy is None:
            return None
        kind = copy["type"]
        if kind not in _CELERYS and not _has_room(self._types, kind, MOST_TYPES):
            return None
        name = copy.get("name")
        if name is not None and not _has_room(self._tasks, name, MOST_TASKS):
            return None
        return copy if self._accepts_sender(copy["hostname"], time.monotonic() if now is None else now) else None

    def _accepts_sender(self, sender: str, now: float) -> bool:
        if sender not in self._senders and len(self._senders) >= self._most:
            if now - self._searched < SEARCH_S:
                return False
            self._searched = now
            silent = {name for name, heard in self._senders.items() if now - heard > SILENCE_S}
            if not silent:
                return False
            for name in silent:
                del self._senders[name]
            self._forget(silent)
        self._senders[sender] = now
        return True


def _has_room(names: set[str], name: str, most: int) -> bool:
    if name not in names:
        if len(names) >= most:
            return False
        names.add(name)
    return True


def _is_name(value: object) -> bool:
    """Whether it is a text of the length of a name that can be encoded; JSON can carry halves of characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and (value.isascii() or _cut(value) == value)


def is_number(value: object) -> bool:
    """Whether it is a number that fits a time or a duration: not negative, infinite or NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_interval(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= SLOWEST_S


def _are_loads(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= MOST_LOADS and all(map(is_number, value))


def _cut(value: str, longest: int = LONGEST_NAME) -> str:
    """The begin of a text, with a question mark for each half of a character."""
    return value[:longest].encode("utf-8", "replace").decode()


#: The check of each field that Flower knows; or for a text that is only shown, the characters of it that are kept.
_SENDER: dict[str, Callable[[object], bool] | int] = {
    "hostname": _is_name,
    "timestamp": is_number,
    "local_received": is_number,
    "clock": _is_count,
    "pid": _is_count,
}
_FIELDS = {
    "worker": {
        **_SENDER,
        "freq": _is_interval,
        "active": _is_count,
        "processed": _is_count,
        "loadavg": _are_loads,
        "sw_ident": LONGEST_NAME,
        "sw_ver": LONGEST_NAME,
        "sw_sys": LONGEST_NAME,
    },
    "task": {
        **_SENDER,
        "uuid": _is_name,
        "name": _is_name,
        "retries": _is_count,
        "runtime": is_number,
        "parent_id": _is_name,
        "root_id": _is_name,
        **dict.fromkeys(("eta", "expires", "exchange", "routing_key", "queue"), LONGEST_NAME),
        **dict.fromkeys(("args", "kwargs", "result", "exception"), LONGEST_TEXT),
        "traceback": LONGEST_TRACEBACK,
    },
}
_ALWAYS = ("hostname", "timestamp", "local_received", "clock")
_REQUIRED = {"task": ("uuid", *_ALWAYS)}
_CELERYS = frozenset(
    f"{group}-{subject}"
    for group, subjects in (
        ("task", ("sent", "received", "started", "succeeded", "failed", "retried", "rejected", "revoked")),
        ("worker", ("online", "heartbeat", "offline")),
    )
    for subject in subjects
)
