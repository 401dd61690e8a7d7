"""Which answers of workers are let in: Flower's worker and broker pages take them apart without a look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proj.journal.event import LATEST, LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUE = (
    *("exchange", "exclusive", "durable", "routing_key", "no_ack", "alias", "queue_arguments"),
    *("binding_arguments", "auto_delete"),
)


def is_reply(worker: object, method: str, response: object) -> bool:
    """Whether Flower's pages can show what a worker answered to an inspection.

    Anyone who reaches the broker can answer in the name of any worker. What is looked at is what the templates
    `worker.html` and `broker.html` name; an answer to a method that they do not show passes.
    """
    check = _CHECKS.get(method)
    if not isinstance(worker, str) or not 0 < len(worker) <= LONGEST_NAME:
        return False
    try:
        # Halves of characters cannot be sent to a browser.
        json.dumps([worker, response], ensure_ascii=False, default=repr).encode()
    except (ValueError, TypeError, RecursionError):
        return False
    return check is None or check(response)


def _is_stats(response: Any) -> bool:  # noqa: ANN401 whatever was answered
    if not isinstance(response, dict):
        return False
    consumer = response.get("consumer") or response
    usage = response.get("rusage")
    return (
        isinstance(consumer, dict)
        and isinstance(consumer.get("broker"), dict)
        and all(isinstance(response.get(name) or {}, dict) for name in ("pool", "autoscaler"))
        and isinstance(response.get("total"), dict)
        and all(_is_number(value) for value in response["total"].values())
        and _is_number(response.get("uptime", 0))
        and (not isinstance(usage, dict) or all(_is_number(usage.get(name, 0)) for name in ("utime", "stime")))
    )


def _is_settings(response: Any) -> bool:  # noqa: ANN401 as above
    return isinstance(response, dict) and all(isinstance(name, str) for name in response)


def _are_names(response: Any) -> bool:  # noqa: ANN401 as above
    return isinstance(response, list) and all(isinstance(name, str) for name in response)


def _all(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda response: isinstance(response, list) and all(map(check, response))


def _has(*fields: str, names: tuple[str, ...] = ("name", "id")) -> Callable[[Any], bool]:
    """Whether an object has all the fields, of which `names` are texts."""
    return lambda one: (
        isinstance(one, dict)
        and all(field in one for field in fields)
        and all(isinstance(one.get(name), str) for name in names)
    )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LATEST


_is_request = _has("args", "kwargs")
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "stats": _is_stats,
    "conf": _is_settings,
    "registered": _are_names,
    "revoked": _are_names,
    "active_queues": _all(_has(*_QUEUE, names=("name",))),
    "active": _all(_has("acknowledged", "worker_pid")),
    "reserved": _all(_is_request),
    "scheduled": _all(lambda one: isinstance(one, dict) and _is_request(one.get("request"))),
}
