"""The policy of one queue: which one holds, what it lacks, and what of ours would mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proj import queues
from proj.errors import NoManagement
from proj.queues import QUARANTINE_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.broker.management_api import Management

#: Policies of this name, followed by a queue's, are ours; no other is ever touched.
OURS = "proj.dead_letters."
#: Of the dead-letter queue itself: every look is a delivery.
LOOKS = 1_000_000
#: Deliveries of a message that is never acknowledged; RabbitMQ 4 has the same default.
DELIVERY_LIMIT = 20
#: Of a policy and of a queue's argument the lesser one counts.
LESSER_COUNTS = frozenset({"max-length", "delivery-limit"})
#: A policy that says any of these does not hold for such a queue, and one of a lower priority does.
#: Source: unsupported_policies in rabbit_classic_queue:capabilities() and rabbit_quorum_queue:capabilities() of 3.10
_NOT_FOR = {
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
class Standing:
    """How one queue stands: what its policy says, what it lacks, and who can change it."""

    queue: str
    #: quorum or classic; what the app declares it as when the broker does not have it yet.
    type: str
    exists: bool
    #: The name of the policy that holds for it now, if any.
    policy: str | None
    dead_letter_exchange: str | None
    delivery_limit: int | None
    #: Messages beyond which it refuses or drops; None when it takes all.
    max_length: int | None
    #: What is to be added or changed for it to be as wanted; empty when it is. None is to be taken away.
    missing: dict[str, Any]
    #: Of what is missing, the arguments that the queue was declared with and that no policy overrules.
    fixed: dict[str, Any]
    #: The policy that holds, where it is ours or shipped with us, so that one of ours may say the same and more.
    base: Mapping[str, Any] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether someone else's policy holds for it, so that ours would take its place."""
        return self.policy is not None and self.base is None


def wanted(queue_type: str, *, dead_letters: str, is_dead_letters: bool) -> dict[str, Any]:
    """The policy that such a queue needs.

    At-least-once needs quorum queues, and an overflow that refuses instead of dropping.
    Source: https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
    """
    if is_dead_letters:
        return {"delivery-limit": LOOKS} if queue_type == queues.QUORUM else {}
    if queue_type != queues.QUORUM:
        return {"dead-letter-exchange": dead_letters}
    return {
        "dead-letter-exchange": dead_letters,
        "dead-letter-strategy": "at-least-once",
        "overflow": "reject-publish",
        "delivery-limit": DELIVERY_LIMIT,
    }


def standing(
    name: str,
    there: Mapping[str, Any] | None,
    *,
    declared_type: str,
    dead_letters: str,
    policy: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    shipped: Iterable[Mapping[str, Any]] = (),
) -> Standing:
    """How a queue stands, from what the management API says of it (None: it has no such queue) and its policy.

    A limit or an exchange that someone chose otherwise is their choice: only what is absent is missing. But where a
    `max_length` is asked for (0: none at all), another one is not it.
    """
    arguments = (there or {}).get("arguments") or {}
    queue_type = (there or {}).get("type") or arguments.get("x-queue-type") or declared_type
    if policy is None and (there or {}).get("policy"):
        policy = {"name": (there or {})["policy"], "definition": (there or {}).get("effective_policy_definition")}
    # An empty one comes as a list; an argument of the queue says the same with an x- before it.
    definition = policy["definition"] if policy else (there or {}).get("effective_policy_definition")
    has = dict(definition) if isinstance(definition, dict) else {}
    lengths = [has.get("max-length"), arguments.get("x-max-length")]
    has.update({key.removeprefix("x-"): value for key, value in arguments.items()})
    has["max-length"] = min((length for length in lengths if length is not None), default=None)
    needs = wanted(queue_type, dead_letters=dead_letters, is_dead_letters=name == dead_letters)
    limit = has.get("delivery-limit")
    missing = {key: value for key, value in needs.items() if key not in has}
    if name == dead_letters and limit is not None and limit < LOOKS:
        missing = needs
    if name != dead_letters and max_length is not None:
        missing.update({key: value for key, value in limiting(max_length).items() if has.get(key) != value})
    return Standing(
        queue=name,
        type=queue_type,
        exists=there is not None,
        policy=policy["name"] if policy else None,
        dead_letter_exchange=has.get("dead-letter-exchange"),
        delivery_limit=limit,
        max_length=has["max-length"],
        missing=missing,
        fixed={
            f"x-{key}": arguments[f"x-{key}"]
            for key, value in missing.items()
            if f"x-{key}" in arguments
            and not (key in LESSER_COUNTS and value is not None and value < arguments[f"x-{key}"])
        },
        base=policy if policy and (policy["name"].startswith(OURS) or is_shipped(policy, shipped)) else None,
    )


def limiting(max_length: int) -> dict[str, Any]:
    """What a policy says so that a queue takes so many messages and refuses the next; 0 takes the limit away.

    What consumers have does not count, and a quorum queue takes a few more before it refuses.
    Source: https://www.rabbitmq.com/docs/maxlength
    """
    return {"max-length": max_length, "overflow": "reject-publish"} if max_length else {"max-length": None}


def visible_policies(management: Management, vhost: str) -> list[Mapping[str, Any]] | None:
    """The policies of a virtual host, quoted; None for who may not see them, only what they come to, seconds late."""
    try:
        policies: list[Mapping[str, Any]] = management.request("GET", f"policies/{vhost}")
    except NoManagement:
        return None
    return policies


def holding(policies: Iterable[Mapping[str, Any]], queue: str, queue_type: str) -> Mapping[str, Any] | None:
    """The policy that holds for a queue: of those that match and are for its type, the one of the highest priority.

    Source: https://www.rabbitmq.com/docs/policies#combining-policy-definitions
    """
    kinds = {"all", "queues", f"{queue_type}_queues"}
    unfit = _NOT_FOR.get(queue_type, frozenset())
    matching = [
        each
        for each in policies
        if each["apply-to"] in kinds and re.search(each["pattern"], queue) and not unfit & each["definition"].keys()
    ]
    return max(matching, key=lambda each: int(each.get("priority", 0)), default=None)


def is_shipped(policy: Mapping[str, Any], shipped: Iterable[Mapping[str, Any]]) -> bool:
    """Whether it is one of those that are shipped with us, unchanged in what it says."""
    return any(policy["name"] == each["name"] and policy["definition"] == each["definition"] for each in shipped)


def change(each: Standing) -> str:
    """What is to be done to a policy of someone else, for people."""
    added = {key: value for key, value in each.missing.items() if value is not None}
    taken = ", ".join(key for key, value in each.missing.items() if value is None)
    if not taken:
        return f"add {added} to"
    return f"take {taken} from" + f", and add {added} to," * bool(added)


def remedy(each: Standing, dead_letters: str) -> dict[str, Any]:
    """Our policy that makes such a queue as wanted, as the management API takes it.

    It is for the queue and its suspects. Over a shipped one it says what that says, with a higher priority and for the
    queue alone: the suspects stay under the other, and are not limited.
    """
    base = each.base or {}
    pattern = f"^{re.escape(each.queue)}({re.escape(QUARANTINE_SUFFIX)})?$"
    priority = base.get("priority", 0)
    if base.get("name") == OURS + each.queue:
        pattern = base.get("pattern", pattern)
    elif base:
        pattern = f"^{re.escape(each.queue)}$"
        priority += 1
    needs = wanted(each.type, dead_letters=dead_letters, is_dead_letters=each.queue == dead_letters)
    definition = {**needs, **(base.get("definition") or {}), **each.missing}
    return {
        "pattern": pattern,
        "apply-to": "queues",
        "priority": priority,
        "definition": {key: value for key, value in definition.items() if value is not None},
    }


def is_needless(each: Standing, policies: Iterable[Mapping[str, Any]], shipped: Iterable[Mapping[str, Any]]) -> bool:
    """Whether our policy adds a limit to a shipped one and nothing else, and the limit is to go."""
    if each.base is None or each.base["name"] != OURS + each.queue or each.missing != {"max-length": None}:
        return False
    others = [policy for policy in policies if policy["name"] != each.base["name"]]
    beneath = holding(others, each.queue, each.type)
    rest = {key: value for key, value in each.base["definition"].items() if key != "max-length"}
    return beneath is not None and is_shipped(beneath, shipped) and beneath["definition"] == rest
