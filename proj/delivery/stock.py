"""Celery's consumer and request, with types of what celery-types leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

import kombu
from celery.worker import consumer, request, state

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from billiard.einfo import ExceptionInfo
    from celery import Celery
    from celery.app.amqp import Queues
    from celery.app.task import Context
    from celery.events import EventDispatcher
    from celery.exceptions import Reject
    from celery.worker import WorkController
    from kombu.asynchronous.timer import Entry
    from kombu.common import QoS

    class Consumer(consumer.Consumer):
        """A worker's consumer."""

        task_consumer: kombu.Consumer | None
        qos: QoS
        #: Whether the prefetch count is one of the channel, and not of each consumer.
        qos_global: bool
        #: The prefetch count for all slots; 0 is without limit.
        initial_prefetch_count: int
        prefetch_multiplier: int
        controller: WorkController
        event_dispatcher: EventDispatcher | None
        #: The worker's event loop, a `kombu.asynchronous.Hub`; None with a pool that runs without it.
        hub: Any
        #: The connection for consuming, not made yet.
        conninfo: kombu.Connection
        connection_errors: tuple[type[Exception], ...]
        channel_errors: tuple[type[Exception], ...]
        _maximum_prefetch_restored: bool

        def __init__(self, *args: object, **kwargs: object) -> None: ...

        def call_soon_ack(self, p: Callable[..., object], *args: object, **kwargs: object) -> object:
            """Write an acknowledgement or a rejection at once."""

        def _limit_move_to_pool(self, request: request.Request) -> None: ...

    class Request(request.Request):
        """A task that a worker has received."""

        acknowledged: bool
        _delivery_info: dict[str, Any]
        _request_dict: dict[str, Any]
        _already_cancelled: bool
        _already_revoked: bool
        _eta_timer_entry: Entry | None
        _context: Context
        _worker_lost_info: Callable[[BaseException], ExceptionInfo]

        def __init__(self, message: object, *args: object, **kwargs: object) -> None: ...

        def _announce_revoked(self, *args: object) -> None: ...

        def _announce_cancelled(self, *args: object, **kwargs: object) -> None: ...

else:
    Consumer, Request = consumer.Consumer, request.Request


class _State(Protocol):
    """What celery-types leaves out of `celery.worker.state`."""

    scheduled_requests: Collection[Request]


#: The tasks of this worker that wait for their ETA or countdown.
SCHEDULED = cast("_State", state).scheduled_requests


class ControlState(Protocol):
    """What a command of `celery control` is given of its worker."""

    app: Celery
    hostname: str
    #: An app may have one of its own.
    consumer: object


class _Aliases(Protocol):
    """What celery-types leaves out of `celery.app.amqp.Queues`."""

    aliases: Mapping[str | kombu.Queue, kombu.Queue]


def queue_name(queues: Queues, queue: str | kombu.Queue) -> str:
    """The name of a queue that is given by its name, by its alias or as it is."""
    found = cast("_Aliases", queues).aliases.get(queue, queue)
    return found.name if isinstance(found, kombu.Queue) else found


class _Rejection(Protocol):
    """What celery-types leaves out of `Reject`."""

    reason: object


def reason_of(error: Reject) -> object:
    """Why a task rejects its message."""
    return cast("_Rejection", error).reason
