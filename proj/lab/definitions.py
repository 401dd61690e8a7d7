"""What a private RabbitMQ has from the start: `definitions.json`, which docker-compose.yml mounts too."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from importlib import resources
from typing import TYPE_CHECKING, Any

from proj.delivery.dead_letters.queue_policy import LOST_NODE_KEY, LOST_NODE_TIMEOUT_MS, lost_node_definition

if TYPE_CHECKING:
    from proj.broker.version import BrokerVersion

USER = "proj"
#: The user of a new RabbitMQ, and its password. RabbitMQ's tutorials use it.
GUEST = "guest"

#: What belongs to a virtual host, and not to the whole broker.
_LOCAL = ("exchanges", "queues", "bindings", "policies")
#: What has members, or leads to it. A cluster gets it when all of its nodes are there.
_SPREAD = ("exchanges", "queues", "bindings")


#: The policy of work on quorum queues.
_WORK = "work"


def packaged_definitions(version: BrokerVersion | None = None) -> dict[str, Any]:
    """The policies, the dead-letter queue and the user of `definitions.json`, and what this version knows besides.

    The file is for each version. A broker that does not know a key of a policy refuses all definitions.
    """
    text = resources.files("proj.lab").joinpath("definitions.json").read_text()
    definitions: dict[str, Any] = json.loads(text)
    for policy in definitions["policies"]:
        if version is not None and policy["name"] == _WORK:
            policy["definition"].update(lost_node_definition(version))
    return definitions


def shipped_policies() -> list[dict[str, Any]]:
    """The policies that a broker of ours has from the start, those of a newer version behind the others."""
    plain: list[dict[str, Any]] = packaged_definitions()["policies"]
    return plain + [
        {**policy, "definition": {**policy["definition"], LOST_NODE_KEY: LOST_NODE_TIMEOUT_MS}}
        for policy in plain
        if policy["name"] == _WORK
    ]


def definitions_at_start(
    password: str, *, guest: bool, is_member: bool, version: BrokerVersion | None = None
) -> dict[str, Any]:
    """What a node imports when it starts, with our user's password; a member of a cluster imports no queue.

    A quorum queue has a member on each node that is there when it is declared.
    """
    definitions = packaged_definitions(version)
    (ours,) = definitions["users"]
    ours.update(name=USER, password_hash=hash_password(password))
    if guest:
        definitions["users"].append({**ours, "name": GUEST, "password_hash": hash_password(GUEST)})
        definitions["permissions"] += [{**each, "user": GUEST} for each in definitions["permissions"]]
    return {kind: rows for kind, rows in definitions.items() if not (is_member and kind in _SPREAD)}


def spread_definitions() -> dict[str, Any]:
    """What a cluster gets when all of its nodes are there."""
    return {kind: rows for kind, rows in packaged_definitions().items() if kind in _SPREAD}


def vhost_definitions(version: BrokerVersion | None = None) -> dict[str, Any]:
    """What belongs to a virtual host of this version, without the name of one."""
    return {
        kind: [{key: value for key, value in row.items() if key != "vhost"} for row in rows]
        for kind, rows in packaged_definitions(version).items()
        if kind in _LOCAL
    }


def hash_password(password: str) -> str:
    """The password as RabbitMQ stores it: base64(salt + sha256(salt + password)).

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
