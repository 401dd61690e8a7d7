"""Pauses: the exchange `proj.paused.QUEUE` on the broker says that no worker is to consume from that queue.

It is an exchange, because RabbitMQ has each one on every node of a cluster, so it can be found while a node is down. A
durable classic queue on that node could not, and workers would take the queue for one that is not paused. An exchange
has no process and no files, and no list of queues shows it. Nothing is ever published to it.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from amqp.exceptions import AccessRefused, NotFound

from proj.broker.declaration import own_channel
from proj.broker.permissions.undeclared import ordered
from proj.errors import ProjError
from proj.user import whoami

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import amqp

    from proj.broker.management_api import Management

logger = logging.getLogger(__name__)

#: The exchange that exists since the first pause. Without it nothing is paused, so a worker asks for this one alone:
#: RabbitMQ logs an error for each exchange that is asked for and not found.
PAUSES = "proj.paused"
#: Bytes that AMQP allows an exchange's name.
_LONGEST_NAME = 255


def mark(connection: amqp.Connection, queue: str) -> None:
    """Say that the queue is paused, until `unmark`; also after a restart of the broker.

    The exchange's arguments, which the management page shows, tell who paused it and when (seconds since the epoch).

    Raises:
        ProjError: the queue's name is too long for that, or the user may make no such exchange.
    """
    name = _mark_of(queue)
    if len(name.encode()) > _LONGEST_NAME:
        most = _LONGEST_NAME - len(_mark_of(""))
        raise ProjError(f"The queue {queue} cannot be paused: its name has more than {most} bytes.")
    for exchange, arguments in ((PAUSES, None), (name, {"x-proj-by": whoami(), "x-proj-at": int(time.time())})):
        with _permitted(exchange):
            if not _exists(connection, exchange):
                with own_channel(connection) as channel:
                    ordered(channel).exchange_declare(
                        exchange, "fanout", durable=True, auto_delete=False, arguments=arguments
                    )


def unmark(connection: amqp.Connection, queue: str) -> None:
    """Say that the queue is paused no more.

    Raises:
        ProjError: the user may not delete the exchange.
    """
    with _permitted(_mark_of(queue)), own_channel(connection) as channel:
        channel.exchange_delete(_mark_of(queue))


def paused(connection: amqp.Connection, queues: Iterable[str]) -> frozenset[str]:
    """Those of the queues that are paused, as the broker says now; none, with a warning, where the user may not ask.

    RabbitMQ 4.3 tells of an exchange only those who have any permission on it; 3.10 everyone.

    Raises:
        AMQPError: the connection is lost.
    """
    names = [name for name in queues if len(_mark_of(name).encode()) <= _LONGEST_NAME]
    try:
        if not names or not _exists(connection, PAUSES):
            return frozenset()
        return frozenset(name for name in names if _exists(connection, _mark_of(name)))
    except AccessRefused as error:
        logger.warning(
            "It is not known whether queues are paused, so none counts as paused: %s. Give the user the permission to "
            "read the exchanges %s and %s.*.",
            error.reply_text,
            PAUSES,
            PAUSES,
            extra={"action": "pauses_not_read"},
        )
        return frozenset()


def paused_by_management(management: Management, vhost: str) -> frozenset[str]:
    """All queues of the virtual host that are paused, also those that do not exist any more.

    Raises:
        NoManagement: the API does not answer, or refuses.
    """
    exchanges: list[dict[str, Any]] = management.request("GET", f"exchanges/{quote(vhost, safe='')}?columns=name")
    names = (str(each.get("name")) for each in exchanges)
    return frozenset(name.removeprefix(_mark_of("")) for name in names if name.startswith(_mark_of("")))


@contextmanager
def _permitted(exchange: str) -> Iterator[None]:
    try:
        yield
    except AccessRefused as error:
        raise ProjError(
            f"RabbitMQ lets this user neither make nor delete the exchange {exchange} ({error.reply_text}). "
            "Give the user the permission to configure it."
        ) from error


def _mark_of(queue: str) -> str:
    return f"{PAUSES}.{queue}"


def _exists(connection: amqp.Connection, exchange: str) -> bool:
    try:
        with own_channel(connection) as channel:
            channel.exchange_declare(exchange, "fanout", passive=True)
    except NotFound:
        return False
    return True
