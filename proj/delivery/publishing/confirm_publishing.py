"""Confirmed publishing for any Celery app: `delay` returns when the broker has the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.amqp import AMQP
from celery.utils.imports import symbol_by_name
from kombu.utils.uuid import uuid

from proj.delivery.publishing.amqp import ConfirmingAMQP, task_operation
from proj.delivery.publishing.backend_choice import REPLYING_BACKEND, use_backend
from proj.delivery.publishing.deadline import publishing
from proj.delivery.publishing.reply_queue import ReplyingBackend
from proj.delivery.publishing.routes.delayed_delivery import whole_seconds
from proj.delivery.publishing.routes.routing import routing_options
from proj.delivery.settings import provide_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from celery import Celery
    from celery.result import AsyncResult


def confirm_publishing(app: Celery) -> None:
    """Make everything that sends a task of `app` return only when the broker has confirmed the task.

    `delay`, `apply_async`, `send_task`, groups, chains and retries survive a lost connection and a restart of the
    broker: they try again for `proj_publish_timeout_s` (90; None is for ever) and then raise `Unconfirmed`. A task that
    reaches no queue raises `Unroutable`, and a task that the broker will never accept raises `PublishRefused`, both at
    once. When a queue is full and rejects the task (`reject-publish`), they try for `proj_queue_full_timeout_s` (10;
    None is as long as for other failures) and raise `QueueFull`: the broker does not have the task.
    """
    base: type[AMQP] = symbol_by_name(app.amqp_cls or "celery.app.amqp:AMQP")
    if issubclass(base, ConfirmingAMQP):
        return
    provide_defaults(app)
    # Celery imports the class by its name when it unpickles the app, so it has a name in a module where possible.
    confirming = ConfirmingAMQP if base is AMQP else type(f"Confirming{base.__name__}", (ConfirmingAMQP, base), {})
    # Celery takes a class as well as its dotted name.
    app.amqp_cls = confirming  # type: ignore[assignment] # the stub knows only the name
    before = app.__dict__.pop("amqp", None)
    if before is not None and "queues" in before.__dict__:
        # Queues that were selected already stay selected.
        app.amqp.__dict__["queues"] = before.__dict__["queues"]
    use_backend(app, REPLYING_BACKEND)
    _add_deadline(app)
    _close_with(app)


def close_publishing(app: Celery) -> None:
    """Close the connections over which `app` publishes; it opens others when it needs them.

    Another thread that is publishing at the moment publishes its message again, so the message may be there twice.
    """
    # A cached property, which nobody may have read.
    amqp = app.__dict__.get("amqp")
    if isinstance(amqp, ConfirmingAMQP):
        amqp.close()


def _method(app: Celery, name: str) -> Callable[..., Any]:
    """What `app.name` is without ours: looked up at each call, because tools that watch programs replace it later."""
    own: Callable[..., Any] | None = app.__dict__.get(name)
    return own or (lambda *args, **kwargs: getattr(type(app), name)(app, *args, **kwargs))


def _close_with(app: Celery) -> None:
    """Let `app.close()`, also at the end of `with Celery(…) as app`, close the connections too."""
    stock = _method(app, "close")

    def close() -> None:
        """As Celery's, and close the connections over which the app publishes, and this thread's for results."""
        close_publishing(app)
        backend = app._backend  # type: ignore[attr-defined] # noqa: SLF001 `app.backend` would make one
        if isinstance(backend, ReplyingBackend):
            backend.result_consumer.close()
        stock()

    app.close = close  # type: ignore[method-assign] # Celery calls it by this attribute of the app


def _add_deadline(app: Celery) -> None:
    """Give each task that the app sends one deadline, from its first declaration to its confirm."""
    stock: Callable[..., AsyncResult[Any]] = _method(app, "send_task")

    def send_task(
        name: str,
        args: Sequence[object] | None = None,
        kwargs: Mapping[str, object] | None = None,
        countdown: float | None = None,
        eta: datetime | str | None = None,
        task_id: str | None = None,
        *others: object,
        **options: object,
    ) -> AsyncResult[Any]:
        """As Celery's, and returns when the broker has confirmed the task."""
        task_id = task_id or uuid()
        countdown, eta = whole_seconds(app, countdown, eta)

        def by_celery() -> AsyncResult[Any]:
            with publishing(task_operation(app, task_id, options)):
                routed = routing_options(app, options, delayed=bool(countdown or eta))
                return stock(name, args, kwargs, countdown, eta, task_id, *others, **routed)

        templates = getattr(options.get("producer"), "templates", None)
        if templates is None or countdown or eta or others:
            return by_celery()
        sent: AsyncResult[Any] = templates.send(name, args, kwargs, task_id, options, by_celery)
        return sent

    app.send_task = send_task  # type: ignore[method-assign] # Celery calls it by this attribute of the app
