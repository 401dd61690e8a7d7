"""Reply filter: refuses workers' replies to inspections that Flower's worker and broker pages could not show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from proj.dashboard.web.event_filter import is_number
from proj.journal.event import LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Whether the pages can show a reply.
    Check: TypeAlias = Callable[[object], bool]

_QUEUE = (
    *("exchange", "exclusive", "durable", "routing_key", "no_ack", "alias", "queue_arguments"),
    *("binding_arguments", "auto_delete"),
)


def is_reply(worker: object, method: str, response: object) -> bool:
    """Whether Flower's pages can show a worker's reply to an inspection.

    Anyone who reaches the broker can reply in the name of any worker. The checks cover what the templates
    `worker.html` and `broker.html` use; a reply to a method that they do not show passes.
    """
    check = _CHECKS.get(method)
    if not isinstance(worker, str) or not 0 < len(worker) <= LONGEST_NAME:
        return False
    try:
        # Half a character cannot be encoded, and so not be sent to a browser.
        json.dumps([worker, response], ensure_ascii=False, default=repr).encode()
    except (ValueError, TypeError, RecursionError):
        return False
    return check is None or check(response)


def _is_stats(response: object) -> bool:
    if not isinstance(response, dict):
        return False
    consumer = response.get("consumer") or response
    usage, total = response.get("rusage"), response.get("total")
    return (
        isinstance(consumer, dict)
        and isinstance(consumer.get("broker"), dict)
        and all(isinstance(response.get(name) or {}, dict) for name in ("pool", "autoscaler"))
        and isinstance(total, dict)
        and all(is_number(value) for value in total.values())
        and is_number(response.get("uptime", 0))
        and (not isinstance(usage, dict) or all(is_number(usage.get(name, 0)) for name in ("utime", "stime")))
    )


def _is_conf(response: object) -> bool:
    return isinstance(response, dict) and all(isinstance(name, str) for name in response)


def _is_list_of_names(response: object) -> bool:
    return isinstance(response, list) and all(isinstance(name, str) for name in response)


def _is_list_of(check: Check) -> Check:
    return lambda response: isinstance(response, list) and all(map(check, response))


def _has(*fields: str, texts: tuple[str, ...] = ("name", "id")) -> Check:
    """A check that an object has all `fields`, and texts in the fields `texts`."""
    return lambda one: (
        isinstance(one, dict)
        and all(field in one for field in fields)
        and all(isinstance(one.get(field), str) for field in texts)
    )


_is_request = _has("args", "kwargs")
_CHECKS: dict[str, Check] = {
    "stats": _is_stats,
    "conf": _is_conf,
    "registered": _is_list_of_names,
    "revoked": _is_list_of_names,
    "active_queues": _is_list_of(_has(*_QUEUE, texts=("name",))),
    "active": _is_list_of(_has("acknowledged", "worker_pid")),
    "reserved": _is_list_of(_is_request),
    "scheduled": _is_list_of(lambda one: isinstance(one, dict) and _is_request(one.get("request"))),
}
