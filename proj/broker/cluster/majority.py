"""Majority: which quorum queues have more members away than online. Such a queue takes and gives no message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from proj.errors import ProjError
from proj.plural import counted
from proj.queues import is_plumbing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from proj.broker.management_api import Management

#: Names of queues that a sentence has.
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class LostMajority:
    """A quorum queue without a majority."""

    queue: str
    #: The nodes that have a member of it, and those of them that are online.
    members: tuple[str, ...]
    online: tuple[str, ...]


def lost_majority(queue: Mapping[str, Any]) -> LostMajority | None:
    """A queue as the management API lists it, if no more than half of its members are online; else None.

    A queue of another type has no members.
    """
    members, online = queue.get("members"), queue.get("online")
    if not (isinstance(members, list) and isinstance(online, list) and members and 2 * len(online) <= len(members)):
        return None
    return LostMajority(queue=str(queue["name"]), members=tuple(sorted(members)), online=tuple(sorted(online)))


def ask_for_lost_majorities(management: Management, vhost: str) -> list[LostMajority]:
    """The quorum queues of the virtual host that have no majority; none where the management API does not tell."""
    there = quote(vhost, safe="")
    try:
        queues = management.request("GET", f"queues/{there}?disable_stats=true&enable_queue_totals=true")
    except ProjError:
        return []
    return [lost for queue in queues if (lost := lost_majority(queue)) is not None]


def sentence(lost: Sequence[LostMajority]) -> str | None:
    """What is wrong, for people, and what to do; None when no queue has lost its majority."""
    if not lost:
        return None
    # Those of the app first.
    names = sorted((each.queue for each in lost), key=lambda name: (is_plumbing(name), name))
    members = sorted({node for each in lost for node in each.members})
    online = sorted({node for each in lost for node in each.online})
    away = [node for node in members if node not in online]
    more = f" and {counted(len(names) - _SHOWN, 'other')}" if len(names) > _SHOWN else ""
    subject = f"The queue {names[0]} has" if len(names) == 1 else f"The queues {', '.join(names[:_SHOWN])}{more} have"
    return (
        f"{subject} no majority: {', '.join(online) or 'no node'} answers, {', '.join(away)} "
        f"{'does' if len(away) == 1 else 'do'} not. Until another of these nodes is started, nothing is delivered, and "
        "nothing that is published is confirmed."
    )
