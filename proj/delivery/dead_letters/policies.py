"""Policies of an app's queues: what is lacking so that nothing they give up is dropped, and how long they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj import queues
from proj.delivery.dead_letters.queue_policy import (
    OURS,
    Standing,
    change,
    holding,
    is_needless,
    remedy,
    standing,
    visible_policies,
)
from proj.errors import NoManagement, ProjError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.broker.management_api import Management


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
        shipped: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Take the app's queues with the type of each, as it declares them, and how long they may be.

        A `max_length` of None leaves that as it is, 0 is without limit; the dead letters have none. Over the `shipped`
        policies, which a broker of ours has from the start, one of ours may stand; over another's never.
        """
        self._max_length = max_length
        self._shipped = shipped
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
                shipped=self._shipped,
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

        One of ours that had added a limit to a shipped one, and nothing else, goes with the limit.

        Raises:
            ProjError: the user may not, or something is in the way, see `hindrance`; nothing is changed then.
        """
        standings = self.standings()
        if (hindered := hindrance(standings)) is not None:
            raise ProjError(hindered)
        name = quote(self.dead_letters, safe="")
        try:
            # The way first, so that nothing is sent along it before it ends somewhere.
            self._management.request("PUT", f"exchanges/{self._vhost}/{name}", {"type": "fanout", "durable": True})
            queue = {"durable": True, "arguments": {"x-queue-type": queues.QUORUM}}
            if self.dead_letters not in self._queues():
                self._management.request("PUT", f"queues/{self._vhost}/{name}", queue)
            self._management.request("POST", f"bindings/{self._vhost}/e/{name}/q/{name}", {"routing_key": ""})
            policies = visible_policies(self._management, self._vhost) or []
            for each in standings:
                path = f"policies/{self._vhost}/{quote(OURS + each.queue, safe='')}"
                if is_needless(each, policies, self._shipped):
                    self._management.request("DELETE", path)
                elif each.missing:
                    self._management.request("PUT", path, remedy(each, self.dead_letters))
        except NoManagement as error:
            raise ProjError(
                f"{error.message} A user who may do this has the tag policymaker or administrator, and may configure "
                f"{self.dead_letters}; --broker-api takes its name and password."
            ) from error


def hindrance(standings: Sequence[Standing]) -> str | None:
    """Why --apply cannot make what is missing, and what to do, for people; None when it can, or nothing is missing."""
    foreign = [each for each in standings if each.missing and each.is_foreign]
    fixed = [each for each in standings if each.fixed]
    reasons = []
    if foreign:
        reasons.append(
            "Only one policy holds for a queue, and others made these, so --apply changes nothing: "
            + "; ".join(f"{change(each)} {each.policy!r}, which holds for {each.queue}" for each in foreign)
            + "."
        )
    if fixed:
        reasons.append(
            "No policy overrules what a queue was declared with, so --apply changes nothing: "
            + "; ".join(
                f"{each.queue} has {', '.join(f'{key}: {value}' for key, value in each.fixed.items())}"
                for each in fixed
            )
            + ". Delete the queue when it is empty, and have it declared without."
        )
    return " ".join(reasons) or None
