"""Rules for the headers that Celery's worker reads: what each may hold, and the sentence when it holds another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from celery.app.task import Context

from proj.printable import shown

#: Bytes of a task's id: it is also the `correlation_id`, an AMQP short string.
_LONGEST_ID_BYTES = 255
#: Bytes of a character in UTF-8 at most.
_MOST_BYTES = 4
#: The hard and the soft limit.
_TIME_LIMITS = 2
#: The names in the third part of a body.
_EMBEDDED = frozenset({"callbacks", "errbacks", "chain", "chord"})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seconds(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_table(value: object) -> bool:
    # To ask whether something is a Mapping is slow.
    return isinstance(value, (dict, Mapping))


def _are_time_limits(value: object) -> bool:
    # Celery too reads an empty list as no limit, and sends this one for a task without limits.
    return value == [None, None] or (
        isinstance(value, (list, tuple)) and len(value) in {0, _TIME_LIMITS} and all(map(_is_seconds, value))
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_signature(value: object) -> bool:
    return (
        isinstance(value, (dict, Mapping))
        and isinstance(value.get("task"), str)
        and isinstance(value.get("args", ()), (list, tuple, type(None)))
        and isinstance(value.get("kwargs", {}), (Mapping, type(None)))
        and isinstance(value.get("options", {}), (Mapping, type(None)))
    )


def _are_signatures(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_signature, value))


_TEXT = (_is_text, "a text")
_WHOLE = (_is_whole, "a whole number, 0 or more")
_TIME = (lambda value: isinstance(value, (str, datetime)), "a time as an ISO 8601 text")
# Other clients than Celery's own write 0 and 1.
_YES_NO = (lambda value: isinstance(value, int) and value in {0, 1}, "true or false, or 1 or 0")
_TABLE = (_is_table, "a table")
_LIST = (lambda value: isinstance(value, (list, tuple)), "a list")
_SIGNATURES = (_are_signatures, "a list of signatures, each a table with a 'task'")

#: What each header may be besides null. Celery's worker, its Request or its Context reads each of them.
RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "lang": _TEXT,
    "root_id": _TEXT,
    "parent_id": _TEXT,
    "group": _TEXT,
    "taskset": _TEXT,
    "meth": _TEXT,
    "shadow": _TEXT,
    "argsrepr": _TEXT,
    "kwargsrepr": _TEXT,
    "origin": _TEXT,
    "eta": _TIME,
    "expires": _TIME,
    "retries": _WHOLE,
    "group_index": _WHOLE,
    "replaced_task_nesting": _WHOLE,
    "ignore_result": _YES_NO,
    "utc": _YES_NO,
    "timelimit": (_are_time_limits, "two numbers of seconds or null: the hard limit and the soft one"),
    "stamped_headers": (_are_texts, "a list of texts"),
    "stamps": _TABLE,
    "headers": _TABLE,
    "groups": _LIST,
    "callbacks": _SIGNATURES,
    "errbacks": _SIGNATURES,
    "chain": _SIGNATURES,
    "chord": (_is_signature, "a signature, a table with a 'task'"),
}
#: The type of most values of these headers; a value of it needs no rule.
_USUAL: Mapping[str, type] = {
    "task": str,
    "id": str,
    "ignore_result": bool,
    "stamps": dict,
    "headers": dict,
    **{name: str for name, rule in RULES.items() if rule is _TEXT or rule is _TIME},
}
#: Names that would hide a method or a private attribute of the object that a task sees as `self.request`.
FORBIDDEN = frozenset(name for name in dir(Context) if name.startswith("_") or callable(getattr(Context, name)))


def name_fault(name: object) -> str | None:
    """The fault of the task's name as a sentence, or None."""
    return None if isinstance(name, str) and name else f"Its header 'task' is {shown(name)}, but must be a task's name."


def id_fault(headers: Mapping[Any, Any]) -> str | None:
    """The fault of the task's id as a sentence, or None."""
    if "id" not in headers:
        return "It has no header 'id'."
    given = headers["id"]
    if not isinstance(given, str) or not given:
        return f"Its header 'id' is {shown(given)}, but must be a text."
    if len(given) * _MOST_BYTES > _LONGEST_ID_BYTES < len(given.encode("utf-8", "surrogatepass")):
        return f"Its header 'id' is longer than {_LONGEST_ID_BYTES} bytes."
    return None


def header_fault(headers: Mapping[Any, Any]) -> str | None:
    """The first fault of the headers as a sentence, or None."""
    usual = _USUAL.get
    for name, value in headers.items():
        if type(value) is usual(name) or (value is None and name in RULES):
            continue
        if not isinstance(name, str):
            return f"The name of its header {shown(name)} is not a text."
        if name in FORBIDDEN:
            return f"Its header {name!r} has a name that Celery uses itself."
        fault = _fault(name, value, "header")
        if fault is not None:
            return fault
    return None


def embed_fault(embed: object) -> str | None:
    """The fault of the third part of a body as a sentence, or None."""
    if not isinstance(embed, (dict, Mapping)):
        return f"Its embed is {shown(embed)}, but must be a table."
    for name, value in embed.items():
        if value is None and name in _EMBEDDED:
            continue
        if not isinstance(name, str):
            return f"Its embed has {shown(name)}, which is not a name."
        # Celery lays these values over the headers, which have been checked already.
        if name not in _EMBEDDED and (name in FORBIDDEN or name in RULES or name in {"task", "id"}):
            return f"Its embed has {name!r}, which belongs in the headers."
        fault = _fault(name, value, "embedded")
        if fault is not None:
            return fault
    return None


def _fault(name: str, value: object, place: str) -> str | None:
    rule = RULES.get(name)
    if rule is None or value is None or rule[0](value):
        return None
    return f"Its {place} {name!r} is {shown(value)}, but must be {rule[1]}."
