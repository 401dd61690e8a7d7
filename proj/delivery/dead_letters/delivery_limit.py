"""The delivery limit of a dead-letter queue: a quorum queue drops a letter that was delivered more often.

Source: https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.delivery.dead_letters.queue_policy import effective_policy, list_policies
from proj.errors import DeadLettersNotRead, NoManagement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proj.broker.management_api import Management
    from proj.broker.version import BrokerVersion

#: The lowest delivery limit with which letters are read.
LEAST_LIMIT = 1000

REMEDY = "celery -A yourapp queues policy --apply raises the limit."


def check_delivery_limit(queue: str, *, version: BrokerVersion, management: Management, vhost: str) -> str | None:
    """Refuse to read a queue whose delivery limit is low.

    Args:
        queue: the dead-letter queue.
        version: the broker's.
        management: the broker's management API, which knows the limit.
        vhost: the virtual host of the queue.

    Returns:
        A warning for people when the limit is not known and probably none, else None.

    Raises:
        DeadLettersNotRead: the limit is so low that reading would soon drop letters, or it is not known and probably
            low.
    """
    what_counts = (
        "Each look at a dead letter counts as a delivery."
        if version.counts_nacks
        # Tried on 4.3.6: a letter that the broker gave up after 21 deliveries was dropped when it was first nacked.
        else "A dead letter keeps the delivery count of the queue that it was in before, and a killed look adds one."
    )
    try:
        described = management.request("GET", f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}")
        policies = list_policies(management, vhost)
    except NoManagement as error:
        default = version.default_delivery_limit
        if default is not None:
            raise DeadLettersNotRead(
                f"{what_counts} RabbitMQ {version} drops letters of {queue} after {default} deliveries "
                "unless a policy says otherwise, and the management API does not say which limit holds "
                f"({error.message.rstrip('.')}). Give its URL with --broker-api; {REMEDY}"
            ) from error
        return f"{error.message} So it is not known whether a policy limits the deliveries of {queue}. {what_counts}"
    if policies is not None:
        # The queue's own description of its policy is seconds old.
        policy = effective_policy(policies, queue, str(described.get("type")))
        described = {**described, "effective_policy_definition": policy["definition"] if policy else {}}
    limit = delivery_limit(described, version)
    if limit is not None and limit < LEAST_LIMIT:
        raise DeadLettersNotRead(f"{what_counts} The queue {queue} drops a letter after {limit}; {REMEDY}")
    return None


def delivery_limit(queue: Mapping[str, Any], version: BrokerVersion) -> int | None:
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
    if not limits:
        return version.default_delivery_limit
    # The lower one counts. From RabbitMQ 4 on -1 means no limit.
    return min((limit for limit in limits if limit >= 0), default=None)
