"""Queues, exchanges and bindings as they must exist, and the definitions file from which RabbitMQ makes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One exchange."""

    name: str
    type: str
    durable: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One queue."""

    name: str
    durable: bool = True
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A binding of a queue, or of an exchange, to the exchange `source`."""

    source: str
    destination: str
    #: queue or exchange.
    kind: str
    routing_key: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What RabbitMQ tells bindings apart by, without their arguments."""
        return (self.source, self.kind, self.destination, self.routing_key)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy of ours for one queue and its quarantine."""

    name: str
    pattern: str
    apply_to: str
    priority: int
    definition: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Part:
    """What exists for one purpose."""

    name: str
    #: What does not work without it.
    without: str
    #: Whether tasks are lost or none runs without it.
    required: bool
    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()
    policies: tuple[Policy, ...] = ()
    #: Whether a queue of any type, with any arguments, will do.
    any_arguments: bool = False


def definitions(parts: Iterable[Part], vhost: str) -> dict[str, list[dict[str, Any]]]:
    """The parts as RabbitMQ imports them (`rabbitmqctl import_definitions`, or the management page).

    Source: https://www.rabbitmq.com/docs/definitions
    """
    parts = list(parts)
    return {
        "vhosts": [{"name": vhost}],
        "policies": [
            {
                "vhost": vhost,
                "name": each.name,
                "pattern": each.pattern,
                "apply-to": each.apply_to,
                "priority": each.priority,
                "definition": dict(each.definition),
            }
            for part in parts
            for each in part.policies
        ],
        "exchanges": [
            {
                "vhost": vhost,
                "name": each.name,
                "type": each.type,
                "durable": each.durable,
                "auto_delete": False,
                "internal": False,
                "arguments": dict(each.arguments),
            }
            for part in parts
            for each in part.exchanges
        ],
        "queues": [
            {
                "vhost": vhost,
                "name": each.name,
                "durable": each.durable,
                "auto_delete": False,
                "arguments": dict(each.arguments),
            }
            for part in parts
            for each in part.queues
        ],
        "bindings": [
            {
                "vhost": vhost,
                "source": each.source,
                "destination": each.destination,
                "destination_type": each.kind,
                "routing_key": each.routing_key,
                "arguments": dict(each.arguments),
            }
            for part in parts
            for each in part.bindings
        ],
    }
