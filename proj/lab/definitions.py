"""What a private RabbitMQ has from the start: `definitions.json`, which docker-compose.yml mounts too."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from importlib import resources
from typing import Any

USER = "proj"
#: The user of a new RabbitMQ, and its password. RabbitMQ's tutorials use it.
GUEST = "guest"

#: What belongs to a virtual host, and not to the whole broker.
_LOCAL = ("exchanges", "queues", "bindings", "policies")
#: What has members, or leads to it. A cluster gets it when all of its nodes are there.
_SPREAD = ("exchanges", "queues", "bindings")


def packaged_definitions() -> dict[str, Any]:
    """The policies, the dead-letter queue and the user of `definitions.json`."""
    text = resources.files("proj.lab").joinpath("definitions.json").read_text()
    definitions: dict[str, Any] = json.loads(text)
    return definitions


def definitions_at_start(password: str, *, guest: bool, is_member: bool) -> dict[str, Any]:
    """What a node imports when it starts, with our user's password; a member of a cluster imports no queue.

    A quorum queue has a member on each node that is there when it is declared.
    """
    definitions = packaged_definitions()
    (ours,) = definitions["users"]
    ours.update(name=USER, password_hash=hash_password(password))
    if guest:
        definitions["users"].append({**ours, "name": GUEST, "password_hash": hash_password(GUEST)})
        definitions["permissions"] += [{**each, "user": GUEST} for each in definitions["permissions"]]
    return {kind: rows for kind, rows in definitions.items() if not (is_member and kind in _SPREAD)}


def spread_definitions() -> dict[str, Any]:
    """What a cluster gets when all of its nodes are there."""
    return {kind: rows for kind, rows in packaged_definitions().items() if kind in _SPREAD}


def vhost_definitions() -> dict[str, Any]:
    """What belongs to a virtual host, without the name of one."""
    return {
        kind: [{key: value for key, value in row.items() if key != "vhost"} for row in rows]
        for kind, rows in packaged_definitions().items()
        if kind in _LOCAL
    }


def hash_password(password: str) -> str:
    """The password as RabbitMQ stores it: base64(salt + sha256(salt + password)).

    Source: https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
