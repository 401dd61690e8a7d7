"""Policies of an app's queues: what is lacking so that nothing they give up is dropped, and how long they may be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
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
    #: Messages beyond which it refuses or drops; None when it takes all.
    max_length: int | None
    #: What is to be added or changed for it to be as wanted; empty when it is. None is to be taken away.
    missing: dict[str, Any]
    #: What our own policy says now; empty when there is none.
    own: dict[str, Any] = field(default_factory=dict)

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
    max_length: int | None = None,
) -> Standing:
    """How a queue stands, from what the management API says of it (None: it has no such queue) and its policy.

    A limit or an exchange that someone chose otherwise is their choice: only what is absent is missing. But where a
    `max_length` is asked for (0: none at all), another one is not it.
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
    if name != dead_letters and max_length is not None:
        missing.update({key: value for key, value in limiting(max_length).items() if has.get(key) != value})
    holds = policy["name"] if policy else (there or {}).get("policy")
    return Standing(
        queue=name,
        type=queue_type,
        exists=there is not None,
        policy=holds,
        dead_letter_exchange=has.get("dead-letter-exchange"),
        delivery_limit=limit,
        max_length=has.get("max-length"),
        missing=missing,
        own=dict(effective) if isinstance(effective, dict) and str(holds).startswith(OURS) else {},
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
    """The policy that holds for a queue: of those that match, the one with the highest priority.

    Source: https://www.rabbitmq.com/docs/policies#combining-policy-definitions
    """
    kinds = {"all", "queues", f"{queue_type}_queues"}
    matching = [each for each in policies if each["apply-to"] in kinds and re.search(each["pattern"], queue)]
    return max(matching, key=lambda each: int(each.get("priority", 0)), default=None)


class DeadLetterPolicy:
    """The policies of one app's queues on one broker."""

    def __init__(
        self,
        management: Management,
        *,
        vhost: str,
        declared: Mapping[str, str],
        dead_letters: str,
        max_length: int | None = None,
    ) -> None:
        """Take the app's queues with the type of each, as it declares them, and how long they may be.

        A `max_length` of None leaves that as it is, 0 is without limit; the dead letters have none.
        """
        self._max_length = max_length
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
                max_length=self._max_length,
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
                + "; ".join(f"{change(each)} {each.policy!r}, which holds for {each.queue}" for each in foreign)
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


def change(each: Standing) -> str:
    """What is to be done to a policy of someone else, for people."""
    added = {key: value for key, value in each.missing.items() if value is not None}
    taken = ", ".join(key for key, value in each.missing.items() if value is None)
    if not taken:
        return f"add {added} to"
    return f"take {taken} from" + f", and add {added} to," * bool(added)


def remedy(each: Standing, dead_letters: str) -> dict[str, Any]:
    """The policy that makes such a queue as wanted, for it and its suspects alone, as the management API takes it."""
    needs = wanted(each.type, dead_letters=dead_letters, is_dead_letters=each.queue == dead_letters)
    definition = {**needs, **each.own, **each.missing}
    return {
        "pattern": f"^{re.escape(each.queue)}({re.escape(SUSPECTS_SUFFIX)})?$",
        "apply-to": "queues",
        "priority": 0,
        "definition": {key: value for key, value in definition.items() if value is not None},
    }
