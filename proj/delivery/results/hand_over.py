"""Handing results over: the pool returns a task's final state with its outcome, and the main process publishes it.

Only for tasks that are acknowledged late. Their message is acknowledged when the result is confirmed, so a result that
is lost with its worker is made again by the redelivery. The result of any other task is published by the process that
ran it, with confirm, before the task ends.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

from celery import signals

from proj.delivery.publishing.amqp import ConfirmingAMQP
from proj.delivery.receivers import connect
from proj.delivery.results.attempt import Attempt, begin_afresh, set_current_attempt
from proj.delivery.results.backend import ResultBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    import kombu
    from celery import Celery
    from celery.app.trace import trace_ok_t

    from proj.delivery.results.attempt import Result

    #: Runs a task, and returns how it ended. Celery gives the task's id, its arguments, and the message's headers.
    Tracer = Callable[..., trace_ok_t]


class Outcome(str):
    """The text of what a task returned, with its results."""

    __slots__ = ("results",)

    results: list[Result]


def can_hand_over(app: Celery, *connections: kombu.Connection) -> bool:
    """Whether results go over RabbitMQ, with confirms, and by Celery's own backend."""
    return (
        type(app.backend) is ResultBackend
        and isinstance(app.amqp, ConfirmingAMQP)
        and all(connection.transport.driver_type == "amqp" for connection in connections)
    )


def hand_over(app: Celery, requests: Collection[object], on_lost: Callable[[], object]) -> None:
    """Let pool processes that start from now on, and this process, hand results over.

    Args:
        app: whose tasks.
        requests: the request classes that publish what is handed over; tasks with another one do it themselves.
        on_lost: called, in the process that ran the task, for each state that it could not publish itself.
    """

    def in_new_process(**_: object) -> None:
        begin_afresh()
        trace_tasks(app, requests, on_lost)

    connect(app, signals.worker_process_init, in_new_process, uid="hand_over")


def trace_tasks(app: Celery, requests: Collection[object], on_lost: Callable[[], object]) -> None:
    """Let the tracers of all tasks, which Celery has just built, return results with their outcomes."""
    for task in app.tasks.values():
        hands_over = bool(task.acks_late) and task.Request in requests
        task.__trace__ = _returning_results(app, task.__trace__, hands_over=hands_over, on_lost=on_lost)


def take_results(outcome: object) -> list[Result]:
    """The results that came with the outcome of a task: the text of a success, or an `ExceptionInfo`."""
    results: list[Result] = getattr(outcome, "results", [])
    return results


def publish(app: Celery, results: Iterable[Result]) -> None:
    """Publish results, and return when they are confirmed.

    Raises:
        ProjError: the broker did not confirm one of them.
    """
    for result in results:
        with app.amqp.producer_pool.acquire(block=True) as producer:
            producer.publish(
                result.body,
                exchange="",
                routing_key=result.queue,
                content_type=result.content_type,
                content_encoding=result.content_encoding,
                correlation_id=result.correlation_id,
                delivery_mode=result.delivery_mode,
                retry=True,
            )


def _returning_results(app: Celery, trace: Tracer, *, hands_over: bool, on_lost: Callable[[], object]) -> Tracer:
    @wraps(trace)
    def trace_task(uuid: str, args: object, kwargs: object, request: object = None) -> trace_ok_t:
        attempt = Attempt(uuid, hands_over=hands_over, on_lost=on_lost)
        set_current_attempt(attempt)
        try:
            ended = trace(uuid, args, kwargs, request)
        except BaseException:
            # What runs after the result was stored has raised, such as a task's `on_success`.
            publish(app, attempt.results)
            raise
        finally:
            set_current_attempt(None)
            attempt.forget_started()
        if attempt.results:
            ended = _with_results(ended, attempt.results)
        return ended

    return trace_task


def _with_results(ended: trace_ok_t, results: list[Result]) -> trace_ok_t:
    if ended.info:
        ended.retval.results = results
        return ended
    text = Outcome(ended.retstr)
    text.results = results
    return ended._replace(retstr=text)
