"""Tasks of a queue that a worker has received and not begun: counted, and given back to the queue.

They wait in different places: in adaptive dispatch in front of the pool, else for a slot of the pool, for their ETA, or
for the rate limit of their task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.worker import state

from proj.delivery.stock import SCHEDULED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.stock import Request


def count_tasks(queue: str) -> tuple[int, int]:
    """The tasks of the queue that the worker runs, and those that it gave its pool, which has not begun them."""
    running = {request for request in tuple(state.active_requests) if _is_of(request, queue)}
    given = {request for request in tuple(state.reserved_requests) if _is_of(request, queue)}
    return len(running), len(given - running)


def give_back_unstarted(consumer: Consumer, queue: str) -> int:
    """Give back all messages of the queue whose tasks have not begun; how many. Nothing of it is consumed any more."""
    count = consumer.dispatcher.give_back(queue) if consumer.dispatcher is not None else 0
    # Found first, because the end of one may give the pool another.
    for request in list(_unstarted(consumer, queue)):
        _give_back(request)
        count += 1
    return count


def _unstarted(ours: Consumer, queue: str) -> Iterator[Request]:
    """Those that Celery has, each taken out of the place where it waits."""
    # celery-types leaves out some of these places.
    consumer: Any = ours
    for request in tuple(SCHEDULED):
        if _is_of(request, queue) and (entry := request._eta_timer_entry) is not None:  # noqa: SLF001 no public name
            consumer.timer.cancel(entry)
            consumer.qos.decrement_eventually()
            yield request
    for bucket in consumer.task_buckets.values():
        for waiting in tuple(bucket.contents) if bucket is not None else ():
            if _is_of(waiting[0], queue):
                bucket.contents.remove(waiting)
                yield waiting[0]
    semaphore: Any = getattr(consumer.controller, "semaphore", None)
    waiting_for_slots: Any = semaphore._waiting if semaphore is not None else ()  # noqa: SLF001 no public name
    for waiter in tuple(waiting_for_slots):
        _call, arguments, _options = waiter
        if arguments and _is_of(arguments[0], queue):
            waiting_for_slots.remove(waiter)
            yield arguments[0]
    for request in tuple(state.reserved_requests):
        future = getattr(request, "future", None)
        if future is not None and _is_of(request, queue) and future.cancel():
            yield request


def _give_back(request: Request) -> None:
    state.task_ready(request)
    if not request.acknowledged:
        request.acknowledged = True
        message: Any = request.message
        message.disposition.give_back_unrun(message)
        request.send_event("task-rejected", requeue=True)
    end = getattr(request, "end", None)
    if end is not None:
        end()


def _is_of(request: object, queue: str) -> bool:
    delivery = getattr(getattr(request, "message", None), "delivery", None)
    return delivery is not None and bool(delivery.home == queue)
