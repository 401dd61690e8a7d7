"""Celery's control bus: workers asked and told, over one connection that may idle."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from amqp.exceptions import NotFound, ResourceLocked

from proj.broker.connection import connected
from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from celery import Celery


class ControlBus(Service):
    """Asks workers and gets their answers by node name; needs nothing of the app's tasks."""

    def __init__(self, app: Celery) -> None:
        """Take the app whose workers are meant; nothing is connected before `start`."""
        self._app = app
        self._resources = contextlib.ExitStack()
        self._mailbox: Any = None
        self.connection: Any = None

    def start(self) -> None:
        """Connect.

        Raises:
            NoBroker: no broker answers.
        """
        # Without a heartbeat, which nobody would send between two questions.
        self.connection = self._resources.enter_context(connected(self._app.connection_for_write(heartbeat=0)))
        self._mailbox = self._app.control.mailbox(self.connection)  # type: ignore[attr-defined] # unlike celery-types
        # Questions go out over our connection too: one of the app's pool would be closed while it idles.
        self._mailbox._producer_pool = None  # noqa: SLF001 kombu has no other way; a contract test names it

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
        """The answers of all workers, or of `nodes`, by node name; without those that are silent for `timeout_s`.

        It returns as soon as all nodes, or `limit` workers, have answered.
        """
        answers: dict[str, Any] = {}
        if nodes is not None and not nodes:
            return answers
        replies = (
            self._mailbox.multi_call(command, arguments, timeout=timeout_s, limit=limit)
            if nodes is None
            else self._mailbox.call(sorted(nodes), command, arguments, timeout=timeout_s)
        )
        for reply in replies or ():
            # Whoever can publish may answer anything.
            if isinstance(reply, dict):
                answers.update({str(node): answer for node, answer in reply.items()})
        return answers

    def tell(self, command: str, nodes: Collection[str]) -> None:
        """Give the nodes an order that needs no answer."""
        if nodes:
            self._mailbox.cast(sorted(nodes), command)

    def mailbox_queue(self, node: str) -> str:
        """The name of the queue in which a worker's orders wait: it is there while the worker listens."""
        return str(self._mailbox.get_queue(node).name)

    def holds(self, queue: str) -> bool:
        """Whether the queue exists and someone has it: another connection's exclusive one is locked for us."""
        channel = self.connection.channel()
        try:
            # One that is not exclusive outlives its worker by its expiry, without a consumer.
            return bool(channel.queue_declare(queue=queue, passive=True).consumer_count)
        except ResourceLocked:
            return True
        except NotFound:
            return False
        finally:
            if channel.is_open:
                channel.close()


def good(answers: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The answers that are of the kind that the command is known to give."""
    return {node: answer for node, answer in answers.items() if isinstance(answer, kind)}
