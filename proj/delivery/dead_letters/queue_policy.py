"""The policy of one queue: which one is effective, what it lacks, and the policy of ours that would add it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj import queues
from proj.errors import NoManagement
from proj.queues import QUARANTINE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.broker.management_api import Management
    from proj.broker.version import BrokerVersion

#: Our policies have this prefix and the name of their queue. No policy with another name is ever changed.
POLICY_PREFIX = "proj.dead_letters."
#: The delivery limit of the dead-letter queue itself, where each look is a delivery.
DEAD_LETTERS_DELIVERY_LIMIT = 1_000_000
#: The delivery limit of other queues; RabbitMQ 4 has the same default.
DELIVERY_LIMIT = 20
#: The key that says for how many milliseconds a quorum queue waits for a node that is gone, before it gives what the
#: node's consumers held to others; 60,000 without it. A node that is killed never acknowledges: each second is one in
#: which these tasks wait. A node of which only the network is gone may acknowledge after it: a task that another worker
#: has begun by then is done twice. Erlang needs less than a second to connect again after a reset.
LOST_NODE_KEY, LOST_NODE_TIMEOUT_MS = "consumer-disconnected-timeout", 5000
#: Keys of which the lower value counts where both a policy and an argument of the queue have them.
LOWER_COUNTS = frozenset({"max-length", "delivery-limit"})
#: Keys that a type of queue does not support. A policy with any of them is not effective for such a queue, and another
#: policy with a lower priority is.
#: Source: unsupported_policies in rabbit_classic_queue:capabilities() and rabbit_quorum_queue:capabilities() of 3.10
_UNSUPPORTED = {
    queues.CLASSIC: frozenset(
        {
            *("delivery-limit", "dead-letter-strategy", "max-age", "stream-max-segment-size-bytes"),
            *("queue-leader-locator", "initial-cluster-size"),
        }
    ),
    queues.QUORUM: frozenset(
        {
            *("max-priority", "queue-mode", "single-active-consumer", "ha-mode", "ha-params", "ha-sync-mode"),
            *("ha-promote-on-shutdown", "ha-promote-on-failure", "queue-master-locator"),
            *("max-age", "stream-max-segment-size-bytes", "initial-cluster-size"),
        }
    ),
}


@dataclass(frozen=True, kw_only=True)
class PolicyStatus:
    """What the effective policy of one queue says, what it lacks, and who can change it."""

    queue: str
    #: quorum or classic; as the app declares it while the broker does not have the queue.
    type: str
    exists: bool
    #: The name of the effective policy, if any.
    policy: str | None
    dead_letter_exchange: str | None
    delivery_limit: int | None
    #: Messages beyond which the queue refuses or drops more; None without a limit.
    max_length: int | None
    #: Keys to add or change, with their values; None for a key to take away. Empty when nothing is missing.
    missing: dict[str, Any]
    #: Arguments that the queue was declared with and that contradict what is missing. No policy overrules them.
    fixed: dict[str, Any]
    #: The effective policy when it is ours or one that our broker has from the start, so that one of ours may extend
    #: it.
    base: Mapping[str, Any] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether the effective policy is someone else's, so that ours would replace it."""
        return self.policy is not None and self.base is None


def required_definition(queue_type: str, *, dead_letters: str, is_dead_letters: bool) -> dict[str, Any]:
    """The policy definition that a queue of this type needs so that it loses no message.

    At-least-once dead-lettering needs a quorum queue, and an overflow that refuses instead of dropping.
    Source: https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
    """
    if is_dead_letters:
        return {"delivery-limit": DEAD_LETTERS_DELIVERY_LIMIT} if queue_type == queues.QUORUM else {}
    if queue_type != queues.QUORUM:
        return {"dead-letter-exchange": dead_letters}
    return {
        "dead-letter-exchange": dead_letters,
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "delivery-limit": DELIVERY_LIMIT,
    }


def lost_node_definition(version: BrokerVersion) -> dict[str, Any]:
    """The key for nodes that are gone, for a broker that knows it; others refuse the whole policy."""
    return {LOST_NODE_KEY: LOST_NODE_TIMEOUT_MS} if version.waits_for_lost_nodes else {}


def policy_status(
    name: str,
    described: Mapping[str, Any] | None,
    *,
    declared_type: str,
    dead_letters: str,
    policy: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    shipped: Iterable[Mapping[str, Any]] = (),
    version: BrokerVersion | None = None,
) -> PolicyStatus:
    """Compare a queue's effective policy with what the queue needs.

    A key that is there with another value is someone's choice and is not missing. Only a `max_length` that was asked
    for must be exactly so.

    Args:
        name: of the queue.
        described: the queue as the management API describes it; None when the broker does not have it.
        declared_type: the type as the app declares it.
        dead_letters: the name of the dead-letter queue and of its exchange.
        policy: the effective policy, where it is known better than from `described`.
        max_length: the length limit that was asked for; 0 is no limit, None is any.
        shipped: the policies that our broker has from the start.
        version: of the broker. A policy of ours gets what this one knows besides.
    """
    exists, described = described is not None, described or {}
    arguments = described.get("arguments") or {}
    queue_type = described.get("type") or arguments.get("x-queue-type") or declared_type
    if policy is None and described.get("policy"):
        policy = {"name": described["policy"], "definition": described.get("effective_policy_definition")}
    definition = policy["definition"] if policy else described.get("effective_policy_definition")
    # The API gives an empty definition as a list.
    has = dict(definition) if isinstance(definition, dict) else {}
    lengths = [has.get("max-length"), arguments.get("x-max-length")]
    # An argument has the policy's key with an x- before it.
    has.update({key.removeprefix("x-"): value for key, value in arguments.items()})
    has["max-length"] = min((length for length in lengths if length is not None), default=None)
    required = required_definition(queue_type, dead_letters=dead_letters, is_dead_letters=name == dead_letters)
    limit = has.get("delivery-limit")
    missing = {key: value for key, value in required.items() if key not in has}
    if name == dead_letters and limit is not None and limit < DEAD_LETTERS_DELIVERY_LIMIT:
        missing = required
    if name != dead_letters and max_length is not None:
        missing.update({key: value for key, value in length_limit(max_length).items() if has.get(key) != value})
    base = policy if policy and (policy["name"].startswith(POLICY_PREFIX) or is_shipped(policy, shipped)) else None
    is_made_or_changed = missing and (base is not None or policy is None)
    is_ours = policy is not None and policy["name"].startswith(POLICY_PREFIX)
    if version and queue_type == queues.QUORUM and name != dead_letters and (is_made_or_changed or is_ours):
        missing.update({key: value for key, value in lost_node_definition(version).items() if key not in has})
    return PolicyStatus(
        queue=name,
        type=queue_type,
        exists=exists,
        policy=policy["name"] if policy else None,
        dead_letter_exchange=has.get("dead-letter-exchange"),
        delivery_limit=limit,
        max_length=has["max-length"],
        missing=missing,
        fixed={
            f"x-{key}": arguments[f"x-{key}"]
            for key, value in missing.items()
            if f"x-{key}" in arguments
            and not (key in LOWER_COUNTS and value is not None and value < arguments[f"x-{key}"])
        },
        base=base,
    )


def length_limit(max_length: int) -> dict[str, Any]:
    """The policy keys by which a queue takes `max_length` messages and refuses more; 0 takes the limit away.

    Only messages that are ready count. A quorum queue takes a few more before it refuses.
    Source: https://www.rabbitmq.com/docs/maxlength
    """
    return {"max-length": max_length, "overflow": "reject-publish"} if max_length else {"max-length": None}


def list_policies(management: Management, vhost: str) -> list[Mapping[str, Any]] | None:
    """The policies of a virtual host; None when the user may not see them."""
    try:
        policies: list[Mapping[str, Any]] = management.request("GET", f"policies/{quote(vhost, safe='')}")
    except NoManagement:
        return None
    return policies


def effective_policy(policies: Iterable[Mapping[str, Any]], queue: str, queue_type: str) -> Mapping[str, Any] | None:
    """The policy that the broker applies to a queue: the one of the highest priority that matches and is supported.

    Source: https://www.rabbitmq.com/docs/policies#combining-policy-definitions
    """
    kinds = {"all", "queues", f"{queue_type}_queues"}
    unsupported = _UNSUPPORTED.get(queue_type, frozenset())
    matching = [
        each
        for each in policies
        if each["apply-to"] in kinds
        and re.search(each["pattern"], queue)
        and not unsupported & each["definition"].keys()
    ]
    return max(matching, key=lambda each: int(each.get("priority", 0)), default=None)


def is_shipped(policy: Mapping[str, Any], shipped: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it is a policy that our broker has from the start, with an unchanged definition."""
    return any(policy["name"] == each["name"] and policy["definition"] == each["definition"] for each in shipped)


def describe_change(status: PolicyStatus) -> str:
    """What to change in someone else's policy, as the beginning of a sentence that ends with its name."""
    added = {key: value for key, value in status.missing.items() if value is not None}
    removed = ", ".join(key for key, value in status.missing.items() if value is None)
    if not removed:
        return f"add {added} to"
    return f"take {removed} from" + f", and add {added} to," * bool(added)


def extended_policy(status: PolicyStatus, dead_letters: str) -> dict[str, Any]:
    """The policy of ours that adds what the queue lacks, as the management API takes it.

    It applies to the queue and to its quarantine queue. Where a shipped policy is effective, ours has the same keys and
    more, a higher priority, and applies to the queue alone: the quarantine queue stays under the shipped policy,
    without a length limit.
    """
    base = status.base or {}
    pattern = f"^{re.escape(status.queue)}({re.escape(QUARANTINE_SUFFIX)})?$"
    priority = base.get("priority", 0)
    if base.get("name") == POLICY_PREFIX + status.queue:
        pattern = base.get("pattern", pattern)
    elif base:
        pattern = f"^{re.escape(status.queue)}$"
        priority += 1
    required = required_definition(status.type, dead_letters=dead_letters, is_dead_letters=status.queue == dead_letters)
    definition = {**required, **(base.get("definition") or {}), **status.missing}
    return {
        "pattern": pattern,
        "apply-to": "queues",
        "priority": priority,
        "definition": {key: value for key, value in definition.items() if value is not None},
    }


def is_redundant(
    status: PolicyStatus, policies: Iterable[Mapping[str, Any]], shipped: Iterable[Mapping[str, Any]]
) -> bool:
    """Whether our policy only adds a length limit to a shipped policy, and that limit is to be taken away."""
    base = status.base
    if base is None or base["name"] != POLICY_PREFIX + status.queue or status.missing != {"max-length": None}:
        return False
    others = [policy for policy in policies if policy["name"] != base["name"]]
    next_policy = effective_policy(others, status.queue, status.type)
    added = {"max-length", LOST_NODE_KEY}
    rest = {key: value for key, value in base["definition"].items() if key not in added}
    return (
        next_policy is not None
        and is_shipped(next_policy, shipped)
        and {key: value for key, value in next_policy["definition"].items() if key not in added} == rest
    )
