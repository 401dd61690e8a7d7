"""The delivery limit of a dead-letter queue: each look at it is a delivery, and RabbitMQ drops letters at the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.delivery.dead_letters.queue_policy import effective_policy, list_policies
from proj.errors import DeadLettersNotRead, NoManagement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.management_api import Management

#: The lowest delivery limit under which letters are looked at. Each look takes one delivery of every letter.
LEAST_LIMIT = 1000
#: The limit that RabbitMQ 4 gives to a quorum queue without a limit of its own.
#: Source: https://www.rabbitmq.com/docs/quorum-queues#position-of-poison-message-handling
DEFAULT_LIMIT = 20
#: The first major version with that default.
LIMITED_SINCE = 4

REMEDY = (
    "celery -A yourapp queues policy --apply raises the limit; `queues dead --anyway` looks without a higher limit."
)


def check_delivery_limit(queue: str, *, version: str, management: Management, vhost: str) -> str | None:
    """Refuse to look into a queue whose delivery limit is low.

    Args:
        queue: the dead-letter queue.
        version: the broker's, such as "4.1.2".
        management: the broker's management API, which knows the limit.
        vhost: the virtual host of the queue.

    Returns:
        A warning for people when the limit is not known and probably none, else None.

    Raises:
        DeadLettersNotRead: the limit is so low that looking would soon drop letters.
    """
    try:
        described = management.request("GET", f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")
        policies = list_policies(management, vhost)
    except NoManagement as error:
        if major_version(version) >= LIMITED_SINCE:
            raise DeadLettersNotRead(
                f"Each look at a dead letter counts as a delivery. RabbitMQ {version} drops letters of {queue} after "
                f"{DEFAULT_LIMIT} deliveries unless a policy says otherwise, and the management API does not say "
                f"({error.message.rstrip('.')}); {REMEDY}"
            ) from error
        return (
            f"{error.message} So it is not known whether a policy limits the deliveries of {queue}. "
            "Each look at a dead letter counts as a delivery."
        )
    if policies is not None:
        # The queue's own description of its policy is seconds old.
        policy = effective_policy(policies, queue, str(described.get("type")))
        described = {**described, "effective_policy_definition": policy["definition"] if policy else {}}
    limit = delivery_limit(described, version)
    if limit is not None and limit < LEAST_LIMIT:
        raise DeadLettersNotRead(
            f"Each look at a dead letter counts as a delivery, and {queue} drops a letter after {limit}; {REMEDY}"
        )
    return None


def delivery_limit(queue: Mapping[str, Any], version: str) -> int | None:
    """How often a queue delivers a message, from its description by the management API; None without a limit."""
    arguments = queue.get("arguments") or {}
    if (queue.get("type") or arguments.get("x-queue-type")) != "quorum":
        return None
    policy = queue.get("effective_policy_definition")
    # The API gives an empty one as a list.
    policy = policy if isinstance(policy, dict) else {}
    limits = [
        int(limit) for limit in (arguments.get("x-delivery-limit"), policy.get("delivery-limit")) if limit is not None
    ]
    if not limits and major_version(version) >= LIMITED_SINCE:
        return DEFAULT_LIMIT
    # The lower one counts. From RabbitMQ 4 on -1 means no limit.
    return min((limit for limit in limits if limit >= 0), default=None)


def major_version(version: str) -> int:
    """The first number of a version; 0 when there is none."""
    head = version.partition(".")[0]
    return int(head) if head.isdigit() else 0
