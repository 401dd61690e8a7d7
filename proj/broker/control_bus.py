"""Celery's control bus: commands to workers and their replies, over one connection that may be idle for long."""

from __future__ import annotations

import contextlib
import re
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from amqp.exceptions import NotFound, ResourceLocked
from celery.app.control import Control
from kombu.pidbox import Mailbox

from proj.broker.connection import connected, count_queue, disconnect, ensure_connected, open_channel, unanswered
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from celery import Celery
    from kombu import Connection


T = TypeVar("T")

#: A worker takes commands over the queue of one of these numbers where the broker refuses the usual one, number 1: a
#: node that is down may keep the queue of a lost connection. Each lost node may have one.
OTHERS = range(2, 5)
_OTHER = re.compile(r"~[2-4]$")


def numbered(mailbox: Mailbox, number: int) -> Mailbox:
    """The mailbox with another queue for each worker; with 1 it is the mailbox itself."""
    if number == 1:
        return mailbox
    other = copy(mailbox)
    # kombu's nodes ask their mailbox for the queue by their name.
    other.__dict__["get_queue"] = lambda node: mailbox.get_queue(f"{node}~{number}")
    return other


def node_of_mailbox(queue: str, control_exchange: str) -> str | None:
    """The name of the worker that takes commands over this queue; None for a queue that is no worker's."""
    suffix = f".{control_exchange}.pidbox"
    if not queue.endswith(suffix) or queue.endswith(f".reply{suffix}"):
        return None
    return _OTHER.sub("", queue.removesuffix(suffix))


class _Mailbox(Mailbox):
    """A mailbox with a reply queue of its own.

    kombu names the queue after the mailbox's address in memory, which the next mailbox may have again. The queue is
    exclusive, and the broker may still be deleting the last one: it refuses the next with RESOURCE_LOCKED.
    """

    @cached_property
    def oid(self) -> str:
        return str(uuid4())


class _Control(Control):
    Mailbox = _Mailbox
    # celery-types leaves this out, and says that a mailbox makes something else of a connection.
    mailbox: Callable[[Connection], _Mailbox]


class ControlBus(Service):
    """Sends commands to an app's workers and collects their replies; needs nothing of the app's tasks."""

    def __init__(self, app: Celery) -> None:
        """Take the app whose workers are meant; nothing is connected before `start`."""
        self._app = app
        self._resources = contextlib.ExitStack()

    def start(self) -> None:
        """Connect.

        Raises:
            NoBroker: no broker answers.
        """
        # Without a heartbeat: nobody would send one between two commands.
        self.connection = self._resources.enter_context(connected(self._app.connection_for_write(heartbeat=0)))
        self._mailbox = self._new_mailbox()

    def stop(self) -> None:
        """Disconnect."""
        self._resources.close()

    def ask(
        self,
        command: str,
        *,
        timeout_s: float,
        nodes: Collection[str] | None = None,
        limit: int | None = None,
        **arguments: object,
    ) -> dict[str, Any]:
        """The replies of all workers, or of `nodes`, by node name; `worker_replies` reads them.

        It returns as soon as all nodes, or `limit` workers, have replied. A worker that is silent for `timeout_s`
        seconds is missing. Where the connection is lost, all are asked once more, over another one.

        Raises:
            NoBroker: the broker does not answer.
        """
        by_node: dict[str, Any] = {}
        if nodes is not None and not nodes:
            return by_node
        replies = self._tried_again(
            lambda: (
                self._mailbox.multi_call(command, arguments, timeout=timeout_s, limit=limit)
                if nodes is None
                else self._mailbox.call(sorted(nodes), command, arguments, timeout=timeout_s)
            )
        )
        for reply in replies or ():
            # Anyone who can publish may reply with anything.
            if isinstance(reply, dict):
                by_node.update({str(node): answer for node, answer in reply.items()})
        return by_node

    def tell(self, command: str, nodes: Collection[str]) -> None:
        """Send the nodes a command without waiting for a reply.

        Raises:
            NoBroker: the broker does not answer.
        """
        if nodes:
            self._tried_again(lambda: self._mailbox.cast(sorted(nodes), command))

    def mailbox_queue(self, node: str) -> str:
        """The name of the queue in which commands wait for a worker; it exists while the worker listens."""
        return self._used_queue(node) or str(self._mailbox.get_queue(node).name)

    def is_listening(self, node: str) -> bool:
        """Whether a worker of that name is connected, and so would get a command."""
        return self._used_queue(node) is not None

    def _used_queue(self, node: str) -> str | None:
        # The usual one last: RabbitMQ 4.3 takes more than a minute to say that its node is down.
        names = (str(numbered(self._mailbox, number).get_queue(node).name) for number in (*OTHERS, 1))
        return next((name for name in names if self.is_in_use(name)), None)

    def is_in_use(self, queue: str) -> bool:
        """Whether the queue exists and has a consumer; one that is exclusive to another connection has.

        One of which the broker does not say anything is on a node that is down.

        Raises:
            NoBroker: the broker does not answer.
        """
        return self._tried_again(lambda: self._is_in_use(queue))

    def _is_in_use(self, queue: str) -> bool:
        channel = open_channel(self.connection)
        try:
            # A mailbox that is not exclusive (`control_queue_exclusive`) outlives its worker, without a consumer.
            has_consumers = count_queue(channel, queue).consumer_count > 0
        except ResourceLocked:
            return True
        except NotFound:
            return False
        except TimeoutError:
            # The channel is not closed: the broker would not answer that either.
            return False
        channel.close()
        return has_consumers

    def _tried_again(self, act: Callable[[], T]) -> T:
        """What `act` returns, called again over another connection where this one is lost."""
        try:
            return self._answered(act)
        except self.connection.connection_errors:
            self._connect_again()
            return self._answered(act)

    def _answered(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except TimeoutError as error:
            self.connection.collect()
            raise unanswered(self.connection) from error

    def _connect_again(self) -> None:
        disconnect(self.connection)
        try:
            ensure_connected(self.connection, retry_after_s=0.2)
        except self.connection.connection_errors as error:
            raise unanswered(self.connection) from error
        # The reply queue of the earlier one may be on a node that is down.
        self._mailbox = self._new_mailbox()

    def _new_mailbox(self) -> _Mailbox:
        mailbox = _Control(self._app).mailbox(self.connection)
        # Commands go out over this connection too: one of the app's pool would be closed while it is idle.
        mailbox.producer_pool = None
        return mailbox
