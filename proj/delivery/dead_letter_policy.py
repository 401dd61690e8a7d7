"""Dead letters by policy: what a broker lacks so that nothing is dropped that an app's queues give up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj import queues
from proj.delivery.strikes import SUSPECTS_SUFFIX
from proj.errors import NoManagement, ProjError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.management import Management

#: Policies of this name, followed by a queue's, are ours; no other is ever touched.
OURS = "proj.dead_letters."
#: Of the dead-letter queue itself: every look is a delivery.
LOOKS = 1_000_000
#: Deliveries of a message that is never acknowledged; RabbitMQ 4 has the same default.
DELIVERY_LIMIT = 20


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
    #: What is to be added for it to be safe; empty when it is.
    missing: dict[str, Any]

    @property
    def is_foreign(self) -> bool:
        """Whether someone else's policy holds for it, so that ours would take its place."""
        return self.policy is not None and not self.policy.startswith(OURS)


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
) -> Standing:
    """How a queue stands, from what the management API says of it (None: it has no such queue) and its policy.

    A limit or an exchange that someone chose otherwise is their choice: only what is absent is missing.
    """
    arguments = (there or {}).get("arguments") or {}
    queue_type = (there or {}).get("type") or arguments.get("x-queue-type") or declared_type
    effective = policy["definition"] if policy else (there or {}).get("effective_policy_definition")
    # An empty one comes as a list; an argument of the queue says the same with an x- before it.
    has = dict(effective) if isinstance(effective, dict) else {}
    has.update({key.removeprefix("x-"): value for key, value in arguments.items()})
    needs = wanted(queue_type, dead_letters=dead_letters, is_dead_letters=name == dead_letters)
    limit = has.get("delivery-limit")
    missing = {key: value for key, value in needs.items() if key not in has}
    if name == dead_letters and limit is not None and limit < LOOKS:
        missing = needs
    return Standing(
        queue=name,
        type=queue_type,
        exists=there is not None,
        policy=policy["name"] if policy else (there or {}).get("policy"),
        dead_letter_exchange=has.get("dead-letter-exchange"),
        delivery_limit=limit,
        missing=missing,
    )


def visible_policies(management: Management, vhost: str) -> list[Mapping[str, Any]] | None:
    """The policies of a virtual host, quoted; None for who may not see them, only what they come to, seconds late."""
    try:
        policies: list[Mapping[str, Any]] = management.request("GET", f"policies/{vhost}")
    except NoManagement:
        return None
    return policies


def holding(policies: Iterable[Mapping[str, Any]], queue: str, queue_type: str) -> Mapping[str, Any] | None:
    """The policy that holds for a queue: of those that match, the one with the highest priority.

    Source: https://www.rabbitmq.com/docs/policies#combining-policy-definitions
    """
    kinds = {"all", "queues", f"{queue_type}_queues"}
    matching = [each for each in policies if each["apply-to"] in kinds and re.search(each["pattern"], queue)]
    return max(matching, key=lambda each: int(each.get("priority", 0)), default=None)


class DeadLetterPolicy:
    """The policies of one app's queues on one broker."""

    def __init__(self, management: Management, *, vhost: str, declared: Mapping[str, str], dead_letters: str) -> None:
        """Take the app's queues with the type of each, as it declares them."""
        self._management = management
        self._vhost = quote(vhost, safe="")
        self._declared = {**declared, dead_letters: queues.QUORUM}
        self.dead_letters = dead_letters

    def standings(self) -> list[Standing]:
        """How each queue stands now, the dead-letter queue last.

        Raises:
            NoManagement: the management API does not answer, or refuses.
        """
        there = self._queues()
        policies = visible_policies(self._management, self._vhost)
        return [
            standing(
                name,
                there.get(name),
                declared_type=declared,
                dead_letters=self.dead_letters,
                policy=None if policies is None else holding(policies, name, there.get(name, {}).get("type", declared)),
            )
            for name, declared in self._declared.items()
        ]

    def _queues(self) -> dict[str, dict[str, Any]]:
        return {queue["name"]: queue for queue in self._management.request("GET", f"queues/{self._vhost}")}

    def leads(self) -> bool:
        """Whether the exchange of the dead letters leads to their queue."""
        path = f"bindings/{self._vhost}/e/{quote(self.dead_letters, safe='')}/q/{quote(self.dead_letters, safe='')}"
        try:
            return bool(self._management.request("GET", path))
        except NoManagement:
            # It answered before; this is how it says that there is no such exchange or queue.
            return False

    def apply(self) -> None:
        """Make what is missing: exchange, queue and binding, then a policy of our own for each queue that lacks one.

        Raises:
            ProjError: the user may not, or another's policy is in the way and would stop to hold.
        """
        lacking = [each for each in self.standings() if each.missing]
        foreign = [each for each in lacking if each.is_foreign]
        if foreign:
            raise ProjError(
                "Only one policy holds for a queue, and others made these, so nothing was changed: "
                + "; ".join(f"add {each.missing} to {each.policy!r}, which holds for {each.queue}" for each in foreign)
                + "."
            )
        name = quote(self.dead_letters, safe="")
        try:
            # The way first, so that nothing is sent along it before it ends somewhere.
            self._management.request("PUT", f"exchanges/{self._vhost}/{name}", {"type": "fanout", "durable": True})
            queue = {"durable": True, "arguments": {"x-queue-type": queues.QUORUM}}
            if self.dead_letters not in self._queues():
                self._management.request("PUT", f"queues/{self._vhost}/{name}", queue)
            self._management.request("POST", f"bindings/{self._vhost}/e/{name}/q/{name}", {"routing_key": ""})
            for each in lacking:
                self._management.request(
                    "PUT",
                    f"policies/{self._vhost}/{quote(OURS + each.queue, safe='')}",
                    remedy(each, self.dead_letters),
                )
        except NoManagement as error:
            raise ProjError(
                f"{error.message} A user who may do this has the tag policymaker or administrator, and may configure "
                f"{self.dead_letters}; --broker-api takes its name and password."
            ) from error


def remedy(each: Standing, dead_letters: str) -> dict[str, Any]:
    """The policy that makes such a queue safe, for it and its suspects alone, as the management API takes it."""
    return {
        "pattern": f"^{re.escape(each.queue)}({re.escape(SUSPECTS_SUFFIX)})?$",
        "apply-to": "queues",
        "priority": 0,
        "definition": wanted(each.type, dead_letters=dead_letters, is_dead_letters=each.queue == dead_letters),
    }
