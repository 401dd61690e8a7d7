"""Requeuing many letters on a real broker, also when it is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from amqp.basic_message import Message

from proj.delivery.dead_letters.requeue import NOTES_SUFFIX, Requeue
from proj.errors import DeadLettersNotRead
from tests.integration.dead_letters.letters import WORK, Read, dead_letter, ids, take_all

if TYPE_CHECKING:
    from celery import Celery

NOTES = f"dead_letters{NOTES_SUFFIX}"


def requeue(app: Celery, read: Read, *, without: str | None = None) -> list[tuple[str, bool]]:
    """Requeue all letters but one; the id of each, and whether it may be done twice."""
    letters = read()
    with Requeue(app, letters) as requeue, letters:
        seen = list(letters)
        return [
            (each.letter.id, each.twice)
            for each in requeue.run(unacked for unacked in seen if unacked.letter.id != without)
        ]


def kill_in_the_middle(app: Celery, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requeue one letter of those there are, without its acknowledgement, and leave everything as a SIGKILL does."""
    letters = read()
    with monkeypatch.context() as patched:
        patched.setattr(letters, "is_lost", True)
        with Requeue(app, letters) as requeue, letters:
            patched.setattr(letters._reading, "basic_ack", lambda _tag: None)  # noqa: SLF001 as if it never arrived
            next(requeue.run(letters))


def test_next_requeue_names_what_a_killed_one_may_have_done(
    app: Celery, read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is lost, and every double is among those that are named. What is dead-lettered again is another letter."""
    for number in range(3):
        dead_letter(channel, f"letter-{number}")
    kill_in_the_middle(app, read, monkeypatch)
    dead_letter(channel, "letter-0", time=2.5)

    named = requeue(app, read)

    assert named == [("letter-0", True), ("letter-1", True), ("letter-2", True), ("letter-0", False)]
    requeued = [message.headers["id"] for message in take_all(channel, WORK)]
    assert requeued == ["letter-0", "letter-0", "letter-1", "letter-2", "letter-0"]
    assert ids(read) == []


def test_doubt_stays_noted_until_its_letter_is_requeued(
    app: Celery, read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when another requeue that leaves that letter out ends in order. Then the notes are deleted."""
    for number in range(2):
        dead_letter(channel, f"letter-{number}")
    kill_in_the_middle(app, read, monkeypatch)

    first = requeue(app, read, without="letter-1")
    second = requeue(app, read)

    assert (first, second) == ([("letter-0", True)], [("letter-1", True)])
    with pytest.raises(channel.connection.channel_errors):
        channel.queue_declare(NOTES, passive=True)


def test_requeue_that_is_interrupted_between_two_letters_leaves_no_doubt(
    app: Celery, read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C ends it."""
    for number in range(3):
        dead_letter(channel, f"letter-{number}")
    letters = read()

    def interrupt() -> None:
        if done:
            raise KeyboardInterrupt

    done: list[str] = []
    monkeypatch.setattr("proj.delivery.dead_letters.requeue.raise_if_interrupted", interrupt)
    with pytest.raises(KeyboardInterrupt), Requeue(app, letters) as interrupted, letters:
        done.extend(each.letter.id for each in interrupted.run(letters))
    monkeypatch.undo()

    assert done == ["letter-0"]
    assert requeue(app, read) == [("letter-1", False), ("letter-2", False)]


def test_requeue_that_comes_while_another_is_at_work_leaves_its_notes(
    app: Celery, read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets no letter, and the doubles of the first one, which is killed then, are named all the same."""
    for number in range(2):
        dead_letter(channel, f"letter-{number}")
    letters, second = read(), read()
    monkeypatch.setattr("proj.delivery.dead_letters.queue.LOCK_TIMEOUT_S", 0.0)
    with monkeypatch.context() as patched:
        patched.setattr(letters, "is_lost", True)
        with Requeue(app, letters) as first, letters:
            with pytest.raises(DeadLettersNotRead), Requeue(app, second), second:
                pass
            patched.setattr(letters._reading, "basic_ack", lambda _tag: None)  # noqa: SLF001 as if it never arrived
            next(first.run(letters))
    monkeypatch.undo()

    assert requeue(app, read) == [("letter-0", True), ("letter-1", True)]


def test_requeue_that_waited_for_another_to_end_has_notes_too(
    app: Celery, read: Read, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one deletes the queue of notes when it ends, which may be a moment after the letters are free."""
    for number in range(2):
        dead_letter(channel, f"letter-{number}")
    letters = read()
    monkeypatch.setattr("proj.delivery.dead_letters.requeue.BATCH", 1)
    with monkeypatch.context() as patched:
        patched.setattr(letters, "is_lost", True)
        with Requeue(app, letters) as later, letters:
            channel.queue_delete(NOTES)
            patched.setattr(letters._reading, "basic_ack", lambda _tag: None)  # noqa: SLF001 as if it never arrived
            requeued = later.run(letters)
            next(requeued)
            channel.queue_delete(NOTES)
            next(requeued)

    channel.basic_publish_confirm(Message(b"of somebody else"), exchange="", routing_key=NOTES)
    assert requeue(app, read) == [("letter-0", False), ("letter-1", True)]
