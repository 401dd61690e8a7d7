"""The tutorials' statements about declaring an existing queue and about stronger guarantees for publishing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kombu
import pika
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tutorial_shell import Shell

# --- A queue that exists with other parameters --------------------------------------------------------


@pytest.fixture
def hello(shell: Callable[[], Shell]) -> Shell:
    """A program that has declared a queue `hello` that is not durable."""
    program = shell()
    program.declare("hello")
    return program


@pytest.mark.usefixtures("hello")
@pytest.mark.parametrize(
    ("declared", "argument"),
    [
        ({"durable": True}, "durable"),
        ({"auto_delete": True}, "auto_delete"),
        ({"arguments": {"x-max-length": 5}}, "x-max-length"),
    ],
)
def test_existing_queue_cannot_be_redefined_with_another(
    shell: Callable[[], Shell], declared: dict[str, object], argument: str
) -> None:
    """The broker's error names the parameter, and the channel is closed."""
    program = shell()

    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match=f"PRECONDITION_FAILED - .* '{argument}'"):
        program.channel.queue_declare("hello", **declared)

    assert not program.channel.is_open


@pytest.mark.usefixtures("hello")
def test_error_is_returned_to_any_program_that_redefines_a_queue(
    variables: dict[str, str], shell: Callable[[], Shell]
) -> None:
    """With any client, at every attempt."""
    for program in (shell(), shell()):
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
            program.declare("hello", durable=True)
    with kombu.Connection(variables["CELERY_BROKER_URL"]) as connection:
        queue = kombu.Queue("hello", durable=True)(connection.default_channel)
        with pytest.raises(connection.channel_errors, match="PRECONDITION_FAILED"):
            queue.queue_declare()


def test_redefinition_leaves_the_queue_as_it_was(hello: Shell, shell: Callable[[], Shell]) -> None:
    """With its messages; a program that declares it as it exists can use it."""
    hello.publish("First message.", queue="hello")

    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        shell().declare("hello", durable=True)

    hello.declare("hello")
    assert hello.ready("hello") == 1


def test_queue_with_another_name_can_have_other_parameters(hello: Shell) -> None:
    """`task_queue` can be durable beside `hello`."""
    hello.declare("task_queue", durable=True)

    assert hello.ready("task_queue") == 0


def test_declaration_must_be_changed_in_producer_and_consumer(shell: Callable[[], Shell]) -> None:
    """A consumer that still declares the old parameters gets an error."""
    producer, consumer = shell(), shell()
    producer.declare("task_queue", durable=True)

    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="PRECONDITION_FAILED"):
        consumer.declare("task_queue")


# --- A stronger guarantee -----------------------------------------------------------------------------


def test_transaction_publishes_when_it_is_committed_and_nothing_before(shell: Callable[[], Shell]) -> None:
    """The older tutorial's stronger guarantee: `tx_commit` returns when the broker has the message."""
    producer, looking = shell(), shell()
    producer.declare("task_queue", durable=True)
    producer.channel.tx_select()

    for message in (b"First message.", b"Second message.."):
        producer.channel.basic_publish("", "task_queue", message, pika.BasicProperties(delivery_mode=2))
    producer.ready("task_queue")
    assert looking.ready("task_queue") == 0

    producer.channel.tx_commit()
    assert looking.ready("task_queue") == 2


def test_transaction_that_is_rolled_back_publishes_nothing(shell: Callable[[], Shell]) -> None:
    """A later commit publishes nothing either."""
    producer = shell()
    producer.declare("task_queue", durable=True)
    producer.channel.tx_select()
    producer.channel.basic_publish("", "task_queue", b"First message.")

    producer.channel.tx_rollback()
    producer.channel.tx_commit()

    assert producer.ready("task_queue") == 0


def test_publisher_confirms_tell_what_the_broker_did_not_accept(shell: Callable[[], Shell]) -> None:
    """The newer tutorial's stronger guarantee; without it the same publish raises nothing."""
    producer = shell()
    producer.declare("task_queue", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    producer.publish("First message.", queue="task_queue")
    producer.channel.basic_publish("", "task_queue", b"rejected without an error")
    assert producer.ready("task_queue") == 1

    producer.channel.confirm_delivery()
    with pytest.raises(pika.exceptions.NackError):
        producer.channel.basic_publish("", "task_queue", b"Second message..")
    producer.channel.queue_purge("task_queue")
    producer.channel.basic_publish("", "task_queue", b"Second message..")

    assert producer.ready("task_queue") == 1
