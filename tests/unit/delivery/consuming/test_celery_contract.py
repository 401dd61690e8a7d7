"""What `proj.delivery.consuming` needs of Celery, kombu and py-amqp that they do not document."""

from __future__ import annotations

import inspect
import struct
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import amqp
import kombu
import pytest
from amqp.basic_message import Message as AmqpMessage
from amqp.serialization import dumps
from amqp.spec import Basic
from celery import Celery
from celery.app.task import Context, Task
from celery.concurrency.thread import ApplyResult
from celery.exceptions import TaskRevokedError
from celery.worker import loops, state
from celery.worker import request as stock_request
from celery.worker.consumer import Consumer as StockConsumer
from celery.worker.consumer import tasks as stock_tasks
from celery.worker.worker import WorkController
from kombu.transport import pyamqp

from proj.delivery.consuming.consumer import STOCK_REQUEST, Consumer
from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.consuming.request import Request
from tests.unit.delivery.consuming.received import received


@pytest.mark.parametrize(
    "name",
    [
        "connect",
        "update_strategies",
        "create_task_handler",
        "on_decode_error",
        "on_unknown_message",
        "on_unknown_task",
        "on_invalid_task",
        "shutdown",
        "call_soon",
    ],
)
def test_celerys_consumer_has_what_ours_overrides_or_calls(name: str) -> None:
    """With the same parameters, unless ours passes all of them on."""
    ours, stock = getattr(Consumer, name), getattr(StockConsumer, name)

    if not any(kind.kind is kind.VAR_POSITIONAL for kind in inspect.signature(ours).parameters.values()):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(stock).parameters)


def test_kombus_queue_consumes_with_keywords() -> None:
    """`ConsumerTimeouts` takes the name of the queue and its arguments from them, and adds the consumer timeout."""
    channel = MagicMock()
    queue = kombu.Queue("q", no_declare=True, consumer_arguments={"x-priority": 1}).bind(channel)

    queue.consume("tag", callback=print)

    (call,) = channel.basic_consume.mock_calls
    assert call.args == ()
    assert (call.kwargs["queue"], call.kwargs["arguments"]) == ("q", {"x-priority": 1})
    assert queue.no_declare


@pytest.mark.parametrize("name", ["on_failure", "reject", "acknowledge", "maybe_expire"])
def test_celerys_request_has_what_ours_overrides(name: str) -> None:
    """With the same parameters."""
    ours, stock = getattr(Request, name), getattr(stock_request.Request, name)

    assert list(inspect.signature(ours).parameters) == list(inspect.signature(stock).parameters)


def test_celerys_request_has_what_ours_reads() -> None:
    """The flags of a cancelled task, its context, and the words for a lost process."""
    for name in (
        "_already_cancelled",
        "_already_revoked",
        "_context",
        "_worker_lost_info",
        "store_errors",
        "time_start",
    ):
        assert hasattr(stock_request.Request, name)


def test_class_that_celery_makes_of_our_request_is_guarded() -> None:
    """`create_request_cls` overrides two methods without calling ours, so they are wrapped as the class is made."""
    app = Celery("contract", set_as_current=False)

    @app.task(name="nothing")  # type: ignore[untyped-decorator] # Celery has no types
    def task() -> None: ...

    pool = SimpleNamespace(apply_async=None)

    made = stock_request.create_request_cls(Request, task, pool, "host", None, app=app)

    for name in ("execute_using_pool", "on_success"):
        assert name in vars(made)
        assert getattr(made, name).__module__ == stock_request.__name__
        assert hasattr(getattr(made, name), "__wrapped__")


def test_celery_asks_whether_a_message_has_expired_before_it_acknowledges_it() -> None:
    """So our request knows why it is acknowledged, and dead-letters the message instead."""
    asked: list[str] = []

    class Noting(stock_request.Request):
        def maybe_expire(self) -> bool:  # type: ignore[override] # the stub lacks False
            asked.append("maybe_expire")
            return bool(super().maybe_expire())

        def acknowledge(self) -> None:
            asked.append("acknowledge")

    app = Celery("contract", set_as_current=False)

    @app.task(name="late", ignore_result=True)
    def task() -> None: ...

    headers = {"id": "expired", "task": "late", "expires": "2001-01-01T00:00:00+00:00"}
    message = received(b"[[], {}, {}]", content_type="application/json", application_headers=headers)
    message.accept = {"application/json"}
    request = Noting(message, app=app, task=app.tasks["late"])

    assert request.revoked()
    assert asked == ["maybe_expire", "acknowledge"]
    state.revoked.discard("expired")


def test_worker_gives_a_slot_back_when_a_task_is_revoked_as_it_begins() -> None:
    """At `TaskRevokedError` alone, which our request raises for a task that the pool did not take."""
    released: list[bool] = []

    def refuse(_pool: object) -> None:
        raise TaskRevokedError

    worker = SimpleNamespace(pool=None, _quick_release=lambda: released.append(True))
    WorkController._process_task(worker, SimpleNamespace(execute_using_pool=refuse))  # noqa: SLF001 the contract

    assert released == [True]


class Stopped(Exception):
    """Ends a loop of Celery where the check has seen enough."""


@pytest.mark.parametrize("loop", [loops.asynloop, loops.synloop])
def test_loop_asks_for_the_handler_before_it_consumes(loop: Any) -> None:
    """So that the channel has our message class before its first message."""
    worker, consumer = MagicMock(), MagicMock()
    worker.create_task_handler.side_effect = consumer.create_task_handler
    consumer.consume.side_effect = Stopped

    with pytest.raises(Stopped):
        loop(worker, MagicMock(), consumer, MagicMock(), MagicMock(), MagicMock(), 10.0, MagicMock())

    assert [call[0] for call in consumer.method_calls] == ["create_task_handler", "consume"]
    assert consumer.on_message is consumer.create_task_handler.return_value


def test_step_that_makes_the_task_consumer_does_not_consume_with_it() -> None:
    """The loop does, after it has asked for the handler."""
    worker = MagicMock()

    stock_tasks.Tasks(worker).start(worker)

    assert worker.task_consumer is worker.app.amqp.TaskConsumer.return_value
    assert not worker.task_consumer.consume.called


def test_kombus_consumer_makes_each_message_of_the_class_that_its_channel_has() -> None:
    """It gives the message to `on_message`, with the content types that it accepts."""
    made, handled, callbacks = [], [], []
    raw = object()

    class Channel(SimpleNamespace):
        def message_to_python(self, message: object) -> Any:
            return pyamqp.Channel.message_to_python(self, message)  # type: ignore[arg-type] # the part that is used

    def message_class(message: object, channel: object) -> Any:
        made.append((message, channel))
        return SimpleNamespace(errors=[], accept=None)

    channel: Any = Channel(Message=message_class, basic_consume=lambda **options: callbacks.append(options["callback"]))
    consumer = kombu.Consumer(channel, accept=["json"], on_message=handled.append, auto_declare=False)
    consumer.add_queue(kombu.Queue("work", no_declare=True))
    consumer.consume()

    callbacks[0](raw)

    assert made == [(raw, channel)]
    assert [message.accept for message in handled] == [{"application/json"}]


def test_kombus_consumer_has_the_tag_of_each_queue() -> None:
    """`_active_tags` is the only place where the queue of a message can be found by its consumer's tag."""
    asked: list[dict[str, Any]] = []
    channel: Any = SimpleNamespace(basic_consume=lambda **options: asked.append(options))
    consumer = kombu.Consumer(channel, auto_declare=False)
    consumer.add_queue(kombu.Queue("work", no_declare=True))

    consumer.consume()

    assert consumer._active_tags == {"work": asked[0]["consumer_tag"]}  # type: ignore[attr-defined] # noqa: SLF001 the contract


def test_kombus_message_decodes_with_a_method_that_ours_overrides() -> None:
    """`payload` and `decode` call it once. kombu has one decoder for JSON, in a registry that an app can change."""
    message = received(b"[1]", content_type="application/json", content_encoding="utf-8")
    message.accept = {"application/json"}
    asked: list[object] = []
    message._decode = lambda: asked.append(message) or [1]  # type: ignore[method-assign] # noqa: SLF001 the contract

    assert message.payload == message.decode() == message.payload == [1]
    assert asked == [message]
    assert kombu.serialization.registry._decoders["application/json"] is kombu.utils.json.loads  # type: ignore[attr-defined] # noqa: SLF001 the contract


def test_request_has_all_headers_but_ours() -> None:
    """A retry starts with no history. The message keeps it."""
    app = Celery("contract", set_as_current=False)

    @app.task(name="with headers")
    def task() -> None: ...

    headers = {"id": "1", "task": "with headers", "x-proj-strikes": 1, "colour": "red"}
    message = received(b"[[], {}, {}]", content_type="application/json", application_headers=headers)
    message.accept = {"application/json"}

    request = Request(message, app=app, task=app.tasks["with headers"])

    assert headers.keys() - request.request_dict.keys() == {"x-proj-strikes"}
    assert message.headers == headers


def test_names_of_celerys_state_and_pools_are_where_they_are_read() -> None:
    """Tasks in hand, revoked ids, the flags that end the worker, and the future of a thread."""
    assert hasattr(state.reserved_requests, "__len__")
    assert callable(state.revoked.discard)
    assert state.should_stop is None
    assert state.should_terminate is None
    future: Future[None] = Future()
    assert ApplyResult(future).f is future
    assert Task.Request == STOCK_REQUEST
    assert hasattr(Context, "as_execution_options")


def test_apps_own_settings_win_over_the_defaults_of_keep_messages() -> None:
    """An app may have its own consumer and its own limits."""
    app = Celery("contract", set_as_current=False)
    keep_messages(app)
    other = Celery("contract", set_as_current=False)
    other.conf.proj_strikes = 9
    keep_messages(other)

    assert app.conf.worker_consumer == "proj.delivery.consuming.consumer:Consumer"
    assert (app.conf.proj_strikes, other.conf.proj_strikes) == (3, 9)


@pytest.mark.parametrize(("auto_decode", "expected"), [(True, "body"), (False, b"body")])
def test_channel_keeps_the_bytes_of_a_body_when_it_is_told_to(auto_decode: bool, expected: object) -> None:  # noqa: FBT001 a parameter of the test
    """`auto_decode` says whether py-amqp replaces a message's body by the decoded text."""
    received: list[Any] = []
    connection = SimpleNamespace(channels={}, _claim_channel_id=lambda _: None, confirm_publish=False, Transport=None)
    channel: Any = amqp.Channel(connection, channel_id=1, auto_decode=auto_decode)
    channel.callbacks["tag"] = received.append
    arguments = struct.pack(">HH", *Basic.Deliver) + dumps("sLbss", ("tag", 1, False, "", "q"))

    channel.dispatch_method(Basic.Deliver, arguments, AmqpMessage(b"body", content_encoding="utf-8"))

    assert [message.body for message in received] == [expected]
