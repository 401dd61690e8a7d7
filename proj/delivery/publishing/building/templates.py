"""The templates of one `send_many`: Celery builds two messages of each task, and when they agree, we build the others.

Celery builds every message that a template could get wrong: with an `eta` or `expires`, of a chain or a group, from
within a task, routed by a function, or with a receiver of `before_task_publish`, which may change it.
"""

from __future__ import annotations

import logging
import sys
from functools import partial
from itertools import compress
from operator import is_
from typing import TYPE_CHECKING, Any, cast

from celery import Celery, signals
from celery.app.amqp import AMQP
from celery.app.routes import MapRoute, Router
from celery.backends.base import Backend
from celery.local import PromiseProxy
from celery.utils.saferepr import saferepr
from kombu import Producer

from proj.delivery.publishing.building.task_template import Call, TaskTemplate
from proj.delivery.publishing.outgoing_message import OutgoingMessage
from proj.delivery.publishing.reply_queue import OnceASecond

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celery.result import AsyncResult

    from proj.delivery.publishing.amqp import SentEvents
    from proj.delivery.publishing.building.task_template import Built
    from proj.delivery.publishing.in_flight_producer import InFlightProducer

#: Options of `send_task` that a template may have, with values that it compares.
_FIXED = frozenset(
    {
        *("queue", "exchange", "routing_key", "priority", "serializer", "delivery_mode", "ignore_result", "shadow"),
        *("time_limit", "soft_time_limit", "immediate", "mandatory"),
        # Only when they are None.
        *("link", "link_error", "expires", "compression"),
    }
)
_NONE = frozenset({"link", "link_error", "expires", "compression"})
#: Options that are not in the message.
_UNSEEN = frozenset({"producer", "result_cls", "task_type"})
_SIMPLE = (str, int, float, type(None))
#: Types whose values are written as `str` writes them.
_PLAIN = frozenset({int, float, bool, type(None)})
#: How many are kept. A program that sends more kinds of messages in turn gains nothing from them.
MOST = 100

logger = logging.getLogger(__name__)


class Templates:
    """Builds and publishes messages in the place of Celery's `send_task`, where it knows that it can."""

    def __init__(self, app: Celery, producer: InFlightProducer, events: SentEvents) -> None:
        """Publish over the producer of one `send_many`, and the events that a task was sent with `events`."""
        self._app = app
        self._producer = producer
        self._amqp: Any = app.amqp
        self._is_possible = _is_stock(app) and not app.conf.task_compression
        #: By what their messages have in common: after the first message, after the second, and those that disagreed.
        self._unproven: dict[object, TaskTemplate] = {}
        self._proven: dict[object, TaskTemplate] = {}
        self._impossible: set[object] = set()
        self._levels = app.conf.task_repr_maxlevels
        self._backend = app.backend
        self._send_event = events.keep if events.is_stock else events.publish
        self._last: _LastCall | None = None

    def send(
        self,
        name: str,
        args: Sequence[object] | None,
        kwargs: Mapping[str, object] | None,
        task_id: str,
        options: Mapping[str, Any],
        by_celery: Callable[[], AsyncResult[Any]],
    ) -> AsyncResult[Any]:
        """Publish the task, and return its result.

        Args:
            name: of the task.
            args: as for Celery's `send_task`.
            kwargs: as for Celery's `send_task`.
            task_id: of the new task.
            options: all others that Celery's `send_task` would get.
            by_celery: calls that.
        """
        key = self._key(name, options)
        if key is None or key in self._impossible:
            return by_celery()
        call = self._call(task_id, args or (), kwargs or {})
        template = self._proven.get(key)
        if template is not None:
            published = self._publish(template, call, name, options)
            return by_celery() if published is None else published
        with self._producer.recording() as built:
            result = by_celery()
        self._learn(key, built, call)
        return result

    def _key(self, name: str, options: Mapping[str, Any]) -> object | None:
        """What messages of one template have in common; None when there can be no template."""
        if (
            not self._is_possible
            or signals.before_task_publish.receivers
            or signals.task_sent.receivers
            or self._app.current_worker_task
        ):
            return None
        # All calls of one task have the same objects.
        last = self._last
        if last is not None and last.is_of(name, options):
            return last.key
        key = self._new_key(name, options)
        self._last = _LastCall(name, options, key)
        return key

    def _new_key(self, name: str, options: Mapping[str, Any]) -> object | None:
        values: list[object] = [name, self._app.thread_oid]
        for option, value in options.items():
            if option in _UNSEEN:
                continue
            if option not in _FIXED or not isinstance(value, _SIMPLE) or (option in _NONE and value is not None):
                return None
            values += (option, type(value), value)
        return tuple(values)

    def _call(self, task_id: str, args: Sequence[object], kwargs: Mapping[str, object]) -> Call:
        amqp = self._amqp
        return Call(
            task_id=task_id,
            args=args,
            kwargs=kwargs,
            argsrepr=short_repr(args, amqp.argsrepr_maxsize)
            or saferepr(args, amqp.argsrepr_maxsize, maxlevels=self._levels),
            kwargsrepr=saferepr(kwargs, amqp.kwargsrepr_maxsize, maxlevels=self._levels) if kwargs else "{}",
        )

    def _learn(self, key: object, built: Sequence[Built], call: Call) -> None:
        """Make a template of the first message that Celery has built, and prove it by the second."""
        if len(self._unproven) + len(self._proven) + len(self._impossible) >= MOST:
            self._unproven, self._proven, self._impossible = {}, {}, set()
        unproven = self._unproven.pop(key, None)
        try:
            (one,) = built
            if unproven is None:
                self._unproven[key] = TaskTemplate(one, call.task_id)
            elif unproven.makes(one, call):
                self._proven[key] = unproven
            else:
                self._impossible.add(key)
        except Exception as error:  # noqa: BLE001 whatever it is, Celery builds these messages
            logger.debug("There is no template for the task of %r: %r", key, error)
            self._impossible.add(key)

    def _publish(
        self, template: TaskTemplate, call: Call, name: str, options: Mapping[str, Any]
    ) -> AsyncResult[Any] | None:
        """Publish the message of the call; None when Celery must do it, such as after a lost connection."""
        producer, ignored = self._producer, options.get("ignore_result")
        try:
            message = template.make(call)
        except Exception as error:  # noqa: BLE001 Celery meets the same error, and says it as it does elsewhere
            logger.debug("The template of %s cannot make a message: %r", name, error)
            return None
        if not producer.has_declared(template.declared) or not (ignored or self._reply_queue_is_declared()):
            return None
        producer.add(OutgoingMessage(message, template.exchange, template.routing_key, template.mandatory))
        if signals.after_task_publish.receivers:
            signals.after_task_publish.send(
                sender=name,
                body=template.body(call),
                headers=template.headers(call),
                exchange=template.exchange,
                routing_key=template.routing_key,
            )
        event = template.event(call)
        if event is not None:
            self._send_event("task-sent", event, producer)
        # `send_many` itself needs no result: it is made when somebody looks at it.
        kind = options.get("result_cls") or self._app.AsyncResult
        return cast("AsyncResult[Any]", PromiseProxy(partial(_result, kind, call.task_id, ignored=ignored)))

    def _reply_queue_is_declared(self) -> bool:
        """Whether the result backend has nothing to do before a task is sent."""
        on_task_call = self._backend.on_task_call
        if isinstance(on_task_call, OnceASecond):
            return not on_task_call.is_due
        return getattr(on_task_call, "__func__", None) is Backend.on_task_call


class _LastCall:
    """A call and its key, which a call with the same objects has too."""

    def __init__(self, name: str, options: Mapping[str, Any], key: object | None) -> None:
        self.key = key
        self._name = name
        self._names = list(options)
        # One of these differs from call to call.
        self._seen = [option not in _UNSEEN for option in options]
        self._values = list(compress(options.values(), self._seen))

    def is_of(self, name: str, options: Mapping[str, Any]) -> bool:
        return (
            name is self._name
            and list(options) == self._names
            and all(map(is_, compress(options.values(), self._seen), self._values))
        )


def _result(kind: Callable[[str], AsyncResult[Any]], task_id: str, *, ignored: bool | None) -> AsyncResult[Any]:
    result = kind(task_id)
    result.ignored = ignored  # type: ignore[assignment] # Celery leaves None there too
    return result


def short_repr(args: object, most: int) -> str | None:
    """As Celery's `saferepr` within `most` characters, at a tenth of its cost; None unless it is short and flat."""
    if type(args) is not tuple:
        return None
    texts = []
    for arg in args:
        kind = type(arg)
        if kind is str:
            texts.append("'" + arg.replace("'", "\\'") + "'")
        elif kind in _PLAIN:
            texts.append(str(arg))
        else:
            return None
    text = "(" + ", ".join(texts) + (",)" if len(texts) == 1 else ")")
    # With as many characters as that, saferepr shortens it.
    return text if len(text) < most else None


def _is_stock(app: Celery) -> bool:
    """Whether nobody has replaced what Celery sends tasks with, as tools that watch programs do."""
    amqp: Any = app.amqp
    routes: Sequence[object] = amqp.router.routes
    # Protocol 1 has another method.
    return (
        _is_of(Celery, Celery.send_task)
        and _is_of(Producer, Producer.publish)
        and type(app).send_task is Celery.send_task
        and _is_of(AMQP, AMQP.as_task_v2)
        and getattr(amqp.create_task_message, "__func__", None) is AMQP.as_task_v2
        and type(amqp.router) is Router
        and all(type(route) is MapRoute for route in routes)
    )


def _is_of(owner: type, method: Callable[..., Any]) -> bool:
    """Whether the method is written where its class is, and not a wrapper."""
    code: Any = getattr(method, "__code__", None)
    return code is not None and code.co_filename == getattr(sys.modules[owner.__module__], "__file__", None)
