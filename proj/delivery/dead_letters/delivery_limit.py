"""How often the dead-letter queue may be looked into before the broker drops what is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.delivery.dead_letters.queue_policy import holding, visible_policies
from proj.errors import NoManagement, ProjError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.management_api import Management

#: Looks that must be left; each takes every letter once and gives it back, which counts as a delivery.
ENOUGH = 1000
#: What RabbitMQ 4 gives a quorum queue that has no limit of its own.
#: Source: https://www.rabbitmq.com/docs/quorum-queues#position-of-poison-message-handling
DEFAULT_LIMIT = 20
#: The first version that has it.
LIMITED_SINCE = 4

REMEDY = "celery -A yourapp queues policy --apply raises the limit; --anyway looks all the same."


def doubt_about_looking(queue: str, *, version: str, management: Management, vhost: str) -> str | None:
    """A warning for people when it is not known how often the queue may be looked into; None when it may be.

    Raises:
        ProjError: it may be looked into so few times, as far as is known, that letters would be dropped.
    """
    try:
        there = management.request("GET", f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")
        policies = visible_policies(management, quote(vhost, safe=""))
    except NoManagement as error:
        if major(version) >= LIMITED_SINCE:
            raise ProjError(
                f"Looking counts as a delivery, and RabbitMQ {version} drops letters of {queue} after {DEFAULT_LIMIT} "
                f"unless a policy says otherwise, which cannot be asked ({error.message.rstrip('.')}); {REMEDY}"
            ) from error
        return (
            f"{error.message} So it is not known whether a policy limits the deliveries of {queue}; every look is one."
        )
    if policies is not None:
        # What the queue itself is said to have of them is seconds old.
        policy = holding(policies, queue, str(there.get("type")))
        there = {**there, "effective_policy_definition": policy["definition"] if policy else {}}
    limit = delivery_limit(there, version)
    if limit is not None and limit < ENOUGH:
        raise ProjError(f"Looking counts as a delivery, and {queue} drops a letter after {limit}; {REMEDY}")
    return None


def delivery_limit(queue: Mapping[str, Any], version: str) -> int | None:
    """How often the queue, as the management API describes it, delivers a message; None without end."""
    arguments = queue.get("arguments") or {}
    if (queue.get("type") or arguments.get("x-queue-type")) != "quorum":
        return None
    policy = queue.get("effective_policy_definition")
    # An empty one comes as a list.
    policy = policy if isinstance(policy, dict) else {}
    limits = [
        int(limit) for limit in (arguments.get("x-delivery-limit"), policy.get("delivery-limit")) if limit is not None
    ]
    if not limits and major(version) >= LIMITED_SINCE:
        return DEFAULT_LIMIT
    # The lesser one counts; from RabbitMQ 4 on -1 is without end.
    return min((limit for limit in limits if limit >= 0), default=None)


def major(version: str) -> int:
    """The first number of a version; 0 when there is none."""
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 0
