"""The dead-letter queue on a real broker: reading and emptying it loses no letter."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.delivery.dead_letters import export
from proj.delivery.header_names import BROKER_COUNTS, EXCHANGE, QUEUE, REASON, ROUTING_KEY
from proj.errors import DeadLettersNotRead, NoDeadLetters, ProjError
from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until
from tests.integration.dead_letters.letters import (
    BROKEN_CONTENT_TYPE,
    WORK,
    Read,
    dead_letter,
    ids,
    take_all,
    uncounted,
    waiting,
)

if TYPE_CHECKING:
    from proj.lab.broker import Broker


def test_reading_removes_no_letter_and_keeps_the_order(read: Read, channel: Any) -> None:
    """Also when only some letters were read."""
    expected = [f"letter-{number}" for number in range(20)]
    for name in expected:
        dead_letter(channel, name)

    with read() as letters:
        first = [each.letter.id for each, _ in zip(letters, range(3), strict=False)]

    assert first == expected[:3]
    assert ids(read) == expected
    assert ids(read) == expected


def test_two_readers_at_the_same_time_both_read_every_letter(read: Read, channel: Any) -> None:
    """The second waits for the first, whose unacknowledged letters it would not get."""
    for number in range(5):
        dead_letter(channel, f"letter-{number}")
    seen: list[list[str]] = []

    with read() as letters:
        mine = [each.letter.id for each in letters]
        other = threading.Thread(target=lambda: seen.append(ids(read)))
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive()
    other.join(timeout=60)

    assert seen == [mine]
    assert len(mine) == 5


def test_thousands_are_read_one_at_a_time(read: Read, channel: Any) -> None:
    """More than a quorum queue delivers to a consumer without a prefetch count."""
    message = Message(b"x" * 10_000, application_headers={"id": "many"}, delivery_mode=1)
    for _ in range(2_000):
        channel.basic_publish(message, exchange="", routing_key="dead_letters")
    channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")

    wait_until(lambda: waiting(channel) == 2_001, what="the letters", timeout_s=60)

    with read() as letters:
        assert sum(len(each.body) for each in letters) == 2_001 * 10_000


def test_only_as_many_letters_are_delivered_as_are_wanted(read: Read, channel: Any) -> None:
    """Reading the oldest two does not wait for thousands, and does not count as a look at the others."""
    for number in range(5):
        dead_letter(channel, f"letter-{number}")

    with read(at_most=2) as letters:
        assert [each.letter.id for each in letters] == ["letter-0", "letter-1"]
        assert (letters.total, waiting(channel)) == (5, 3)
    with read() as letters:
        headers = [each.properties["application_headers"] for each in letters]
    # 3.10 also says that it was 0 times.
    assert [any(each.get(count) for count in BROKER_COUNTS) for each in headers] == [True, True, False, False, False]


def test_requeued_letter_goes_to_its_queue_without_the_headers_of_its_dead_lettering(read: Read, channel: Any) -> None:
    """With the same body and properties. The other letters keep their order."""
    for number in range(3):
        dead_letter(channel, f"letter-{number}")

    with read() as letters:
        for unacked in letters:
            if unacked.letter.id == "letter-1":
                letters.requeue(unacked)

    (message,) = take_all(channel, WORK)
    assert message.body == b"[[1], {}, {}]"
    assert message.properties["application_headers"] == {"id": "letter-1", "task": "t.t"}
    assert (message.properties["content_type"], message.properties["delivery_mode"]) == ("application/json", 2)
    assert ids(read) == ["letter-0", "letter-2"]


def test_letter_that_the_broker_made_says_why_and_can_be_requeued(read: Read, channel: Any) -> None:
    """Its x-death header is read like our headers, and is not published again."""
    channel.queue_declare("task_queue", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    headers = {"id": "rejected", "task": "t.t"}
    channel.basic_publish_confirm(Message(b"[]", application_headers=headers), exchange="", routing_key="task_queue")
    message = wait_until(lambda: channel.basic_get("task_queue"), what="the message", timeout_s=60)
    channel.basic_reject(message.delivery_tag, requeue=False)
    wait_until(lambda: waiting(channel) == 1, what="the letter", timeout_s=60)

    with read() as letters:
        (unacked,) = letters
        letters.requeue(unacked)

    assert unacked.letter.reason == "A worker rejected it and left no reason."
    assert (unacked.letter.queue, unacked.letter.time is not None) == ("task_queue", True)
    message = wait_until(lambda: channel.basic_get("task_queue", no_ack=True), what="the message", timeout_s=60)
    left = uncounted(message.properties)["application_headers"]
    assert left == {**headers, EXCHANGE: "", ROUTING_KEY: "task_queue"}


@pytest.mark.parametrize("queue", ["nowhere", "full"])
def test_letter_stays_when_its_queue_is_missing_or_full(read: Read, channel: Any, queue: str) -> None:
    """Missing or full: one error, and the next letter is not mistaken for the refused one."""
    channel.queue_declare("full", auto_delete=False, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    dead_letter(channel, "stays", queue=queue)
    dead_letter(channel, "goes")

    with read() as letters:
        stays, goes = letters
        with pytest.raises(ProjError, match="stays where it is"):
            letters.requeue(stays)
        letters.requeue(goes)

    assert ids(read) == ["stays"]
    assert len(take_all(channel, WORK)) == 1


#: Requeues all letters, and dies by SIGKILL at the given call of the given method of py-amqp's channel.
KILLED = """
import os, signal, sys
import amqp, amqp.spec
from celery import Celery
from proj.broker.management_api import Management
from proj.delivery.dead_letters.queue import DeadLetterQueue

url, api, method, when, calls = *sys.argv[1:4], int(sys.argv[4]), 0
real = getattr(amqp.Channel, method)

def deadly(*arguments, **options):
    global calls
    # Of all answers that are waited for, the confirms count.
    calls += method != "wait" or isinstance(arguments[1], list) and amqp.spec.Basic.Ack in arguments[1]
    if calls == when:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(amqp.Channel, method, deadly)
with DeadLetterQueue(Celery(broker=url), management=Management(api)) as letters:
    for unacked in letters:
        letters.requeue(unacked)
"""


@pytest.mark.parametrize("method", ["basic_publish_confirm", "wait", "basic_ack"])
def test_requeue_loses_nothing_when_it_is_killed(
    read: Read, channel: Any, broker: Broker, url: str, method: str
) -> None:
    """Before the publish, before the confirm, before the acknowledgement: at worst a letter is in both queues."""
    expected = {f"letter-{number}" for number in range(5)}
    for name in sorted(expected):
        dead_letter(channel, name)

    # At the third letter.
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, url, broker.management_url, method, "3"],
        env=child_environment(),
        check=False,
        timeout=30,
    )

    assert killed.returncode == -9
    wait_until(lambda: len(_counted(channel)) == 2 and sum(_counted(channel)) >= 5, what="the return", timeout_s=60)
    left = ids(read)
    moved = [message.properties["application_headers"]["id"] for message in take_all(channel, WORK)]
    assert {*left, *moved} == expected
    assert moved
    assert len(left) + len(moved) <= 6


def _counted(channel: Any) -> list[int]:
    return [channel.queue_declare(name, passive=True).message_count for name in ("dead_letters", WORK)]


def test_malformed_letters_are_read_and_return_to_their_places(
    read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are not text, headers of unexpected types, a body of a megabyte, no headers, unreadable properties."""
    dead_letter(channel, "before")
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
    dead_letter(channel, "after")

    with read() as letters:
        unacked = list(letters)
        lines = [export.to_line(each) for each in unacked]
        for each in unacked[1:4]:
            with pytest.raises(ProjError):
                letters.requeue(each)

    assert [each.letter.id[0] for each in unacked] == ["b", "~", "~", "~", "a"]
    assert len(lines) == 5
    assert ids(read) == [each.letter.id for each in unacked]


def test_exported_letter_can_be_published_again_as_it_was(read: Read, channel: Any) -> None:
    """Headers of several AMQP types, properties, and a body that is not text come back from JSON."""
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

    with read() as letters:
        (before,) = letters
        name, properties, body = export.from_line(export.to_line(before), number=1)
        letters.publish(name, body, properties, letters.name)
        letters.discard(before.tag)
    with read() as letters:
        (after,) = letters

    assert (after.body, after.letter.id) == (b"\x00\xff", "one")
    assert uncounted(after.properties) == {**before.properties, "delivery_mode": 2}


def test_error_for_a_missing_dead_letter_queue_says_how_to_make_one(read: Read) -> None:
    """Here for a name that is not the app's."""
    with pytest.raises(NoDeadLetters, match="queues policy --apply"), read(name="not-there"):
        pass


def test_reader_gives_up_when_another_reader_does_not_end(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error that says what to do."""
    monkeypatch.setattr("proj.delivery.dead_letters.queue.LOCK_TIMEOUT_S", 0)

    with (
        read(),
        pytest.raises(DeadLettersNotRead, match="Another reader has had dead_letters"),
        read(),
    ):
        pass
