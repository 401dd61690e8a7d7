"""Which events are let in: Flower computes with what they say, and anyone who reaches the broker may publish any."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proj.journal.event import LARGEST, LATEST, LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

#: Longer texts are cut: Celery cuts arguments and results at 1,024 itself, but not the reason of a failure.
LONGEST_TEXT = 4096
LONGEST_TRACEBACK = 16_384
#: Seconds between two heartbeats; slower than a day is not one.
SLOWEST = 86_400.0
#: Types of events that are not Celery's own, and names of tasks; Flower keeps a counter for each and forgets none.
MOST_TYPES = 100
MOST_TASKS = 5000
#: Seconds of silence after which a sender gives way to a new one, where there are as many as Flower may keep.
SILENCE_S = 120.0
#: Seconds between two looks for silent senders.
LOOK_S = 1.0


def admitted(event: object) -> dict[str, Any] | None:
    """A copy of the event with the fields that Flower knows, each of which it can bear; or None.

    None is for an event that is malformed anywhere: one that lies in one field is not believed in the others.
    Fields that Flower does not know are left out, because it sets them all as attributes of its own objects.
    """
    # Nearly all are dictionaries, and to ask for any mapping takes as long as all the rest.
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
            value = _shown(value, check)  # noqa: PLW2901 the value as it is shown
        elif not check(value):
            return None
        copy[field] = value
    return copy if all(name in copy for name in _REQUIRED.get(group, _ALWAYS)) else None


class Door:
    """Lets events in one after the other, from no more senders than Flower may keep.

    Flower forgets a worker when there are too many, but not its counters; and it would forget the oldest, be it
    alive or not. Here a sender gives way when it has been silent, and is then forgotten altogether.
    """

    def __init__(self, *, senders: int, forget: Callable[[set[str]], None]) -> None:
        """Let in events of so many senders; `forget` is called with the names of those that gave way."""
        self._most = senders
        self._forget = forget
        #: When each sender was heard last.
        self._senders: dict[str, float] = {}
        self._types: set[str] = set()
        self._tasks: set[str] = set()
        self._looked = 0.0

    def admit(self, event: object, *, now: float | None = None) -> dict[str, Any] | None:
        """The event as Flower may have it, or None when it is refused."""
        copy = admitted(event)
        if copy is None:
            return None
        kind = copy["type"]
        if kind not in _CELERYS and not _has_room(self._types, kind, MOST_TYPES):
            return None
        name = copy.get("name")
        if name is not None and not _has_room(self._tasks, name, MOST_TASKS):
            return None
        return copy if self._knows(copy["hostname"], time.monotonic() if now is None else now) else None

    def _knows(self, sender: str, now: float) -> bool:
        if sender not in self._senders and len(self._senders) >= self._most:
            if now - self._looked < LOOK_S:
                return False
            self._looked = now
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
    """A text of a length that a name can have, which can be written as UTF-8: JSON can carry halves of characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and (value.isascii() or _shown(value) == value)


def _is_number(value: object) -> bool:
    """A number from 0 on that neither a date nor a duration stumbles over; neither infinite nor NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_interval(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= SLOWEST


def _are_loads(value: object) -> bool:
    """At most three load averages."""
    return isinstance(value, (list, tuple)) and len(value) <= 3 and all(map(_is_number, value))  # noqa: PLR2004 1, 5 and 15 minutes


def _shown(value: str, longest: int = LONGEST_NAME) -> str:
    return value[:longest].encode("utf-8", "replace").decode()


#: Of each field that Flower knows what its value must be, or, of a text that is only shown, how much of it is kept.
_SENDER: dict[str, Callable[[object], bool] | int] = {
    "hostname": _is_name,
    "timestamp": _is_number,
    "local_received": _is_number,
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
        "runtime": _is_number,
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
