"""Confirmed publishing as a piece for any Celery app: `delay` returns when the broker has the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from celery.utils.imports import symbol_by_name
from kombu.utils.uuid import uuid

from proj.delivery.publishing.amqp import Confirming, ConfirmingAMQP, task_sending
from proj.delivery.publishing.deadline import sending
from proj.delivery.publishing.delayed_delivery import whole_seconds
from proj.delivery.publishing.routing import destination
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from datetime import datetime

    from celery import Celery


def confirm_publishing(app: Celery) -> None:
    """Make everything that sends a task of `app` return only when the broker has confirmed it.

    `delay`, `apply_async` and `send_task`, groups, chains and retries try again through the loss of connection or
    broker, until the setting `proj_publish_timeout_s` (90; None is for ever) has passed. They then raise `Unconfirmed`;
    what no queue takes raises `Unroutable`, and what the broker will never have `PublishRefused`, both at once. Where a
    queue is full and refuses (`reject-publish`), they try for `proj_queue_full_timeout_s` (10; None is as long as all
    else) and raise `QueueFull`: the broker does not have the task.
    """
    base = symbol_by_name(app.amqp_cls)  # type: ignore[arg-type] # unlike celery-types
    if issubclass(base, Confirming):
        return
    provide_defaults(app)
    # A class with a name of its own where possible, for whoever unpickles the app looks it up.
    app.amqp_cls = ConfirmingAMQP if base is AMQP else type(f"Confirming{base.__name__}", (Confirming, base), {})  # type: ignore[assignment] # unlike celery-types
    before = app.__dict__.pop("amqp", None)
    if before is not None and "queues" in before.__dict__:
        app.amqp.queues = app.amqp.__dict__["queues"] = before.__dict__["queues"]  # type: ignore[misc] # unlike celery-types
    _be_patient(app)


def close_publishing(app: Celery) -> None:
    """Close the connections over which `app` publishes; it opens others when it needs them.

    What other threads are publishing just then is published again, and so may be there twice.
    """
    app.amqp.close()  # type: ignore[attr-defined] # unlike celery-types


def _be_patient(app: Celery) -> None:
    """Give each task that the app sends one deadline, from its first declaration to its confirm."""
    stock = app.send_task

    def send_task(
        name: str,
        args: Any = None,  # noqa: ANN401 as Celery's
        kwargs: Any = None,  # noqa: ANN401 as Celery's
        countdown: float | None = None,
        eta: datetime | str | None = None,
        task_id: str | None = None,
        *others: Any,  # noqa: ANN401 as Celery's
        **options: Any,  # noqa: ANN401 as Celery's
    ) -> Any:  # noqa: ANN401 an AsyncResult
        """As Celery's, and returns when the broker has confirmed the task."""
        task_id = task_id or uuid()
        countdown, eta = whole_seconds(app, countdown, eta)
        with sending(task_sending(app, task_id)):
            options = destination(app, options, delayed=bool(countdown or eta))
            return stock(name, args, kwargs, countdown, eta, task_id, *others, **options)  # type: ignore[arg-type] # unlike celery-types

    app.send_task = send_task  # type: ignore[method-assign] # unlike celery-types
