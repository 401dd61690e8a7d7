"""Destinations: which queues have dead letters that the broker sends nowhere, and why."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote

from proj.delivery.dead_letters.queue_policy import effective_policy, list_policies
from proj.errors import NoManagement
from proj.printable import printable
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from proj.broker.management_api import Management

#: Names of queues in a sentence.
MOST_NAMES = 10
#: The reason for a queue that has no dead-letter exchange.
NO_EXCHANGE = "no policy gives them a dead-letter exchange"


def dropped(
    management: Management, vhost: str, *, dead_letters: str, names: Collection[str] | None = None
) -> dict[str, str]:
    """Why the dead letters of a queue go nowhere, by its name, for each queue of which that is known.

    Queues that Celery or our workers make for themselves do not count. A queue without a dead-letter exchange counts
    only where there is the queue `dead_letters`, which every worker with `install` makes: other apps may want none.

    Args:
        management: the broker's management API.
        vhost: the virtual host of the queues.
        dead_letters: the name of the queue of dead letters.
        names: only these queues; None for all.

    Raises:
        NoManagement: the management API does not answer, or refuses.
    """
    there = quote(vhost, safe="")
    columns = "name,type,arguments,policy,effective_policy_definition"
    queues = {str(each["name"]): each for each in management.request("GET", f"queues/{there}?columns={columns}")}
    policies = list_policies(management, vhost)

    @cache
    def leads_to_a_queue(exchange: str) -> bool:
        try:
            return bool(management.request("GET", f"exchanges/{there}/{quote(exchange, safe='')}/bindings/source"))
        except NoManagement as error:
            if isinstance(error.__cause__, HTTPError) and error.__cause__.code == HTTPStatus.NOT_FOUND:
                return False
            raise

    asked = [name for name in queues if (names is None or name in names) and not is_plumbing(name)]
    reasons = {name: _why(queues[name], policies, queues, leads_to_a_queue) for name in asked if name != dead_letters}
    return {
        name: reason
        for name, reason in reasons.items()
        if reason is not None and (reason != NO_EXCHANGE or dead_letters in queues)
    }


def sentence(reasons: Mapping[str, str]) -> str | None:
    """The sentence on the queues, from the reason of each."""
    if not reasons:
        return None
    by_reason: dict[str, list[str]] = {}
    for name, reason in sorted(reasons.items()):
        by_reason.setdefault(reason, []).append(printable(name))
    parts = "; ".join(f"{_listed(names)} ({reason})" for reason, names in by_reason.items())
    return (
        f"Dead letters go nowhere from {parts}. RabbitMQ drops what expires or is rejected there. "
        "celery -A yourapp queues policy --apply makes what is missing."
    )


def _why(
    queue: Mapping[str, Any],
    policies: Iterable[Mapping[str, Any]] | None,
    queues: Collection[str],
    leads_to_a_queue: Callable[[str], bool],
) -> str | None:
    """Why the dead letters of a queue go nowhere; None when they go somewhere, or when that depends on the letter."""
    # The queue's own description of its policy is seconds old.
    if policies is None:
        definition = queue.get("effective_policy_definition")
    else:
        policy = effective_policy(policies, str(queue["name"]), str(queue.get("type")))
        definition = policy["definition"] if policy else None
    # The API gives an empty definition as a list.
    has = dict(definition) if isinstance(definition, dict) else {}
    # An argument has the policy's key with an x- before it, and goes before the policy.
    has.update({str(key).removeprefix("x-"): value for key, value in dict(queue.get("arguments") or {}).items()})
    exchange = has.get("dead-letter-exchange")
    if exchange is None:
        return NO_EXCHANGE
    if exchange == "":
        key = has.get("dead-letter-routing-key")
        return f"there is no queue {printable(str(key))}" if key is not None and key not in queues else None
    if leads_to_a_queue(str(exchange)):
        return None
    return f"their dead-letter exchange {printable(str(exchange))} leads to no queue"


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
