"""Roles: the permissions that each kind of user needs on the broker of an app that declares nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.utils.quorum_queues import detect_quorum_queues
from kombu.transport import native_delayed_delivery as native

from proj.broker.pauses import PAUSES
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.dead_letters.requeue import NOTES_SUFFIX
from proj.delivery.shutdown.halt_reply import LEAVING
from proj.delivery.topology.app_topology import app_queues, listens
from proj.queues import BROADCAST, DUE, EXCHANGES, QUARANTINE_SUFFIX, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

#: How RabbitMQ calls the default exchange in permissions. It leads to every queue by its name.
DEFAULT_EXCHANGE = "amq.default"
#: The end of the name of the lock of whoever reads dead letters.
_READER_SUFFIX = ".reader"
_UUID = "[0-9a-f-]{36}"
_ANYTHING = (".*",)


@dataclass(frozen=True, kw_only=True)
class Role:
    """The permissions of one kind of user, as RabbitMQ takes them."""

    name: str
    #: What it is for, and what it may not do.
    purpose: str
    #: Of the user, for the management API; empty for none.
    tags: str
    #: Regular expressions, each of which matches whole names of queues and exchanges.
    configure: tuple[str, ...]
    write: tuple[str, ...]
    read: tuple[str, ...]

    @property
    def permissions(self) -> dict[str, str]:
        """As RabbitMQ takes them: one regular expression for each right."""
        return {
            "configure": _pattern(self.configure),
            "write": _pattern(self.write),
            "read": _pattern(self.read),
        }


def roles(app: Celery, additional: Iterable[str] = ()) -> list[Role]:
    """The roles of an app and its `additional` queues, from the fewest rights to the most."""
    queues = app_queues(app, additional)
    names = [re.escape(queue.name) for queue in queues]
    letters = re.escape(dead_letter_queue(app))
    events = re.escape(app.conf.event_exchange)
    #: A listener's own queue, and that of a journal.
    listening = rf"{re.escape(app.conf.event_queue_prefix)}\..*"
    control = re.escape(f"{app.conf.control_exchange}.pidbox")
    replies = rf"reply\.{control}"
    own_replies = rf"{_UUID}\.{replies}"
    # Celery publishes to a direct exchange's queue through the default exchange.
    tasks = {
        re.escape(DEFAULT_EXCHANGE if queue.exchange.type == "direct" else queue.exchange.name) for queue in queues
    }
    if detect_quorum_queues(app, "amqp")[0]:
        tasks.add(re.escape(native.level_name(native.MAX_LEVEL)))
    sent = {events} if app.conf.task_send_sent_event else set()
    has_replies = str(app.conf.result_backend or "").startswith("rpc")
    results = {_UUID} if has_replies else set()
    # A worker's control queue has its name, and whoever asks workers has a queue for the replies.
    own = {rf".+@.+\.{control}", own_replies, listening}
    leases = {rf"{name}\.lease\.{_UUID}" for name in names}
    if listens(app):
        # A worker makes the queue in which it gets broadcasts, and binds it.
        broadcasts = rf"{re.escape(BROADCAST.name)}\..+@.+"
        own.add(broadcasts)
        bound_to = {re.escape(exchange.name) for exchange in (BROADCAST, DUE, TASKS)}
        tasks |= {re.escape(name) for name in EXCHANGES}
    else:
        bound_to = set()
    leaving = rf"{re.escape(LEAVING)}.*"
    default = re.escape(DEFAULT_EXCHANGE)
    paused = rf"{re.escape(PAUSES)}(\..*)?"
    return [
        Role(
            name="publisher",
            purpose="sends tasks; it reads nothing",
            tags="",
            configure=_sorted(results),
            write=_sorted(tasks | sent),
            read=_sorted(results),
        ),
        Role(
            name="worker",
            purpose="runs tasks, sends others, and keeps what cannot be run; it makes no queue that lasts",
            tags="",
            configure=_sorted({*own, *leases, leaving}),
            write=_sorted({*own, *tasks, default, events, control, replies}),
            read=_sorted(
                {*own, *leases, *names, *(f"{name}{re.escape(QUARANTINE_SUFFIX)}" for name in names)}
                | {events, control, replies, paused, *bound_to}
            ),
        ),
        Role(
            name="monitor",
            purpose="dashboard and journal record: counts messages and hears events; it touches no task and no worker",
            tags="management",
            configure=_sorted({listening}),
            write=_sorted({listening}),
            read=_sorted({listening, events}),
        ),
        Role(
            name="operator",
            purpose="reads and requeues dead letters, makes policies, pauses queues, halts workers",
            tags="policymaker",
            configure=_sorted(
                {f"{letters}({re.escape(NOTES_SUFFIX)}|{re.escape(_READER_SUFFIX)})?", paused, own_replies}
            ),
            write=_sorted({default, letters, control, own_replies, *names}),
            read=_sorted(
                {f"{letters}({re.escape(NOTES_SUFFIX)}|{re.escape(_READER_SUFFIX)})?", paused, own_replies}
                | {replies, leaving}
            ),
        ),
        Role(
            name="platform",
            purpose="imports the definitions file, and makes the users",
            tags="administrator",
            configure=_ANYTHING,
            write=_ANYTHING,
            read=_ANYTHING,
        ),
    ]


def permissions(all_roles: Iterable[Role], vhost: str, prefix: str) -> dict[str, list[dict[str, Any]]]:
    """The permissions as RabbitMQ imports them; the users, whose names have the prefix, must exist."""
    return {
        "permissions": [{"user": user_name(each, prefix), "vhost": vhost, **each.permissions} for each in all_roles]
    }


def orders(all_roles: Iterable[Role], vhost: str, prefix: str) -> list[list[str]]:
    """The words of `rabbitmqctl` that give each user its tags and permissions; the users must exist."""
    words = []
    for each in all_roles:
        user = user_name(each, prefix)
        words.append(["set_user_tags", user, *each.tags.split()])
        words.append(["set_permissions", "-p", vhost, user, *each.permissions.values()])
    return words


def user_name(role: Role, prefix: str) -> str:
    """The name of a role's user."""
    return f"{prefix}-{role.name}"


def _sorted(alternatives: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(alternatives)))


def _pattern(alternatives: tuple[str, ...]) -> str:
    """A regular expression that matches exactly these; without any, one that matches no name."""
    # RabbitMQ looks for the pattern anywhere in a name.
    return f"^({'|'.join(alternatives)})$" if alternatives else "^$"
