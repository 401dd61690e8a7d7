"""The names of Celery, kombu and py-amqp that keeping a message leans on and that they do not document."""

from __future__ import annotations

import inspect
import struct
from types import SimpleNamespace
from typing import Any

import amqp
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
from kombu import Consumer as KombuConsumer
from kombu import messaging
from kombu.transport.pyamqp import Channel

from proj.delivery.consuming import receiving
from proj.delivery.consuming.consumer import STOCK_REQUEST, Consumer
from proj.delivery.consuming.keep_messages import keep_messages
from proj.delivery.consuming.request import Request


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
    """Each with the parameters that ours passes on."""
    ours, stock = getattr(Consumer, name), getattr(StockConsumer, name)

    if not any(kind.kind is kind.VAR_POSITIONAL for kind in inspect.signature(ours).parameters.values()):
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(stock).parameters)


@pytest.mark.parametrize("name", ["on_failure", "reject", "acknowledge", "maybe_expire", "_announce_revoked"])
def test_celerys_request_has_what_ours_overrides(name: str) -> None:
    """Each with the same parameters."""
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


def test_worker_gives_a_slot_back_when_a_task_is_revoked_as_it_begins() -> None:
    """Of all exceptions this one alone; ours is raised for whatever could not begin."""
    released: list[bool] = []

    def refuse(_pool: object) -> None:
        raise TaskRevokedError

    worker = SimpleNamespace(pool=None, _quick_release=lambda: released.append(True))
    WorkController._process_task(worker, SimpleNamespace(execute_using_pool=refuse))  # noqa: SLF001 the contract

    assert released == [True]


@pytest.mark.parametrize("loop", [loops.asynloop, loops.synloop])
def test_loop_asks_for_the_handler_before_it_consumes(loop: Any) -> None:
    """So that no message is received by kombu's own callback."""
    source = inspect.getsource(loop)

    assert source.index("create_task_handler()") < source.index("consumer.consume()")
    assert ".consume()" not in inspect.getsource(stock_tasks.Tasks.start)


def test_kombus_consumer_takes_its_callback_and_its_tags_from_where_we_put_and_read_them() -> None:
    """`_receive_callback` is looked up when consuming begins, and `_active_tags` has the tag of each queue."""
    source = inspect.getsource(KombuConsumer._basic_consume)  # noqa: SLF001 the contract

    assert "self._receive_callback" in source
    assert "self._active_tags[queue.name] = tag" in inspect.getsource(KombuConsumer._add_tag)  # noqa: SLF001 as above
    # What it does besides, which ours does too.
    stock = inspect.getsource(messaging.Consumer._receive_callback)  # noqa: SLF001 as above
    for step in ("message_to_python", "message.accept = accept", "message.errors", "on_m(message)"):
        assert step in stock


def test_message_that_is_settled_twice_is_settled_once() -> None:
    """A channel makes its messages of the class that it is given, and the broker hears of each settlement once."""
    sent: list[object] = []
    channel = SimpleNamespace(no_ack_consumers=None, basic_ack=lambda tag, multiple: sent.append((tag, multiple)))
    raw = SimpleNamespace(properties={}, body=b"", delivery_tag=7, delivery_info={})
    message = receiving.KeptMessage(raw, channel=channel)

    message.ack_log_error(None, ())
    message.ack_log_error(None, ())
    message.reject_log_error(None, (), requeue=True)

    assert sent == [(7, False)]
    assert "self.Message(raw_message, channel=self)" in inspect.getsource(Channel.message_to_python)


def test_names_of_celerys_state_and_pools_are_where_they_are_read() -> None:
    """What runs or is held, what is revoked, who ends the worker, and a thread's future."""
    assert hasattr(state.reserved_requests, "__len__")
    assert callable(state.revoked.discard)
    assert state.should_stop is None
    assert state.should_terminate is None
    assert "self.f = future" in inspect.getsource(ApplyResult.__init__)
    assert Task.Request == STOCK_REQUEST
    assert hasattr(Context, "as_execution_options")


def test_keeping_is_a_default_that_the_apps_own_settings_win_over() -> None:
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
