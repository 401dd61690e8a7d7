"""The reply queue for results over AMQP, which Celery declares again for every task that is sent."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from celery._state import task_join_will_block  # type: ignore[attr-defined] # celery-types lacks it
from celery.backends.rpc import RPCBackend
from celery.utils import uuid

from proj.delivery.publishing.producer import ConfirmingProducer
from proj.delivery.publishing.reply_consumer import ReplyConsumer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import kombu

logger = logging.getLogger(__name__)

#: Seconds after which the queue is declared again.
DECLARED_FOR_S = 1.0


class ReplyingBackend(RPCBackend):
    """Celery's `rpc://` backend, which lets a confirming producer declare the reply queue with the task."""

    ResultConsumer = ReplyConsumer  # type: ignore[assignment] # its base is Celery's, which celery-types leaves out
    #: Set by Celery.
    result_consumer: ReplyConsumer

    def on_task_call(self, producer: kombu.Producer, task_id: str) -> None:
        """Declare the reply queue, before a task is sent or together with it."""
        if not isinstance(producer, ConfirmingProducer):
            super().on_task_call(producer, task_id)
        elif not task_join_will_block():
            # Otherwise this is a pool process, and Celery says that the queue exists.
            producer.declare_before_next(self.binding, self._move)

    def _move(self) -> None:
        """Let this thread's next tasks have another reply queue, because the node of the usual one is down.

        The results of the tasks before come when that node is back.
        """
        app: Any = cast("Any", self).app
        # Celery's own would be the same again, because it is made of the ids of process and thread.
        app._local.oid = uuid()  # noqa: SLF001 Celery has no public name for it
        self.__dict__.pop("oid", None)
        logger.warning(
            "The reply queue of this process is probably on a node that is down. Results of the tasks that it has sent "
            "come when that node is back; its next tasks have another reply queue.",
            extra={"action": "reply_queue_moved"},
        )


class OnceASecond:
    """Declares the reply queue at most once a second."""

    def __init__(self, declare: Callable[[kombu.Producer, str], None]) -> None:
        """Call `declare`, the method of the result backend that Celery calls for each task."""
        self._declare = declare
        self._due = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether the next call declares."""
        return time.monotonic() >= self._due

    def __call__(self, producer: kombu.Producer, task_id: str) -> None:
        """Take the place of the method."""
        if self.is_due:
            self._declare(producer, task_id)
            self._due = time.monotonic() + DECLARED_FOR_S


@contextmanager
def declared_once_a_second(backend: object) -> Iterator[None]:
    """Let results over AMQP declare their reply queue once a second in the block, not for each task.

    The declaration is a fifth of what a task costs. It cannot be left out, because the broker deletes the queue when
    its last consumer leaves.
    """
    if not isinstance(backend, RPCBackend) or not _is_known(type(backend)):
        yield
        return
    # For this block and this app only.
    backend.on_task_call = OnceASecond(backend.on_task_call)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backend.on_task_call


def _is_known(kind: type[RPCBackend]) -> bool:
    """Whether its method does nothing but to declare the reply queue."""
    return kind.on_task_call in {RPCBackend.on_task_call, ReplyingBackend.on_task_call}
