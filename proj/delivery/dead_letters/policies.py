"""The policies of an app's queues: what they lack so that no rejected message is dropped, and their length limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj import queues
from proj.delivery.dead_letters.queue_policy import (
    POLICY_PREFIX,
    PolicyStatus,
    describe_change,
    effective_policy,
    extended_policy,
    is_redundant,
    list_policies,
    policy_status,
)
from proj.errors import NoManagement, ProjError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.broker.management_api import Management
    from proj.broker.version import BrokerVersion


class QueuePolicies:
    """The policies of one app's queues on one broker."""

    def __init__(
        self,
        management: Management,
        *,
        vhost: str,
        queue_types: Mapping[str, str],
        dead_letters: str,
        max_length: int | None = None,
        shipped: Sequence[Mapping[str, Any]] = (),
        version: BrokerVersion | None = None,
    ) -> None:
        """Take the app's queues.

        Args:
            management: the broker's management API.
            vhost: the virtual host of the queues.
            queue_types: the type of each queue as the app declares it, by its name.
            dead_letters: the name of the dead-letter queue and of its exchange. This queue has no length limit.
            max_length: the length limit that the queues shall have; 0 is no limit, None leaves it as it is.
            shipped: the policies that our broker has from the start. Ours may extend one of these, and no other.
            version: of the broker, where ours shall have what only this one knows.
        """
        self._version = version
        self._max_length = max_length
        self._shipped = shipped
        self._management = management
        self._vhost = vhost
        self._quoted_vhost = quote(vhost, safe="")
        self._queue_types = {**queue_types, dead_letters: queues.QUORUM}
        self.dead_letters = dead_letters

    def statuses(self) -> list[PolicyStatus]:
        """The status of each queue now, of the dead-letter queue last.

        Raises:
            NoManagement: the management API does not answer, or refuses.
        """
        there = self._described_queues()
        policies = list_policies(self._management, self._vhost)
        return [
            policy_status(
                name,
                there.get(name),
                declared_type=declared,
                dead_letters=self.dead_letters,
                policy=(
                    None
                    if policies is None
                    else effective_policy(policies, name, there.get(name, {}).get("type", declared))
                ),
                max_length=self._max_length,
                shipped=self._shipped,
                version=self._version,
            )
            for name, declared in self._queue_types.items()
        ]

    def is_dead_letter_queue_bound(self) -> bool:
        """Whether the dead-letter exchange exists and is bound to the dead-letter queue."""
        name = quote(self.dead_letters, safe="")
        try:
            return bool(self._management.request("GET", f"bindings/{self._quoted_vhost}/e/{name}/q/{name}"))
        except NoManagement:
            # The API has answered before. It refuses when the exchange or the queue does not exist.
            return False

    def apply(self) -> None:
        """Make what is missing: exchange, queue and binding, then a policy of ours for each queue that lacks one.

        A policy of ours that only added a length limit to a shipped policy is removed with that limit.

        Raises:
            ProjError: the user may not do this, or there is an `obstacle`. Then nothing is changed.
        """
        statuses = self.statuses()
        if (hindered := obstacle(statuses)) is not None:
            raise ProjError(hindered)
        name = quote(self.dead_letters, safe="")
        vhost = self._quoted_vhost
        try:
            # Exchange and queue first: a message that a policy sends to a missing exchange is dropped.
            self._management.request("PUT", f"exchanges/{vhost}/{name}", {"type": "fanout", "durable": True})
            queue = {"durable": True, "arguments": {"x-queue-type": queues.QUORUM}}
            if self.dead_letters not in self._described_queues():
                self._management.request("PUT", f"queues/{vhost}/{name}", queue)
            self._management.request("POST", f"bindings/{vhost}/e/{name}/q/{name}", {"routing_key": ""})
            policies = list_policies(self._management, self._vhost) or []
            for status in statuses:
                path = f"policies/{vhost}/{quote(POLICY_PREFIX + status.queue, safe='')}"
                if is_redundant(status, policies, self._shipped):
                    self._management.request("DELETE", path)
                elif status.missing:
                    self._management.request("PUT", path, extended_policy(status, self.dead_letters))
        except NoManagement as error:
            raise ProjError(
                f"{error.message} This needs a user with the tag policymaker or administrator and the permission to "
                f"configure {self.dead_letters}; --broker-api takes the name and the password."
            ) from error

    def _described_queues(self) -> dict[str, dict[str, Any]]:
        return {queue["name"]: queue for queue in self._management.request("GET", f"queues/{self._quoted_vhost}")}


def obstacle(statuses: Sequence[PolicyStatus]) -> str | None:
    """Why --apply cannot make what is missing, and what to do, for people; None when it can."""
    foreign = [each for each in statuses if each.missing and each.is_foreign]
    fixed = [each for each in statuses if each.fixed]
    reasons = []
    if foreign:
        reasons.append(
            "--apply changes nothing, because a queue has only one policy and someone else made these: "
            + "; ".join(f"{describe_change(each)} {each.policy!r}, the policy of {each.queue}" for each in foreign)
            + "."
        )
    if fixed:
        reasons.append(
            "--apply changes nothing, because no policy overrules the arguments that a queue was declared with: "
            + "; ".join(
                f"{each.queue} has {', '.join(f'{key}: {value}' for key, value in each.fixed.items())}"
                for each in fixed
            )
            + ". Delete the queue when it is empty, and declare it without them."
        )
    return " ".join(reasons) or None
