"""What a broker lacks of a topology, and what it has otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.delivery.dead_letters.queue_policy import POLICY_PREFIX, list_policies
from proj.queues import CLASSIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from proj.broker.management_api import Management
    from proj.delivery.dead_letters.queue_policy import PolicyStatus
    from proj.delivery.topology.entities import Binding, Exchange, Part, Queue

_TYPE = "x-queue-type"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that is missing, or that is unlike what must exist."""

    missing: bool
    #: queue, exchange, binding or policy.
    kind: str
    name: str
    part: str
    #: For people: what is unlike. Empty for what is missing.
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Live:
    """What the virtual host of a broker has."""

    exchanges: Mapping[str, Mapping[str, Any]]
    queues: Mapping[str, Mapping[str, Any]]
    bindings: frozenset[tuple[str, str, str, str]]


def read_live(management: Management, vhost: str) -> Live:
    """What the virtual host has now.

    Raises:
        NoManagement: the management API does not answer, or refuses.
    """
    there = quote(vhost, safe="")
    bindings = management.request("GET", f"bindings/{there}")
    return Live(
        exchanges={str(each["name"]): each for each in management.request("GET", f"exchanges/{there}")},
        queues={str(each["name"]): each for each in management.request("GET", f"queues/{there}")},
        bindings=frozenset(
            (each["source"], each["destination_type"], each["destination"], each["routing_key"]) for each in bindings
        ),
    )


def may_see_policies(management: Management, vhost: str) -> bool:
    """Whether the API's user may: it needs the tag policymaker, or a higher one."""
    return list_policies(management, vhost) is not None


def differences(parts: Iterable[Part], live: Live, policies: Iterable[PolicyStatus] = ()) -> list[Difference]:
    """What is missing or unlike, in the order of the parts.

    `policies` are the statuses of the queues, from the broker's own policies. A policy with another name than ours
    counts too, if it says enough.
    """
    lacking = {POLICY_PREFIX + each.queue: each for each in policies if each.missing}
    found = []
    for part in parts:
        found += [each for entity in part.exchanges if (each := _of_exchange(entity, part, live)) is not None]
        found += [each for entity in part.queues if (each := _of_queue(entity, part, live)) is not None]
        found += [each for entity in part.bindings if (each := _of_binding(entity, part, live)) is not None]
        for policy in part.policies:
            if (status := lacking.get(policy.name)) is not None:
                exists = status.policy is not None
                details = tuple(f"{key}: {value}" for key, value in status.missing.items())
                found.append(
                    Difference(
                        missing=not exists,
                        kind="policy",
                        name=str(status.policy) if exists else policy.name,
                        part=part.name,
                        details=tuple(f"lacks {each}" for each in details) if exists else (),
                    )
                )
    return found


def _of_exchange(expected: Exchange, part: Part, live: Live) -> Difference | None:
    there = live.exchanges.get(expected.name)
    if there is None:
        return Difference(missing=True, kind="exchange", name=expected.name, part=part.name)
    details = []
    if there["type"] != expected.type:
        details.append(f"type: {there['type']} instead of {expected.type}")
    return _unlike("exchange", expected.name, part, details)


def _of_queue(expected: Queue, part: Part, live: Live) -> Difference | None:
    there = live.queues.get(expected.name)
    if there is None:
        return Difference(missing=True, kind="queue", name=expected.name, part=part.name)
    details = []
    if not there.get("durable"):
        details.append("durable: False instead of True")
    if not part.any_arguments:
        has, asked = _arguments(there.get("arguments") or {}, there.get("type")), _arguments(expected.arguments, None)
        details += [
            f"{key}: {has.get(key, 'none')} instead of {asked.get(key, 'none')}"
            for key in sorted(has.keys() | asked.keys())
            if has.get(key) != asked.get(key)
        ]
    return _unlike("queue", expected.name, part, details)


def _of_binding(expected: Binding, part: Part, live: Live) -> Difference | None:
    if expected.key in live.bindings:
        return None
    name = f"{expected.source} to {expected.destination} ({expected.kind}) with {expected.routing_key!r}"
    return Difference(missing=True, kind="binding", name=name, part=part.name)


def _unlike(kind: str, name: str, part: Part, details: list[str]) -> Difference | None:
    return Difference(missing=False, kind=kind, name=name, part=part.name, details=tuple(details)) if details else None


def _arguments(arguments: Mapping[str, Any], queue_type: object) -> dict[str, Any]:
    """The arguments with the type that the queue has: the broker's description names it apart from them."""
    return {**arguments, _TYPE: queue_type or arguments.get(_TYPE, CLASSIC)}
