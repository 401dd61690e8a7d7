"""The dead-letter queue on a real broker: looked into without disturbing it, and emptied without losing any."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message
from celery import Celery
from kombu import Connection

from proj.delivery.dead_letters import export
from proj.delivery.dead_letters.letter import stamped
from proj.delivery.dead_letters.queue import DeadLetters
from proj.delivery.header_names import EXCHANGE, QUEUE, REASON, ROUTING_KEY
from proj.errors import NoDeadLetters, ProjError
from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker

WORK = "proj.test.work"
#: Bytes that any client may send as the properties of a message: a content type that is no text.
BROKEN_CONTENT_TYPE = b"\x80\x00\x02\xff\xfe"


@pytest.fixture
def url(broker: Broker, vhost: str) -> str:
    return broker.url(vhost)


@pytest.fixture
def app(url: str) -> Celery:
    return Celery("test", broker=url)


@pytest.fixture
def channel(url: str) -> Iterator[Any]:
    with Connection(url) as connection:
        channel = connection.default_channel
        channel.confirm_select()
        channel.queue_declare(WORK, durable=True, auto_delete=False)
        yield channel


def bury(channel: Any, name: str, queue: str = WORK, body: bytes = b"[[1], {}, {}]") -> None:
    """Put a letter into the dead-letter queue, as a worker does."""
    headers = stamped(
        {"id": name, "task": "t.t"}, reason="It was no good.", queue=queue, worker="w@x", time=1.5, attempts=3
    )
    message = Message(body, application_headers=headers, content_type="application/json", delivery_mode=2)
    channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")


def names(app: Celery) -> list[str]:
    with DeadLetters(app) as letters:
        return [held.letter.id for held in letters]


def drained(channel: Any, queue: str) -> list[Message]:
    messages = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        messages.append(message)
    return messages


def test_looking_takes_nothing_away_and_keeps_the_order(app: Celery, channel: Any) -> None:
    """Also when only a part was looked at."""
    expected = [f"letter-{number}" for number in range(20)]
    for name in expected:
        bury(channel, name)

    with DeadLetters(app) as letters:
        first = [held.letter.id for held, _ in zip(letters, range(3), strict=False)]

    assert first == expected[:3]
    assert names(app) == expected
    assert names(app) == expected


def test_two_who_look_at_once_both_see_everything(app: Celery, channel: Any) -> None:
    """One waits for the other: what the first one holds is not in the queue for the second."""
    for number in range(5):
        bury(channel, f"letter-{number}")
    seen: list[list[str]] = []

    with DeadLetters(app) as letters:
        mine = [held.letter.id for held in letters]
        other = threading.Thread(target=lambda: seen.append(names(app)))
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive()
    other.join(timeout=10)

    assert seen == [mine]
    assert len(mine) == 5


def test_thousands_are_read_one_at_a_time(app: Celery, channel: Any) -> None:
    """More than a quorum queue delivers to a consumer that names no limit."""
    message = Message(b"x" * 10_000, application_headers={"id": "many"}, delivery_mode=1)
    for _ in range(2_000):
        channel.basic_publish(message, exchange="", routing_key="dead_letters")
    channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")

    wait_until(lambda: _count(channel) == 2_001, what="the letters", timeout_s=10)

    with DeadLetters(app) as letters:
        assert sum(len(held.body) for held in letters) == 2_001 * 10_000


def test_only_so_many_are_taken_as_shall_be_looked_at(app: Celery, channel: Any) -> None:
    """Who wants to see the oldest two does not wait for thousands, nor count as a look at them."""
    for number in range(5):
        bury(channel, f"letter-{number}")

    with DeadLetters(app, at_most=2) as letters:
        assert [held.letter.id for held in letters] == ["letter-0", "letter-1"]
        assert (letters.total, _count(channel)) == (5, 3)
    with DeadLetters(app) as letters:
        assert [held.letter.looks for held in letters] == [1, 1, 0, 0, 0]


def _count(channel: Any) -> int:
    count: int = channel.queue_declare("dead_letters", passive=True).message_count
    return count


def test_requeued_letter_starts_anew_where_it_came_from(app: Celery, channel: Any) -> None:
    """Same body and properties, without the headers of its earlier life; the others stay in order."""
    for number in range(3):
        bury(channel, f"letter-{number}")

    with DeadLetters(app) as letters:
        for held in letters:
            if held.letter.id == "letter-1":
                letters.requeue(held)

    (message,) = drained(channel, WORK)
    assert message.body == b"[[1], {}, {}]"
    assert message.properties["application_headers"] == {"id": "letter-1", "task": "t.t"}
    assert (message.properties["content_type"], message.properties["delivery_mode"]) == ("application/json", 2)
    assert names(app) == ["letter-0", "letter-2"]


def test_what_the_broker_gave_up_says_why_and_goes_back(app: Celery, channel: Any) -> None:
    """Its x-death is read like our headers, and does not go along."""
    channel.queue_declare("task_queue", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    headers = {"id": "rejected", "task": "t.t"}
    channel.basic_publish_confirm(Message(b"[]", application_headers=headers), exchange="", routing_key="task_queue")
    message = wait_until(lambda: channel.basic_get("task_queue"), what="the message", timeout_s=10)
    channel.basic_reject(message.delivery_tag, requeue=False)
    wait_until(lambda: _count(channel) == 1, what="the letter", timeout_s=10)

    with DeadLetters(app) as letters:
        (held,) = letters
        letters.requeue(held)

    assert held.letter.reason == "A worker rejected it and left no reason."
    assert (held.letter.queue, held.letter.time is not None) == ("task_queue", True)
    message = wait_until(lambda: channel.basic_get("task_queue", no_ack=True), what="the message", timeout_s=10)
    message.properties["application_headers"].pop("x-delivery-count", None)
    assert message.properties["application_headers"] == {**headers, EXCHANGE: "", ROUTING_KEY: "task_queue"}


@pytest.mark.parametrize("queue", ["nowhere", "full"])
def test_letter_stays_when_its_queue_does_not_take_it(app: Celery, channel: Any, queue: str) -> None:
    """Gone or full: it is refused in one sentence, and the next one is not confirmed in its place."""
    channel.queue_declare("full", auto_delete=False, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    bury(channel, "stays", queue=queue)
    bury(channel, "goes")

    with DeadLetters(app) as letters:
        stays, goes = letters
        with pytest.raises(ProjError, match="it stays where it is"):
            letters.requeue(stays)
        letters.requeue(goes)

    assert names(app) == ["stays"]
    assert len(drained(channel, WORK)) == 1


#: Requeues all letters, and dies by SIGKILL at the given call of the given method of py-amqp's channel.
KILLED = """
import os, signal, sys
import amqp, amqp.spec
from celery import Celery
from proj.delivery.dead_letters.queue import DeadLetters

url, method, when, calls = sys.argv[1], sys.argv[2], int(sys.argv[3]), 0
real = getattr(amqp.Channel, method)

def deadly(*arguments, **options):
    global calls
    # Of all answers that are waited for, the confirms count.
    calls += method != "wait" or isinstance(arguments[1], list) and amqp.spec.Basic.Ack in arguments[1]
    if calls == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(amqp.Channel, method, deadly)
with DeadLetters(Celery(broker=url)) as letters:
    for held in letters:
        letters.requeue(held)
"""


@pytest.mark.parametrize("method", ["basic_publish_confirm", "wait", "basic_ack"])
def test_requeue_loses_nothing_when_it_is_killed(app: Celery, channel: Any, url: str, method: str) -> None:
    """Before the letter is sent, before it is confirmed, before it leaves here: at worst it is in both queues."""
    expected = {f"letter-{number}" for number in range(5)}
    for name in sorted(expected):
        bury(channel, name)

    # At the third letter.
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, method, "3"], env=child_environment(), check=False, timeout=30
    )

    assert killed.returncode == -9
    wait_until(lambda: len(_counted(channel)) == 2 and sum(_counted(channel)) >= 5, what="the return", timeout_s=10)
    left = names(app)
    moved = [message.properties["application_headers"]["id"] for message in drained(channel, WORK)]
    assert {*left, *moved} == expected
    assert moved
    assert len(left) + len(moved) <= 6


def _counted(channel: Any) -> list[int]:
    return [channel.queue_declare(name, passive=True).message_count for name in ("dead_letters", WORK)]


def test_hostile_letters_are_shown_and_go_back_in_their_place(
    app: Celery, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies there: bytes that are no text, headers nested and odd, a body of a megabyte, no headers at all."""
    bury(channel, "before")
    channel.basic_publish_confirm(Message(b"\xff" * 1_000_000), exchange="", routing_key="dead_letters")
    odd = {
        "id": ["no", "id"],
        "task": {"a": 1},
        REASON: 7,
        QUEUE: [],
        "x-death": [{"reason": 1, "time": "x"}],
        "": None,
    }
    channel.basic_publish_confirm(Message(b"{", application_headers=odd), exchange="", routing_key="dead_letters")
    with monkeypatch.context() as patch:
        patch.setattr(Message, "_serialize_properties", lambda _: BROKEN_CONTENT_TYPE)
        channel.basic_publish_confirm(Message(b"broken"), exchange="", routing_key="dead_letters")
    bury(channel, "after")

    with DeadLetters(app) as letters:
        held = list(letters)
        lines = [export.line(each) for each in held]
        for each in held[1:4]:
            with pytest.raises(ProjError):
                letters.requeue(each)

    assert [each.letter.id[0] for each in held] == ["b", "~", "~", "~", "a"]
    assert len(lines) == 5
    assert names(app) == [each.letter.id for each in held]


def test_exported_letter_can_be_published_again_as_it_was(app: Celery, channel: Any) -> None:
    """Through JSON and back: headers of every AMQP type, properties, and a body that is no text."""
    channel.basic_publish_confirm(
        Message(
            b"\x00\xff",
            application_headers={"id": "one", "n": 2**40, "b": True, "l": [1, None, {"x": 1.5}], "$odd": "dollar"},
            content_type="application/x-python-serialize",
            priority=3,
            reply_to="someone",
        ),
        exchange="",
        routing_key="dead_letters",
    )

    with DeadLetters(app) as letters:
        (before,) = letters
        name, properties, body = export.message(export.line(before), number=1)
        letters.publish(name, body, properties, letters.queue)
        letters.discard(before.tag)
    with DeadLetters(app) as letters:
        (after,) = letters

    assert (after.body, after.letter.id) == (b"\x00\xff", "one")
    after.properties["application_headers"].pop("x-delivery-count", None)
    assert after.properties == {**before.properties, "delivery_mode": 2}


def test_missing_dead_letter_queue_is_said_with_the_remedy(app: Celery) -> None:
    """Another name, and one sentence."""
    with pytest.raises(NoDeadLetters, match="queues policy --apply"), DeadLetters(app, queue="not-there"):
        pass
